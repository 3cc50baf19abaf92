"""The stem, equal for every pattern: token ids to fewer, wider positions, and positions back to logits."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from architectures.config import BackboneConfig
from architectures.mixer import FlopCount, at_least_float32, without_decay
from architectures.padding import without_pad

HEAD_INIT_STD = 0.02  # logits start near 0, so that the first loss is near that of a uniform guess
TIME_FEATURES = 64
TIME_SCALE = 1000.0  # a time in 0..1 is spread over the sinusoids' usual range (Ho et al. 2020, arXiv 2006.11239)


def make_norm(config: BackboneConfig, width: int) -> nn.Module:
    """The norm of the configuration over `width` features."""
    return nn.LayerNorm(width) if config.norm == "layer" else nn.RMSNorm(width)


class Compress(nn.Module):
    """Token ids (B, L) -> embeddings -> strided convolution -> (B, L / stride, D).

    Zeros are added so that a kernel wider than the stride is centred on its tokens. Learned positions do not decay.
    """

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        surplus = config.stem_kernel - config.stride
        self.padding = (surplus // 2, surplus - surplus // 2)
        self.embedding = nn.Embedding(config.vocab_size, config.token_width)
        self.convolution = nn.Conv1d(config.token_width, config.width, config.stem_kernel, stride=config.stride)
        positions = math.ceil(config.max_length / config.stride)
        learned = config.positions == "learned"
        self.position = nn.Parameter(torch.randn(positions, config.width) * 0.02) if learned else None
        if self.position is not None:
            without_decay(self.position)

    def forward(self, tokens_BL: torch.Tensor, pad_BL: torch.Tensor | None = None, past: int = 0) -> torch.Tensor:
        """(B, L) int64 -> (B, L / stride, D). pad_BL: true at tokens of PAD, whose embedding is then 0, as beyond the
        ends, so that a position that is partly PAD keeps its other tokens alone; None where there are none. past:
        positions before the first."""
        x = without_pad(self.embedding(tokens_BL), pad_BL)  # B L -> B L E
        x = F.pad(x, (0, 0, *self.padding))  # B L E -> B L+surplus E
        windows = x.unfold(1, self.config.stem_kernel, self.config.stride)  # -> B L/stride E K
        # A product, not conv1d: oneDNN's strided conv1d gives wrong values in bfloat16 for 16 channels of kernel 4.
        # B L/stride EK -> B L/stride D
        x = F.linear(windows.flatten(2), self.convolution.weight.flatten(1), self.convolution.bias)
        return x if self.position is None else x + self.position[past : past + x.shape[1]]

    def flops(self, length: int) -> FlopCount:
        """The convolution, as a product of (length / stride) x (kernel E) x D; a look-up counts nothing."""
        config = self.config
        return FlopCount(
            matmul=2.0 * (length // config.stride) * config.stem_kernel * config.token_width * config.width
        )


class Expand(nn.Module):
    """(B, L / stride, D) -> transposed convolution -> norm -> logits (B, L, V), at least in float32."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        surplus = config.stem_kernel - config.stride
        self.cut = surplus // 2
        self.convolution = nn.ConvTranspose1d(
            config.width, config.token_width, config.stem_kernel, stride=config.stride
        )
        self.norm = make_norm(config, config.token_width)
        self.head = None if config.tied_head else nn.Linear(config.token_width, config.vocab_size)
        if self.head is not None:
            nn.init.normal_(self.head.weight, std=HEAD_INIT_STD)
            nn.init.zeros_(self.head.bias)

    def forward(self, x_BLD: torch.Tensor, embedding_VE: torch.Tensor) -> torch.Tensor:
        """(B, L / stride, D) -> (B, L, V); `embedding_VE` is used by a tied head only."""
        length = x_BLD.shape[1] * self.config.stride
        x = self.norm(self.upward(x_BLD)[:, self.cut : self.cut + length])  # B L/stride D -> B L+surplus E -> B L E
        if self.head is not None:
            return at_least_float32(self.head(x))  # B L E -> B L V
        return at_least_float32(F.linear(x, embedding_VE / self.config.token_width))  # B L E -> B L V

    def upward(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """The transposed convolution; a product where its windows do not overlap, as in `Compress`."""
        if self.config.stem_kernel > self.config.stride:
            x = self.convolution(x_BLD.transpose(1, 2))  # B D L/stride -> B E L+surplus
            return x.transpose(1, 2)
        bias_E = cast(torch.Tensor, self.convolution.bias)
        weight = self.convolution.weight.permute(2, 1, 0).flatten(0, 1)  # D E K -> KE D
        x = F.linear(x_BLD, weight)  # B L/stride D -> B L/stride KE
        return x.view(x.shape[0], -1, self.config.token_width) + bias_E  # B L/stride KE -> B L E

    def flops(self, length: int) -> FlopCount:
        """The transposed convolution and the head, as products."""
        config = self.config
        upward = (length // config.stride) * config.stem_kernel * config.token_width * config.width
        return FlopCount(matmul=2.0 * (upward + length * config.token_width * config.vocab_size))


class TimeFeatures(nn.Module):
    """Diffusion time (B,) in 0..1 -> (B, TIME_FEATURES): sinusoids and one hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.inward = nn.Linear(TIME_FEATURES, TIME_FEATURES)

    def forward(self, time_B: torch.Tensor) -> torch.Tensor:
        """(B,) -> (B, TIME_FEATURES)."""
        half = TIME_FEATURES // 2
        steps = torch.arange(half, device=time_B.device, dtype=torch.float32)
        angle = TIME_SCALE * time_B.float()[:, None] * torch.exp(-math.log(10_000.0) * steps / half)  # B -> B T/2
        features = torch.cat((angle.cos(), angle.sin()), dim=-1).to(self.inward.weight.dtype)  # B T/2 -> B T
        return F.silu(self.inward(features))

    def flops(self) -> FlopCount:
        """The hidden layer, once a sequence."""
        return FlopCount(matmul=2.0 * TIME_FEATURES**2)
