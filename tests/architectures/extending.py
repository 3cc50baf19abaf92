"""Small networks with weights moved off their start, and what they are given, for tests of extension."""

from __future__ import annotations

from typing import Any

import torch

from architectures import Backbone, build, canonical_pattern
from architectures.mixer import Mixer
from architectures.registry import make_mixer

V, PAD, MASK = 11, 0, 3
WIDTH, LENGTH, BLOCK = 16, 24, 8  # three blocks, each longer than a convolution reaches
CAUSAL = [
    "M", "S", "G", "D", "C(causal)", "F", "A(causal)", "A(learned,causal)", "A(window=5,causal)", "A(causal,conv=4)",
    "F(causal,conv=4)",
]  # fmt: skip
BIDIRECTIONAL = [
    "M(bidirectional)", "M(bidirectional,tied)", "M(bidirectional,separate)", "M(backward)", "S(bidirectional)",
    "S(backward)", "G(bidirectional)", "G(backward)", "C", "C(kernel=23)", "A", "A(window=5)", "A(conv=4)",
    "A(learned,conv=3)", "F(conv=4)", "D(bidirectional)", "D(backward)",
]  # fmt: skip
WITHOUT_STATE = {"H"}


def mixer_of(text: str, dtype: torch.dtype = torch.float64) -> Mixer:
    """A small mixer whose weights are moved off their start, so that no part is 0."""
    torch.manual_seed(0)
    mixer = make_mixer(canonical_pattern(text).slots[0], WIDTH, {"head_width": 8, "state": 4}).to(dtype)
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return mixer


def net(pattern: str, **size: Any) -> Backbone:
    sizes = {"width": WIDTH, "stride": 1, "head_width": 8, "state": 4, "pad_id": PAD, "mask_id": MASK, **size}
    torch.manual_seed(0)
    backbone = build(pattern, vocab_size=V, **sizes).double().eval()
    assert isinstance(backbone, Backbone)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return backbone


def inputs(dtype: torch.dtype = torch.float64, seed: int = 1) -> torch.Tensor:
    return torch.randn(2, LENGTH, WIDTH, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def rows(seed: int = 1, length: int = LENGTH) -> torch.Tensor:
    return torch.randint(1, V, (2, length), generator=torch.Generator().manual_seed(seed))
