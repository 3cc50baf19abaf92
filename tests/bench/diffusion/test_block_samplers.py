"""Samplers with a cached prefix: calls counted, the state that each call is given, what is given, what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from bench.diffusion import SAMPLERS, Autoregressive, BlockDiffusion, DiffusionError, Sample, generator_for
from bench.diffusion.constraints.constraint_set import ConstraintSet
from bench.diffusion.samplers.block import block_plan
from bench.diffusion.samplers.request import SampleRequest

STATES, MASK, PAD = 4, 4, 5


@dataclass(frozen=True)
class Sums:
    """State of a Toy."""

    past: int
    sum_BV: torch.Tensor

    def rows(self, index_R: torch.Tensor) -> Sums:
        return Sums(self.past, self.sum_BV[index_R])


class Toy:
    """Logits from the sum of all tokens before the call and the sum of those in it; notes its calls."""

    def __init__(self) -> None:
        self.table = torch.randn(STATES + 2, STATES + 2, generator=generator_for("toy"), dtype=torch.float64)
        self.calls: list[tuple[int, int, int, bool]] = []  # rows, tokens before, tokens, head

    def extend(
        self, tokens_BL: torch.Tensor, state: Sums | None = None, *, head: bool = True, keep: bool = True
    ) -> tuple[torch.Tensor | None, Sums | None]:
        state = state or Sums(0, torch.zeros(len(tokens_BL), STATES + 2, dtype=torch.float64))
        assert len(state.sum_BV) == len(tokens_BL)
        self.calls.append((len(tokens_BL), state.past, tokens_BL.shape[1], head))
        inside_BLV = self.table[tokens_BL]
        after = Sums(state.past + tokens_BL.shape[1], state.sum_BV + inside_BLV.sum(dim=1))
        logits_BLV = after.sum_BV[:, None] - state.sum_BV[:, None] / 2 + inside_BLV if head else None
        return logits_BLV, after if keep else None


def masks(count: int, length: int) -> torch.Tensor:
    return torch.full((count, length), MASK)


def draw(network: Any, tokens_BL: torch.Tensor, block: int = 4, seed: int = 0, **settings: Any) -> Sample:
    process = BlockDiffusion(MASK, PAD, block=block)
    settings = {"sampler": "block", "generator": generator_for(seed)} | settings
    return process.fill(network, tokens_BL, **settings)


def read(network: Any, tokens_BL: torch.Tensor, **settings: Any) -> Sample:
    return Autoregressive(MASK, PAD).fill(
        network, tokens_BL, sampler="autoregressive", generator=generator_for(0), **settings
    )


@pytest.mark.parametrize(("reveal", "in_a_block"), [(1, 4), (2, 2), (3, 2), (4, 1), (9, 1)])
def test_calls_of_a_piece_are_those_of_its_blocks_and_the_commits_between(reveal: int, in_a_block: int) -> None:
    network = Toy()
    sample = draw(network, masks(3, 12), reveal=reveal)
    drawn = [(3, past, 4, True) for past in (0, 4, 8) for _ in range(in_a_block)]
    for commit in (1, 2):
        drawn.insert(commit * (in_a_block + 1) - 1, (3, 4 * (commit - 1), 4, False))
    assert network.calls == drawn
    assert sample.nfe == [3 * in_a_block + 2] * 3 == [len(network.calls)] * 3
    assert len(sample.tokens_BL) == 3 and int(sample.tokens_BL.max()) < STATES


def test_an_autoregressive_piece_takes_a_call_a_token_and_none_after_the_last() -> None:
    network = Toy()
    sample = read(network, masks(2, 5))
    assert network.calls == [(2, at, 1, True) for at in range(5)] and sample.nfe == [5, 5]


@pytest.mark.parametrize("inner", ["ancestral", "cached", "confidence", "remask"])
def test_every_inner_sampler_counts_its_own_calls_of_some_rows(inner: str) -> None:
    network = Toy()
    sample = draw(network, masks(5, 8), inner=inner, steps=6)
    assert sum(sample.nfe) == sum(rows for rows, *_ in network.calls)
    assert int(sample.tokens_BL.max()) < STATES
    assert (min(rows for rows, *_ in network.calls) < 5) == (inner in ("cached", "remask"))


def test_steps_are_those_of_all_blocks_together() -> None:
    hidden_BL = torch.ones(2, 16, dtype=torch.bool)
    assert block_plan(hidden_BL, 4, 8, None) == [(0, 2), (4, 2), (8, 2), (12, 2)]
    assert block_plan(hidden_BL, 4, 2, None) == [(0, 1), (4, 1), (8, 1), (12, 1)]
    hidden_BL[:, :6], hidden_BL[0, 12:], hidden_BL[1, 15:] = False, False, False
    assert block_plan(hidden_BL, 4, 9, None) == [(0, 0), (4, 2), (8, 4), (12, 3)]
    assert block_plan(hidden_BL, 4, None, 3) == [(0, 0), (4, 1), (8, 2), (12, 1)]
    assert block_plan(hidden_BL[:, :4], 4, 9, None) == []


def test_given_blocks_are_committed_and_what_follows_the_last_mask_is_not_read() -> None:
    tokens_BL, network = masks(2, 16), Toy()
    tokens_BL[:, :6], tokens_BL[:, 12:] = 1, 2
    sample = draw(network, tokens_BL, reveal=1)
    assert network.calls == [(2, 0, 4, False), *[(2, 4, 4, True)] * 2, (2, 4, 4, False), *[(2, 8, 4, True)] * 4]
    assert sample.nfe == [8, 8] and bool((sample.tokens_BL[:, :6] == 1).all() & (sample.tokens_BL[:, 12:] == 2).all())
    network.calls.clear()
    assert read(network, tokens_BL).nfe == [6, 6]
    assert network.calls == [(2, 0, 7, True), *[(2, at, 1, True) for at in range(7, 12)]]


def test_rows_with_other_given_tokens_are_drawn_together() -> None:
    tokens_BL, network = masks(2, 8), Toy()
    tokens_BL[0, :3], tokens_BL[1, 5] = 1, 3
    sample = draw(network, tokens_BL, reveal=1)
    assert sample.nfe == [1 + 1 + 4, 4 + 1 + 3]
    read_BL = read(Toy(), tokens_BL).tokens_BL
    for drawn_BL in (sample.tokens_BL, read_BL):
        assert torch.equal(drawn_BL[tokens_BL != MASK], tokens_BL[tokens_BL != MASK]) and int(drawn_BL.max()) < STATES


def test_one_block_is_the_plain_sampler_on_whole_rows() -> None:
    table = torch.randn(STATES + 2, STATES + 2, generator=generator_for("table"))
    whole = draw(lambda tokens_BL: table[tokens_BL], masks(3, 6), block=6, reveal=2)
    plain = SAMPLERS["first-hitting"](
        lambda tokens_BL: table[tokens_BL], masks(3, 6), mask_id=MASK, forbidden_ids=[PAD],
        generator=generator_for(0), per_call=2,
    )  # fmt: skip
    assert torch.equal(whole.tokens_BL, plain.tokens_BL) and whole.nfe == plain.nfe == [3] * 3


def test_the_approximation_makes_the_same_calls_and_has_its_own_name() -> None:
    network, approximate = Toy(), Toy()
    sample = draw(network, masks(2, 8), reveal=2)
    request = {"mask_id": MASK, "forbidden_ids": [PAD], "generator": generator_for(0), "reveal": 2}
    other = SAMPLERS["block-approximate"](approximate, masks(2, 8), block=4, **request)
    assert torch.equal(sample.tokens_BL, other.tokens_BL) and approximate.calls == network.calls
    with pytest.raises(DiffusionError, match=r"^sampler: 'block' does not follow a process of objective absorbing;"):
        SAMPLERS["block"](network, masks(2, 8), **request)
    with pytest.raises(DiffusionError, match=r"^block: not given; allowed: a number of tokens that divides the"):
        SAMPLERS["block-approximate"](network, masks(2, 8), **request)


def test_a_constraint_on_positions_is_given_whole_rows_and_a_joint_one_is_refused() -> None:
    seen: list[torch.Tensor] = []

    def only_the_place(logits_BLV: torch.Tensor, tokens_BL: torch.Tensor) -> torch.Tensor:
        seen.append(tokens_BL.clone())
        at = torch.arange(8)[:, None] % STATES
        return logits_BLV.masked_fill(torch.arange(STATES + 2) != at, float("-inf"))

    rows = [[0, 1, 2, 3, 0, 1, 2, 3]] * 3
    assert draw(Toy(), masks(3, 8), constrain=only_the_place, inner="cached", steps=8).tokens_BL.tolist() == rows
    assert seen[-1].shape[1] == 8 and seen[-1][:, :4].tolist() == [rows[0][:4]] * len(seen[-1])
    assert read(Toy(), masks(3, 8), constrain=ConstraintSet([only_the_place])).tokens_BL.tolist() == rows

    class Joint:
        def draw(self, *given: Any) -> torch.Tensor:
            raise AssertionError

    for fill in (draw, read):
        with pytest.raises(
            DiffusionError, match=r"^constrain: rules over several positions do not reach over blocks; a"
        ):
            fill(Toy(), masks(2, 8), constrain=Joint(), steps=2)


def test_what_cannot_be_drawn_is_refused_in_one_line() -> None:
    with pytest.raises(DiffusionError, match=r"^block: 4 tokens do not divide the length 10; allowed: whole blocks$"):
        draw(Toy(), masks(2, 10), reveal=1)
    with pytest.raises(
        DiffusionError, match=r"^reveal: ancestral reveals no fixed number a call; allowed: with inner f"
    ):
        draw(Toy(), masks(2, 8), inner="ancestral", reveal=1)
    with pytest.raises(
        DiffusionError, match=r"^sampler: this network has no `extend`, so nothing is cached; allowed: b"
    ):
        draw(lambda tokens_BL: tokens_BL, masks(2, 8), reveal=1)
    with pytest.raises(DiffusionError, match=r"^reveal: 0 is not allowed; allowed: 1 or more tokens a call$"):
        draw(Toy(), masks(2, 8), reveal=0)
    with pytest.raises(DiffusionError, match=r"^steps: "):
        draw(Toy(), masks(2, 8))
    with pytest.raises(
        DiffusionError, match=r"^block: the network is trained on no blocks; allowed: the sampler block-"
    ):
        SAMPLERS["block"].run(SampleRequest(Toy(), masks(2, 8), MASK, generator_for(0), objective="block"))


def test_progress_counts_the_denoising_calls_of_all_blocks() -> None:
    found: list[tuple[int, int]] = []
    draw(Toy(), masks(2, 8), reveal=2, progress=lambda done, of: found.append((done, of)))
    assert found == [(1, 4), (2, 4), (3, 4), (4, 4)]
    found.clear()
    read(Toy(), masks(2, 3), progress=lambda done, of: found.append((done, of)))
    assert found == [(1, 3), (2, 3), (3, 3)]
