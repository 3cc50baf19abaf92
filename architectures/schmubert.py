"""SCHmUBERT's denoiser: a transformer between a convolution over four tokens and its transpose, as published.

Source: Plasser et al. 2023, arXiv 2305.09489, and its public code (github plassma/symbolic-music-discrete-diffusion,
model `ConVormer`), for one track of tokens. At its published sizes, 90 tokens and the mask, and 1,024 tokens a sequence
it has 76.6 million parameters.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from architectures.attention_kernels import attend, implementation
from architectures.denoiser import register_denoiser
from architectures.mixer import FlopCount, type_of_products, without_decay


class Block(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)): biases in every layer, GELU, dropout of shares and of results."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        inner = width // heads * heads
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, inner) for _ in range(3))
        self.outward = nn.Linear(inner, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width), nn.Dropout(dropout))

    def forward(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """(B, L, D) -> (B, L, D)."""
        x_BLD = x_BLD + F.dropout(self.outward(self.mixed(self.attention_norm(x_BLD))), self.dropout, self.training)
        return x_BLD + self.mlp(self.mlp_norm(x_BLD))

    def mixed(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """The heads' weighted values, side by side: (B, L, D) -> (B, L, HK)."""
        query, key, value = (
            layer(x_BLD).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # B L HK -> B H L K
            for layer in (self.query, self.key, self.value)
        )
        mixed = attend(query, key, value, causal=False, dropout=self.dropout if self.training else 0.0)
        return mixed.transpose(1, 2).flatten(2)  # B H L K -> B L HK


@register_denoiser("schmubert", size="width", multiple=2, direction="no Mamba")
class Schmubert(nn.Module):
    """SCHmUBERT as published: convolution 4/4 around 24 layers of 512.

    Token ids (B, L) -> logits (B, L, V) in float32; no time input.
    Embedding of D / 4 features + bar position (the token's place among the four) -> convolution 4/4 -> ReLU ->
    linear layer -> ReLU -> + position -> dropout -> blocks -> LayerNorm -> transposed convolution 4/4 -> ReLU -> head
    without bias. PAD is a token like others: the published crops had no padding.

    The published head has no row for the mask, which is never drawn; here it has one, as every denoiser's. The
    published parameter that stands for a start token, of `width` values, is read by autoregressive training only and
    left out.

    length: longest sequence in tokens. width: D; where `heads` or `stride` do not divide it, the features of a head and
    of a token are rounded down, so that matching may choose any width. depth: blocks. hidden: inner features of the
    MLP; None: 4 times the width. stride: tokens a position. dropout: share of attention's shares, of each layer's
    results and of the blocks' input zeroed in training.
    Raises ValueError for sizes that cannot be; `forward` for a length that it does not take.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        length: int,
        width: int = 512,
        depth: int = 24,
        heads: int = 8,
        hidden: int | None = None,
        stride: int = 4,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if min(depth, heads, stride) < 1 or width < max(heads, stride):
            given = f"width={width}, depth={depth}, heads={heads}, stride={stride}"
            raise ValueError(f"{given}; each must be at least 1, and the width at least heads and stride")
        self.vocab_size, self.length, self.width, self.depth, self.stride = vocab_size, length, width, depth, stride
        self.heads, self.hidden = heads, 4 * width if hidden is None else hidden
        self.features = features = width // stride  # E, of a token
        self.embedding = nn.Embedding(vocab_size, features)
        self.bar_position = _position(stride, features)
        self.inward = nn.Conv1d(features, width, stride, stride)
        self.reduction = nn.Linear(width, width)  # `emb_red`, which in the published trio model merges three tracks
        self.position = _position(-(-length // stride), width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(width, heads, self.hidden, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.outward = nn.ConvTranspose1d(width, features, stride, stride)
        self.head = nn.Linear(features, vocab_size, bias=False)

    def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        """(B, L) int64 -> (B, L, V)."""
        self.check_length(tokens_BL.shape[1])
        tokens_BPS = tokens_BL.unflatten(1, (-1, self.stride))  # B L -> B P S, P = L / S
        x = (self.embedding(tokens_BPS) + self.bar_position).flatten(2)  # B P S E -> B P SE
        # Products, not conv1d: see `architectures.stem`. B P SE -> B P D
        x = F.relu(F.linear(x, self.inward.weight.transpose(1, 2).flatten(1), self.inward.bias))
        x = F.relu(self.reduction(x)) + self.position[: x.shape[1]]
        x = self.norm(self.blocks(self.dropout(x)))
        x = F.linear(x, self.outward.weight.permute(2, 1, 0).flatten(0, 1))  # D E S -> SE D; B P D -> B P SE
        x = F.relu(x.unflatten(-1, (self.stride, -1)) + self.outward.bias)  # B P SE -> B P S E
        return self.head(x).flatten(1, 2).float()  # B P S E -> B L V

    def check_length(self, length: int) -> None:
        """Raise ValueError unless sequences of `length` tokens can run."""
        if length < 1 or length % self.stride or length > self.length:
            raise ValueError(f"length {length}; allowed: multiples of {self.stride} up to {self.length}")

    def flops(self, length: int) -> FlopCount:
        """Products of one forward pass over one sequence of `length` tokens."""
        self.check_length(length)
        positions, inner = length // self.stride, self.width // self.heads * self.heads
        stem = self.width**2 + 2 * self.width * self.stride * self.features  # the reduction and both convolutions
        block = self.width * (4 * inner + 2 * self.hidden)
        return FlopCount(
            matmul=2.0 * positions * (stem + self.depth * block) + 2.0 * length * self.features * self.vocab_size,
            attention=4.0 * self.depth * positions**2 * inner,
        )

    def kernels(self, device: torch.device | str | None = None) -> dict[str, str]:
        """{"sdpa": the implementation that runs there}, for autocast's type where it is on."""
        place = torch.device(device) if device is not None else self.position.device
        if place.type == "meta":
            return {}
        dtype = type_of_products(self.head.weight, place)
        return {"sdpa": implementation(place, dtype, self.heads, self.width // self.heads, causal=False, mask=False)}


def _position(places: int, features: int) -> nn.Parameter:
    """A trained vector for each place, zeros at first, without weight decay."""
    parameter = nn.Parameter(torch.zeros(places, features))
    without_decay(parameter)
    return parameter
