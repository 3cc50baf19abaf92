"""Attention within a window of positions, in chunks at a cost linear in the length."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from architectures.attention_kernels import attend


def window_mask(place: torch.Tensor, window: int, causal: bool) -> torch.Tensor:
    """Mask (L, L), true where a query attends to a key."""
    return within(place[:, None] - place[None, :], window, causal)


def within(distance: torch.Tensor, window: int, causal: bool) -> torch.Tensor:
    """True where a key lies in the window of a query, `distance` positions before it."""
    return (distance <= window) & (distance >= (0 if causal else -window))


def windowed_attention(
    query_BHLK: torch.Tensor,
    key_BHLK: torch.Tensor,
    value_BHLK: torch.Tensor,
    window: int,
    *,
    causal: bool,
    pad_BL: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attention to the positions within `window`, in chunks of that size: (B, H, L, K) at a cost linear in L.

    Each chunk of queries attends to its own keys and those of the chunk before (and after, unless causal), masked to
    the exact window, and to the keys where pad_BL is not true.
    """
    batch, heads, length, width = query_BHLK.shape
    count = -(-length // window)
    surplus = count * window - length
    span = 2 if causal else 3
    padding = (0, 0, window, surplus + (0 if causal else window))
    query = F.pad(query_BHLK, (0, 0, 0, surplus)).view(batch, heads, count, window, width)  # B H L K -> B H c w K
    # B H w+L+w K -> B H c K sw -> B H c sw K
    key, value = (F.pad(t, padding).unfold(2, span * window, window).transpose(3, 4) for t in (key_BHLK, value_BHLK))
    start = window * torch.arange(count, device=query.device)[:, None, None]
    from_place = start + torch.arange(window, device=query.device)[:, None]  # c w 1
    to_place = start + torch.arange(span * window, device=query.device) - window  # c 1 sw
    distance = from_place - to_place
    seen = within(distance, window, causal) & (to_place >= 0) & (to_place < length)
    if pad_BL is not None:
        pad = F.pad(pad_BL, padding[2:], value=True).unfold(1, span * window, window)  # B w+L+w -> B c sw
        seen = seen & ~pad[:, :, None]  # c w sw -> B c w sw
    seen = seen | (distance == 0)  # a padded query attends to itself, or its softmax would be empty
    chunks = (tensor.transpose(1, 2) for tensor in (query, key, value))
    mixed = attend(*chunks, mask=seen.unsqueeze(-3), padded=pad_BL is not None)  # B c H w K
    return mixed.transpose(1, 2).reshape(batch, heads, count * window, width)[:, :, :length]
