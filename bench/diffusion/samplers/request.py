"""The request that every sampler takes, the rows while they are filled, and the sample it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from bench.diffusion.errors import DiffusionError
from bench.diffusion.objectives import ABSORBING
from bench.diffusion.samplers.constraint import Constraint
from bench.diffusion.samplers.drawing import Drawing
from bench.diffusion.sampling_step import weights_cast_once
from bench.diffusion.schedule import Schedule

Denoise = Callable[..., torch.Tensor]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Sample:
    """Drawn tokens and their cost: `nfe[b]` network calls were made in which piece b took part."""

    tokens_BL: torch.Tensor  # int64, no MASK left
    nfe: list[int]

    @property
    def nfe_mean(self) -> float:
        """Network calls per piece, the mean over the pieces."""
        return sum(self.nfe) / len(self.nfe)


@dataclass(frozen=True, eq=False)
class SampleRequest:
    """Rows to fill and the rules of drawing, the same for every sampler.

    denoise        `denoise(tokens_BL)`, with `time_input` `denoise(tokens_BL, time_B)`, -> logits (B, L, V)
    tokens_BL      int64; each `mask_id` is to be filled, the other tokens are given
    generator      on the CPU or on the device of the tokens
    steps          T; None only where a sampler's own option stands instead of it
    fixed          (B, L) bool, positions that must not be masked
    schedule       of the process; None: linear
    powers_V       of a multi-scale process (see MultiScaleDiffusion); None: any other process
    forbidden_ids  tokens that are never drawn, besides MASK
    pad_id         PAD, so that denoisers need not look for it in every call; None: not known
    temperature, top_p, constrain  see Drawing
    rows_input     call `denoise(tokens_RL, rows_R)` with the indices of its rows (int64, on the CPU), for a denoiser
                   that keeps something of each row; `time_input` is not set then
    objective      what the network is trained for, see `bench.diffusion.objectives`
    trained_block  tokens of a block that the network is trained on; None: whole rows
    progress       `progress(done, calls)`, called after each step

    Raises DiffusionError for settings that cannot be used.
    """

    denoise: Denoise
    tokens_BL: torch.Tensor
    mask_id: int
    generator: torch.Generator
    steps: int | None = None
    fixed: torch.Tensor | None = None
    schedule: Schedule | None = None
    powers_V: torch.Tensor | None = None
    forbidden_ids: Sequence[int] = ()
    pad_id: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    constrain: Constraint | None = None
    time_input: bool = False
    rows_input: bool = False
    objective: str = ABSORBING
    trained_block: int | None = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        tokens_BL, fixed = self.tokens_BL, self.fixed
        if self.steps is not None and self.steps < 1:
            raise DiffusionError(f"steps: {self.steps} sampling steps are too few; allowed: 1 or more")
        if tokens_BL.dim() != 2 or tokens_BL.dtype != torch.int64:
            raise DiffusionError(
                f"tokens: shape {tuple(tokens_BL.shape)}, {tokens_BL.dtype}; allowed: (pieces, length) int64"
            )
        if fixed is None:
            return
        if fixed.shape != tokens_BL.shape or fixed.dtype != torch.bool:
            raise DiffusionError(f"fixed: shape {tuple(fixed.shape)}, {fixed.dtype}; allowed: the tokens' shape, bool")
        if bool(((tokens_BL == self.mask_id) & fixed.to(tokens_BL.device)).any()):
            raise DiffusionError("fixed: a fixed position holds MASK; allowed: fixed positions with a token")

    @property
    def padded(self) -> bool | None:
        """Whether rows hold PAD; None where that is not known."""
        return None if self.pad_id is None else bool((self.tokens_BL == self.pad_id).any())

    @property
    def step_count(self) -> int:
        """T, for a sampler that needs it. Raises DiffusionError where it is not given."""
        if self.steps is None:
            raise DiffusionError("steps: a continuous-time process needs a number of sampling steps")
        return self.steps

    def uniform(self, *shape: int) -> torch.Tensor:
        """Draws from [0, 1) in float64, on the CPU whatever the generator's device."""
        draws = torch.rand(*shape, generator=self.generator, dtype=torch.float64, device=self.generator.device)
        return draws.cpu()


class Filling:
    """The rows of a request while they are filled, and the network calls made for each."""

    def __init__(self, request: SampleRequest) -> None:
        self.request = request
        self.drawing = Drawing(
            request.generator,
            (request.mask_id, *request.forbidden_ids),
            request.temperature,
            request.top_p,
            request.constrain,
        )
        self.tokens_BL = request.tokens_BL.clone()
        self.nfe_B = torch.zeros(len(self.tokens_BL), dtype=torch.int64)

    @property
    def masked_BL(self) -> torch.Tensor:
        """Positions still to be filled, bool."""
        return self.tokens_BL == self.request.mask_id

    def call(self, rows_R: torch.Tensor, time_R: torch.Tensor | float) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens (R, L) and logits (R, L, V) of some rows (int64, on the CPU); counts the call.

        `time_R` in (0, 1] is passed to a denoiser that reads it.
        """
        part_RL = self.tokens_BL
        if len(rows_R) < len(self.tokens_BL):
            part_RL = part_RL[rows_R.to(part_RL.device)]
        self.nfe_B[rows_R] += 1
        if self.request.rows_input:
            return part_RL, self.request.denoise(part_RL, rows_R)
        if not self.request.time_input:
            return part_RL, self.request.denoise(part_RL)
        time_R = torch.as_tensor(time_R).to(part_RL.device, torch.float32).expand(len(part_RL)).contiguous()
        return part_RL, self.request.denoise(part_RL, time_R)

    def reveal(self, reveal_BL: torch.Tensor, rows_R: torch.Tensor, time_R: torch.Tensor | float) -> None:
        """Call the denoiser on some rows and draw the positions of them where `reveal_BL` (on the CPU)."""
        part_RL, logits_RLV = self.call(rows_R, time_R)
        if reveal_BL.any():
            drawn_N = self.drawing.draw(logits_RLV, part_RL, reveal_BL[rows_R])
            self.tokens_BL[reveal_BL.to(self.tokens_BL.device)] = drawn_N.to(self.tokens_BL.device)

    def reveal_in_turn(self, call_BL: torch.Tensor, time_CB: torch.Tensor, *, skip_idle: bool) -> Sample:
        """Reveal each position in the call (1..C, on the CPU) that `call_BL` names; 0 is never.

        `time_CB` is the time of each call. `skip_idle` computes only the rows in which something is revealed: a
        denoiser's answer is used nowhere else.
        """
        for call, time_B in enumerate(time_CB, start=1):
            reveal_BL = call_BL == call
            rows_R = rows_with(reveal_BL) if skip_idle else torch.arange(len(call_BL))
            if len(rows_R):
                self.reveal(reveal_BL, rows_R, time_B[rows_R])
            self.report(call, len(time_CB))
        return self.sample()

    def report(self, done: int, calls: int) -> None:
        """Call `progress`, where there is one."""
        if self.request.progress is not None:
            self.request.progress(done, calls)

    def sample(self) -> Sample:
        """The rows as they are."""
        return Sample(self.tokens_BL, self.nfe_B.tolist())


def shifted(progress: Progress | None, done: int, total: int) -> Progress | None:
    """Progress of a part that begins after `done` of `total` calls."""
    return None if progress is None else lambda step, _: progress(done + step, total)


def rows_with(positions_BL: torch.Tensor) -> torch.Tensor:
    """Indices of the rows that have any of the positions, int64 (R,)."""
    return positions_BL.any(dim=1).nonzero().squeeze(1)


@contextmanager
def evaluation_mode(denoise: object) -> Iterator[None]:
    """No gradients, a module in eval mode (dropout off), and its weights cast once where it computes in half precision,
    until the block ends; no weight may change in it."""
    was_training = isinstance(denoise, nn.Module) and denoise.training
    if isinstance(denoise, nn.Module):
        denoise.eval()
    try:
        with torch.inference_mode(), weights_cast_once():
            yield
    finally:
        if was_training and isinstance(denoise, nn.Module):
            denoise.train()
