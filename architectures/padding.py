"""Positions that hold nothing but PAD: which they are, and how mixers leave them out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_known: bool | None = None  # a plain global: torch.compile guards on it


@contextmanager
def padded_rows(known: bool | None) -> Iterator[None]:
    """Backbones called inside rely on this for whether their rows hold PAD, so that no GPU is waited for.

    Without it, and with None, each call looks at its tokens. True for rows without PAD costs time and changes nothing
    but rounding.
    """
    global _known
    before, _known = _known, known
    try:
        yield
    finally:
        _known = before


def known_padding() -> bool | None:
    """What `padded_rows` says of the rows at hand; None outside it."""
    return _known


def pad_positions(tokens_BL: torch.Tensor, pad_id: int | None, stride: int) -> torch.Tensor | None:
    """Bool (B, L / stride), true where all `stride` tokens of a position are PAD; None where no row holds PAD.

    Where the answer may not be waited for (a recorded or compiled call) and is not known, PAD is expected.
    """
    if pad_id is None or _known is False or tokens_BL.is_meta:
        return None
    pad_BL = tokens_BL == pad_id
    fixed = torch.compiler.is_compiling() or (tokens_BL.is_cuda and torch.cuda.is_current_stream_capturing())
    if _known is None and not fixed and not bool(pad_BL.any()):
        return None
    return pad_BL.unflatten(1, (-1, stride)).all(dim=2)  # B L -> B L/stride stride -> B L/stride


def masked_share(tokens_BL: torch.Tensor, mask_id: int, pad_id: int | None = None) -> torch.Tensor:
    """Share of masked tokens in each row (B,), PAD left out of both where its id is given."""
    masked_BL = (tokens_BL == mask_id).float()
    if pad_id is None:
        return masked_BL.mean(dim=1)  # B L -> B
    return masked_BL.sum(dim=1) / (tokens_BL != pad_id).sum(dim=1).clamp(min=1)  # B L -> B


def without_pad(values_BLD: torch.Tensor, pad_BL: torch.Tensor | None) -> torch.Tensor:
    """The values, 0 at PAD."""
    return values_BLD if pad_BL is None else values_BLD.masked_fill(pad_BL[..., None], 0.0)
