"""The draw of tokens from logits: temperature, nucleus, constraint; the same for every sampler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bench.diffusion.errors import DiffusionError
from bench.diffusion.samplers.constraint import Constraint, JointConstraint

OUTSIDE_NUCLEUS = 1e4  # nats: taken by a joint constraint only where nothing else is legal
COLDEST = 1e-9  # lowest temperature that logits are divided by, 0 for a joint constraint: the best choice is certain


@dataclass(frozen=True)
class Drawing:
    """Draws tokens from `softmax(logits / temperature)`, cut to the nucleus of `top_p`, under `constrain`.

    `forbidden_ids` (MASK among them) have probability 0. `top_p` keeps the most likely tokens until their
    probabilities reach it (Holtzman et al. 2020, 1904.09751); the constraint comes before the nucleus.
    """

    generator: torch.Generator
    forbidden_ids: Sequence[int]
    temperature: float = 1.0
    top_p: float = 1.0
    constrain: Constraint | None = None

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise DiffusionError(f"temperature: {self.temperature} is not allowed; allowed: 0 (the best token) or more")
        if not 0 < self.top_p <= 1:
            raise DiffusionError(f"top_p: {self.top_p} is not allowed; allowed: more than 0, at most 1 (all tokens)")

    def draw(self, logits_BLV: torch.Tensor, tokens_BL: torch.Tensor, reveal_BL: torch.Tensor) -> torch.Tensor:
        """Tokens for the positions where `reveal_BL` (on any device), in row-major order (N,).

        `tokens_BL` is what the denoiser was given. Raises DiffusionError where the constraint leaves nothing.
        """
        if callable(self.constrain):
            logits_BLV = self.constrain(logits_BLV, tokens_BL)
        reveal_BL = reveal_BL.to(logits_BLV.device)
        if isinstance(self.constrain, JointConstraint):
            rows = reveal_BL.any(dim=1)
            return self._draw_jointly(self.constrain, logits_BLV[rows], tokens_BL[rows], reveal_BL[rows])
        at_N = reveal_BL.flatten().nonzero().squeeze(1)
        logits_NV = self._allowed(logits_BLV.flatten(0, 1)[at_N])  # B L V -> N V
        if self.constrain is not None:
            self._refuse_nothing(logits_NV, reveal_BL)
        if self.temperature == 0:
            return logits_NV.argmax(dim=1)
        logits_NV = logits_NV / max(self.temperature, COLDEST)
        if self.top_p < 1:
            logits_NV = logits_NV.masked_fill(outside_nucleus(logits_NV, self.top_p), float("-inf"))
        return gumbel_argmax(logits_NV, self.generator)

    def log_probability(self, logits_BLV: torch.Tensor, at_BL: torch.Tensor, token_N: torch.Tensor) -> torch.Tensor:
        """log p of `token_N` at the positions where `at_BL`, at temperature 1, float64 (N,): how sure a draw is."""
        at_N = at_BL.to(logits_BLV.device).flatten().nonzero().squeeze(1)
        log_NV = self._allowed(logits_BLV.flatten(0, 1)[at_N]).log_softmax(dim=1)
        return log_NV.gather(1, token_N.to(log_NV.device)[:, None]).squeeze(1)

    def _allowed(self, logits_V: torch.Tensor) -> torch.Tensor:
        """Float64 logits (..., V) without the forbidden tokens."""
        never = torch.as_tensor(self.forbidden_ids, dtype=torch.int64, device=logits_V.device)
        return logits_V.double().index_fill(-1, never, float("-inf"))

    def _draw_jointly(
        self, constrain: JointConstraint, logits_BLV: torch.Tensor, tokens_BL: torch.Tensor, reveal_BL: torch.Tensor
    ) -> torch.Tensor:
        scale = 1 / max(self.temperature, COLDEST)
        logits_BLV = self._allowed(logits_BLV) * scale
        scale = max(scale, 1.0)
        if self.top_p < 1 and self.temperature > 0:
            logits_BLV = logits_BLV - scale * OUTSIDE_NUCLEUS * outside_nucleus(logits_BLV, self.top_p)
        return constrain.draw(logits_BLV, tokens_BL, reveal_BL, self.generator, scale=scale)[reveal_BL]

    def _refuse_nothing(self, logits_NV: torch.Tensor, reveal_BL: torch.Tensor) -> None:
        empty_N = torch.isneginf(logits_NV).all(dim=1)
        if bool(empty_N.any()):
            row, position = reveal_BL.nonzero()[int(empty_N.nonzero()[0])].tolist()
            raise DiffusionError(
                f"constrain: no token is allowed at position {position} of row {row}; allowed: a constraint that "
                "leaves at least one"
            )


def outside_nucleus(logits_V: torch.Tensor, top_p: float) -> torch.Tensor:
    """True at the tokens (..., V) that are not among the most likely whose probabilities first reach `top_p`."""
    ordered_V, index_V = logits_V.softmax(dim=-1).sort(dim=-1, descending=True)
    before_V = ordered_V.cumsum(dim=-1) - ordered_V
    return torch.zeros_like(logits_V, dtype=torch.bool).scatter(-1, index_V, before_V >= top_p)


def gumbel_argmax(logits_NV: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One draw a row from softmax(logits), (N,).

    Gumbel noise in the dtype of the logits: take float64. In float32 the largest draws are cut off, which lowers the
    temperature without notice (Zheng et al. 2024, 2409.02908).
    """
    return (logits_NV + gumbel_noise(logits_NV.shape, generator, logits_NV.dtype).to(logits_NV.device)).argmax(dim=1)


def gumbel_noise(shape: Sequence[int], generator: torch.Generator, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Standard Gumbel draws on the generator's device."""
    u = torch.rand(tuple(shape), generator=generator, dtype=dtype, device=generator.device)
    return -torch.log(-torch.log(u.clamp_(min=torch.finfo(dtype).tiny)))
