"""Cached sampling with a real tiny network of every mixer: against recomputation, and its law against enumeration."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from architectures import build
from bench.diffusion import Autoregressive, BlockDiffusion, Sample, generator_for
from bench.diffusion.sampling_step import SamplingStep

STATES, MASK, PAD = 3, 3, 4
LENGTH, DRAWS, SAME = 4, 100_000, 1e-3
BOTH = "bidirectional"
ALONE = (
    "A",
    "A(window=2)",
    "M",
    f"M({BOTH})",
    "S",
    f"S({BOTH})",
    "G",
    f"G({BOTH})",
    "C",
    "D",
    f"D({BOTH})",
    "A(conv=4)F(conv=4)",
)
CAUSAL = ("A(causal)", "M", "S", "G", "C(causal)", "D")
TOGETHER = f"AM({BOTH})S({BOTH})G({BOTH})CF"
BLOCKS = ((1, 1), (2, 1), (2, 2), (4, 1), (4, 2))  # tokens of a block, tokens revealed a call


@cache
def network(pattern: str, dtype: torch.dtype = torch.float32, *, as_made: bool = False) -> nn.Module:
    """A network whose logits differ much from token to token, or with the weights that it is made with."""
    made = build(pattern, vocab_size=STATES + 2, seed=1, width=8, head_width=4, stride=1, state=4).eval().to(dtype)
    if as_made:
        return made
    with torch.no_grad():  # as made, the tokens of a block hardly depend on each other
        for name, weight in made.named_parameters():
            if weight.dim() == 2 and "layers" in name and "log" not in name:
                weight.mul_(10)
        made.compress.embedding.weight.mul_(20)
        made.expand.head.weight.mul_(12)
    return made


class Recomputed:
    """The same network without a cache: each call computes all tokens from the first on, in both streams."""

    def __init__(self, made: Any, block: int) -> None:
        self.made, self.block = made, block

    def extend(
        self, tokens_BL: torch.Tensor, state: Rows | None = None, *, head: bool = True, keep: bool = True
    ) -> tuple[torch.Tensor, Rows]:
        clean_BL = torch.cat([state.tokens_BL, tokens_BL], dim=1) if state else tokens_BL
        logits_BLV = self.made.two_stream(clean_BL, clean_BL, self.block)
        return logits_BLV[:, -tokens_BL.shape[1] :], Rows(clean_BL)


@dataclass(frozen=True)
class Rows:
    """Tokens that stand for a state."""

    tokens_BL: torch.Tensor

    def rows(self, index_R: torch.Tensor) -> Rows:
        return Rows(self.tokens_BL[index_R])


class Kept:
    """State of many rows, of which equal ones are computed once."""

    def __init__(self, place_B: torch.Tensor, state: Any) -> None:
        self.place_B, self.state = place_B, state


class Together:
    """A network that computes equal rows once: a hundred thousand draws of few tokens in few rows."""

    def __init__(self, made: Any) -> None:
        self.made, self.calls = made, 0

    def __call__(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        first_U, where_B = unique(tokens_BL)
        return self.made(tokens_BL[first_U])[where_B]

    def extend(
        self, tokens_BL: torch.Tensor, state: Kept | None = None, *, head: bool = True, keep: bool = True
    ) -> tuple[torch.Tensor | None, Kept | None]:
        self.calls += 1
        place_B = state.place_B if state else torch.zeros(len(tokens_BL), dtype=torch.int64)
        first_U, where_B = unique(torch.cat([place_B[:, None], tokens_BL], dim=1))
        before = state.state.rows(place_B[first_U]) if state else None
        logits_ULV, after = self.made.extend(tokens_BL[first_U], before, head=head, keep=keep)
        return (logits_ULV[where_B] if head else None), (Kept(where_B, after) if keep else None)


def unique(rows_BK: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A row of each kind (U,), and the kind of each row (B,); entries are small."""
    code_B = rows_BK @ 100 ** torch.arange(rows_BK.shape[1])
    codes_U, where_B = code_B.unique(return_inverse=True)
    return torch.empty_like(codes_U).scatter_(0, where_B, torch.arange(len(code_B))), where_B


def draw(made: Any, block: int, count: int, length: int = LENGTH, **settings: Any) -> Sample:
    process = BlockDiffusion(MASK, PAD, block=block)
    settings = {"generator": generator_for("draw")} | settings
    return process.sample(made, length=length, count=count, sampler="block", **settings)


def read(made: Any, count: int, length: int = LENGTH) -> Sample:
    process = Autoregressive(MASK, PAD)
    return process.sample(made, length=length, count=count, sampler="autoregressive", generator=generator_for("draw"))


def block_law(made: Any, block: int, reveal: int) -> np.ndarray:
    """Probability of each sequence, in the order of `itertools.product`, by recursion over the masked sets of each
    block: a set U of `reveal` masked positions, uniform among all, is drawn in a call, each position alone."""
    sequences = torch.tensor(list(itertools.product(range(STATES), repeat=LENGTH)))
    log_p: dict[tuple[int, ...], torch.Tensor] = {}
    for masked in itertools.chain.from_iterable(itertools.combinations(range(block), k) for k in range(1, block + 1)):
        hidden_L = torch.isin(torch.arange(LENGTH) % block, torch.tensor(masked))
        noisy_BL = sequences.masked_fill(hidden_L, MASK)
        logits_BLV = made.two_stream(noisy_BL, sequences, block)[..., :STATES].double()
        log_p[masked] = logits_BLV.log_softmax(dim=2).gather(2, sequences[:, :, None]).squeeze(2).detach()

    def chance(masked: tuple[int, ...], first: int) -> torch.Tensor:
        if not masked:
            return torch.ones(len(sequences), dtype=torch.float64)
        choices = list(itertools.combinations(masked, min(reveal, len(masked))))
        each = [
            log_p[masked][:, [first + one for one in chosen]].sum(dim=1).exp()
            * chance(tuple(one for one in masked if one not in chosen), first)
            for chosen in choices
        ]
        return torch.stack(each).mean(dim=0)

    parts = [chance(tuple(range(block)), first) for first in range(0, LENGTH, block)]
    return torch.stack(parts).prod(dim=0).numpy()


def chain_law(made: Any) -> np.ndarray:
    """Probability of each sequence by the chain rule, from one call on MASK and all tokens but the last."""
    sequences = torch.tensor(list(itertools.product(range(STATES), repeat=LENGTH)))
    read_BL = torch.cat([torch.full_like(sequences[:, :1], MASK), sequences[:, :-1]], dim=1)
    log_p = made(read_BL)[..., :STATES].double().log_softmax(dim=2).gather(2, sequences[:, :, None]).squeeze(2)
    return log_p.sum(dim=1).exp().detach().numpy()


def fit(sample: Sample, law: np.ndarray) -> float:
    """p-value of the chi-squared test of drawn sequences."""
    assert len(sample.tokens_BL) == DRAWS  # nothing was drawn again
    assert law.sum() == pytest.approx(1, abs=1e-6)
    code_B = sample.tokens_BL @ STATES ** torch.arange(LENGTH - 1, -1, -1)
    return float(stats.chisquare(torch.bincount(code_B, minlength=STATES**LENGTH).numpy(), DRAWS * law).pvalue)


@pytest.mark.parametrize("pattern", [TOGETHER, *(pytest.param(one, marks=pytest.mark.slow) for one in ALONE)])
@pytest.mark.parametrize(("block", "reveal"), BLOCKS)
def test_the_law_of_blocks_is_that_of_the_network(pattern: str, block: int, reveal: int) -> None:
    made = Together(network(pattern))
    sample = draw(made, block, DRAWS, reveal=reveal)
    assert fit(sample, block_law(made.made, block, reveal)) > SAME
    blocks = LENGTH // block
    assert sample.nfe_mean == made.calls == blocks * -(-block // reveal) + blocks - 1


@pytest.mark.parametrize("pattern", ["".join(CAUSAL), *(pytest.param(one, marks=pytest.mark.slow) for one in CAUSAL)])
def test_the_law_of_tokens_one_by_one_is_that_of_the_network(pattern: str) -> None:
    made = Together(network(pattern))
    sample = read(made, DRAWS)
    assert fit(sample, chain_law(made.made)) > SAME and sample.nfe_mean == made.calls == LENGTH


@pytest.mark.parametrize("pattern", [TOGETHER, "A(window=2)", "MSG"])
def test_the_same_generator_draws_the_same_tokens_with_and_without_a_cache(pattern: str) -> None:
    made, inner = network(pattern, torch.float64), {"inner": "cached", "steps": 6}
    for settings in ({"reveal": 1}, {"reveal": 2}, inner):
        kept, again = (draw(one, 6, 5, 18, **settings) for one in (SamplingStep(made), Recomputed(made, 6)))
        assert torch.equal(kept.tokens_BL, again.tokens_BL) and kept.nfe == again.nfe


def test_tokens_one_by_one_are_those_of_the_plain_call_on_all_before() -> None:
    made = network("".join(CAUSAL), torch.float64)
    tokens_BL = read(SamplingStep(made), 5, 18).tokens_BL
    read_BL, drawn_BL = torch.full((5, 1), MASK), generator_for("draw")
    for _ in range(18):
        logits_BV = made(read_BL)[:, -1].double()[:, :STATES]
        u_BV = torch.rand(5, STATES + 2, generator=drawn_BL, dtype=torch.float64)[:, :STATES]
        read_BL = torch.cat([read_BL, (logits_BV - (-u_BV.log()).log()).argmax(dim=1, keepdim=True)], dim=1)
    assert torch.equal(tokens_BL, read_BL[:, 1:])


@pytest.mark.parametrize("pattern", [*ALONE, TOGETHER])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_cached_logits_are_those_of_a_recomputation(pattern: str, dtype: torch.dtype, tolerance: float) -> None:
    """Logits as the head gives them, before they are rounded to float32: in float32 of a network as it is made, since
    larger weights enlarge what is rounded off."""
    tokens_BL = torch.randint(STATES, (3, 18), generator=generator_for("tokens"))
    noisy_BL = tokens_BL.masked_fill(torch.rand(3, 18, generator=generator_for("hidden")) < 0.6, MASK)
    made, heads = network(pattern, dtype, as_made=dtype == torch.float32), list[torch.Tensor]()
    hook = made.expand.head.register_forward_hook(lambda _, __, out: heads.append(out))
    made.two_stream(noisy_BL, tokens_BL, 6)
    state = None
    for first in range(0, 18, 6):
        part = slice(first, first + 6)
        for _ in range(2):  # a call that keeps nothing changes nothing
            made.extend(noisy_BL[:, part], state, keep=False)
        for found in heads[-2:]:
            torch.testing.assert_close(found, heads[0][:, part], atol=tolerance, rtol=0)
        _, state = made.extend(tokens_BL[:, part], state, head=False)
    hook.remove()
    assert len(heads) == 7
