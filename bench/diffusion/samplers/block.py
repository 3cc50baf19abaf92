"""Sampling with a cached prefix: block by block, and token by token, for networks that are trained so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import torch

from bench.diffusion.errors import DiffusionError
from bench.diffusion.objectives import ABSORBING, AUTOREGRESSIVE, BLOCK
from bench.diffusion.samplers.calls import CallPlan
from bench.diffusion.samplers.constraint import JointConstraint, MaskingConstraint
from bench.diffusion.samplers.registry import SAMPLERS, Option, register_sampler
from bench.diffusion.samplers.request import Filling, Sample, SampleRequest, shifted

FIRST_HITTING = "first-hitting"
INNER = (FIRST_HITTING, "ancestral", "cached", "confidence", "remask")
WITHIN = Option(str, FIRST_HITTING, choices=INNER)
ACROSS_BLOCKS = (
    "constrain: rules over several positions do not reach over blocks; allowed: rules for one position (pitch, scale), "
    "or a network of objective absorbing"
)
REVEAL = Option(int, None, least=1, allowed="1 or more tokens a call")


class State(Protocol):
    """What `extend` keeps of the tokens before: a batch of rows."""

    def rows(self, index_R: torch.Tensor) -> Any:
        """The state of some rows, by their int64 indices."""


class Extend(Protocol):
    """A network's call on tokens that follow others, as `architectures.Backbone.extend`."""

    def __call__(
        self, tokens_BL: torch.Tensor, state: Any = None, *, head: bool = True, keep: bool = True
    ) -> tuple[torch.Tensor | None, Any]:
        """Logits (B, L, V) of tokens that follow those of a State (None: nothing before), None without `head`; and the
        state after them, None without `keep`. The state that is given stays as it is."""


def block_calls(
    length: int,
    steps: int | None,
    trained_block: int | None,
    *,
    inner: str,
    reveal: int | None,
    block: int | None = None,
) -> CallPlan:
    """The calls of a piece: in each block those of `inner`, and a commit between two blocks."""
    size = block or trained_block or length
    share = None if reveal else max(1, round((steps or length) * size / length))
    options = {"per_call": reveal} if inner == FIRST_HITTING else {}
    found = SAMPLERS[inner].plan(size, share, **options)
    assert found is not None
    return replace(found, length=length, block=size, commits=True)


def block_part(
    length: int,
    trained_block: int | None,
    joint: bool,
    *,
    inner: str,
    reveal: int | None,
    block: int | None = None,
) -> int:
    """Tokens of a block; DiffusionError for rows that are not whole blocks, for `reveal` with an inner sampler that
    reveals no fixed number, and for a constraint over several blocks."""
    size = block or trained_block
    if size is None:
        raise DiffusionError("block: not given; allowed: a number of tokens that divides the length")
    if length % size:
        raise DiffusionError(f"block: {size} tokens do not divide the length {length}; allowed: whole blocks")
    if reveal is not None and inner != FIRST_HITTING:
        raise DiffusionError(f"reveal: {inner} reveals no fixed number a call; allowed: with inner {FIRST_HITTING}")
    if joint and size != length:
        raise DiffusionError(ACROSS_BLOCKS)
    return size


def token_part(length: int, trained_block: int | None, joint: bool) -> int:
    """All tokens; DiffusionError for a constraint on several of them."""
    if joint:
        raise DiffusionError(ACROSS_BLOCKS)
    return length


@register_sampler(
    "block",
    objectives=(BLOCK,),
    calls=block_calls,
    parts=block_part,
    instead_of_steps="reveal",
    inner=WITHIN,
    reveal=REVEAL,
)
def block(request: SampleRequest, *, inner: str, reveal: int | None) -> Sample:
    """The blocks that the network is trained on, from left to right, each drawn from MASK given those before it
    (Arriola et al. 2025, 2503.09573); see `in_blocks`."""
    if request.trained_block is None:
        raise DiffusionError("block: the network is trained on no blocks; allowed: the sampler block-approximate")
    return in_blocks(request, request.trained_block, inner, reveal)


@register_sampler(
    "block-approximate",
    calls=block_calls,
    parts=block_part,
    instead_of_steps="reveal",
    block=Option(int, None, least=1, allowed="1 token or more"),
    inner=WITHIN,
    reveal=REVEAL,
)
def block_approximate(request: SampleRequest, *, block: int | None, inner: str, reveal: int | None) -> Sample:
    """The same calls of a network that is trained on whole rows: an approximation, whose law no training aims at.

    The state after a block is that of a row that ends there, and no call reads the MASKs that follow, which such a
    network has seen in training (Fast-dLLM, Wu et al. 2025, 2505.22618, keeps them in each call).
    """
    return in_blocks(request, block, inner, reveal)


@register_sampler(
    "autoregressive", objectives=(AUTOREGRESSIVE,), calls=lambda length, *_: CallPlan(length, 1, 1), parts=token_part
)
def autoregressive(request: SampleRequest) -> Sample:
    """Tokens from left to right, each from the logits after those before it, the first from those after MASK alone.

    NFE of a row of L MASKs is L: the first token is drawn too, and nothing is read after the last. Given tokens are
    read together with the last token before the next MASK of any row; those further right are not seen.
    """
    filling = Filling(request)
    prefix = Prefix(request, filling.tokens_BL)
    tokens_BL, masked_BL = filling.tokens_BL, filling.masked_BL
    columns, done = masked_BL.any(dim=0).nonzero().squeeze(1).tolist(), 0
    for call, at in enumerate(columns, start=1):
        begin_BL = torch.full_like(tokens_BL[:, : int(done == 0)], request.mask_id)
        logits_BLV = prefix.read(torch.cat([begin_BL, tokens_BL[:, max(done - 1, 0) : at]], dim=1))
        filling.nfe_B += 1
        part = slice(at, at + 1)
        drawing = replace(filling.drawing, constrain=prefix.constraint_from(at))
        drawn_N = drawing.draw(logits_BLV[:, -1:], tokens_BL[:, part], masked_BL[:, part])
        tokens_BL[:, part][masked_BL[:, part]] = drawn_N
        done = at + 1
        filling.report(call, len(columns))
    return filling.sample()


def in_blocks(request: SampleRequest, size: int | None, inner: str, reveal: int | None) -> Sample:
    """Fill blocks of `size` tokens from left to right, each with the sampler `inner` at its own defaults.

    A denoising call is given one block and the network's state after the blocks before it. Then one call without the
    network's head commits the block, drawn or given; after the last block in which a token is masked there is none.
    Given tokens further right are not seen. NFE counts all calls.

    `reveal` tokens a call where `inner` reveals a fixed number; else the steps are those of all masked tokens, and each
    block takes its share of them, at least 1. One block as long as the rows is the plain sampler `inner`.
    Raises DiffusionError for rows that are not whole blocks, and as `Prefix`.
    """
    length = request.tokens_BL.shape[1]
    joint = isinstance(request.constrain, JointConstraint)
    size = block_part(length, None, joint, inner=inner, reveal=reveal, block=size)
    sampler, options = SAMPLERS[inner], {} if reveal is None else {"per_call": reveal}
    request = replace(request, objective=ABSORBING, trained_block=None, steps=None if reveal else request.step_count)
    if size == length:
        return sampler.run(request, **options)
    filling = Filling(request)
    prefix = Prefix(request, filling.tokens_BL)
    plan = block_plan(filling.masked_BL.cpu(), size, request.steps, reveal)
    total, done = sum(calls for _, calls in plan), 0
    for first, calls in plan:
        part_BL = filling.tokens_BL[:, first : first + size]
        if first:
            prefix.commit(filling.tokens_BL[:, first - size : first])
            filling.nfe_B += 1
        if calls:
            part = replace(
                request,
                denoise=prefix.denoise,
                tokens_BL=part_BL.contiguous(),
                steps=None if reveal else calls,
                fixed=None,
                rows_input=True,
                constrain=prefix.constraint_from(first),
                progress=shifted(request.progress, done, total),
            )
            sample = sampler.run(part, **options)
            part_BL.copy_(sample.tokens_BL)
            filling.nfe_B += torch.tensor(sample.nfe)
        done += calls
    return filling.sample()


def block_plan(masked_BL: torch.Tensor, size: int, steps: int | None, reveal: int | None) -> list[tuple[int, int]]:
    """First token and denoising calls of each block up to the last in which a token is masked: `reveal` tokens a call,
    or of `steps` the share of the block, by the row of which most is masked; 0 where a block is given."""
    most = masked_BL.unflatten(1, (-1, size)).sum(dim=2).amax(dim=0).tolist()  # B L -> B n b -> n
    while most and not most[-1]:
        del most[-1]
    calls = [
        -(-count // reveal) if reveal else max(count > 0, round((steps or 0) * count / sum(most))) for count in most
    ]
    return [(index * size, int(one)) for index, one in enumerate(calls)]


class Prefix:
    """State of a network after the settled tokens of rows: a denoising call reads it, a commit advances it.

    Raises DiffusionError for a network without `extend`, and for a constraint on several positions together.
    """

    def __init__(self, request: SampleRequest, tokens_BL: torch.Tensor) -> None:
        extend: Extend | None = getattr(request.denoise, "extend", None)
        if extend is None:
            raise DiffusionError("sampler: this network has no `extend`, so nothing is cached; allowed: backbones")
        if isinstance(request.constrain, JointConstraint):
            raise DiffusionError(ACROSS_BLOCKS)
        self.tokens_BL = tokens_BL
        self._extend, self._constrain = extend, request.constrain
        self._state: Any = None
        self._rows_R = torch.arange(len(tokens_BL))

    def denoise(self, tokens_RL: torch.Tensor, rows_R: torch.Tensor) -> torch.Tensor:
        """Logits (R, L, V) of tokens of some rows (int64, on the CPU) that follow; the state stays."""
        state: State | None = self._state
        if state is not None and len(rows_R) < len(self.tokens_BL):
            state = state.rows(rows_R.to(tokens_RL.device))
        self._rows_R = rows_R
        logits_RLV, _ = self._extend(tokens_RL, state, keep=False)
        assert logits_RLV is not None
        return logits_RLV

    def read(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        """Logits (B, L, V) of tokens that follow; the state is then that after them."""
        logits_BLV, self._state = self._extend(tokens_BL, self._state)
        assert logits_BLV is not None
        return logits_BLV

    def commit(self, tokens_BL: torch.Tensor) -> None:
        """The state after tokens that follow, by a call without the network's head."""
        _, self._state = self._extend(tokens_BL, self._state, head=False)

    def constraint_from(self, first: int) -> MaskingConstraint | None:
        """The request's constraint for a part of the rows that begins at `first`; it is given the whole rows of the
        newest call, so that what it reads of the tokens before stays."""
        whole = self._constrain
        if whole is None:
            return None
        assert callable(whole)

        def constrain(logits_RLV: torch.Tensor, tokens_RL: torch.Tensor) -> torch.Tensor:
            part = slice(first, first + tokens_RL.shape[1])
            rows_RL = self.tokens_BL[self._rows_R.to(self.tokens_BL.device)]
            rows_RL[:, part] = tokens_RL
            padded_RLV = logits_RLV.new_zeros(*rows_RL.shape, logits_RLV.shape[-1])
            padded_RLV[:, part] = logits_RLV
            return whole(padded_RLV, rows_RL)[:, part]

        return constrain
