"""H, the Hyena mixer: gates around a convolution as long as the sequence, done by FFT."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import nn
from torch.nn import functional as F

from architectures.mixer import FlopCount, Mixer, without_autocast, writes_residual
from architectures.registry import register_mixer

HyenaDirection = Literal["forward", "bidirectional"]
SPAN = 2048.0  # positions in a period of the slowest sinusoid, for any length: a longer input extends the filter
BANDS = 8  # pairs of sinusoids that describe a lag
FILTER_WIDTH = 32  # of the network that makes the filter
HALF_LIVES = (4.0, 1024.0)  # positions in which the window of the fastest and of the slowest channel halves


def fft_convolve(x_BDL: torch.Tensor, filter_DT: torch.Tensor, lags_before: int) -> torch.Tensor:
    """y_t = sum_s filter[t - s + lags_before] x_s for lags from -lags_before to T - 1 - lags_before: (B, D, L).

    Lags of L and more are not allowed: T <= L + lags_before and lags_before < L.
    """
    length = x_BDL.shape[-1]
    size = length + filter_DT.shape[-1] - 1
    size += size % 2
    spectrum = torch.fft.rfft(x_BDL, n=size) * torch.fft.rfft(filter_DT, n=size)  # B D size/2+1
    return torch.fft.irfft(spectrum, n=size)[..., lags_before : lags_before + length]  # B D size -> B D L


class ImplicitFilter(nn.Module):
    """A filter of any length from a small network over the lag (Poli et al. 2023, section 3.3): (D, T).

    filter_d(t) = window_d(|t|) * network(t)_d; the network reads t / SPAN and BANDS sinusoids of it, with sines as
    activations; the windows are exponentials with half-lives spaced geometrically, scaled to a unit sum of squares.
    """

    decay: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.inward = nn.Linear(2 * BANDS + 1, FILTER_WIDTH)
        self.inner = nn.Linear(FILTER_WIDTH, FILTER_WIDTH)
        self.outward = nn.Linear(FILTER_WIDTH, width, bias=False)
        half_lives = torch.logspace(math.log10(HALF_LIVES[0]), math.log10(HALF_LIVES[1]), width)
        self.register_buffer("decay", math.log(2.0) / half_lives, persistent=False)

    def forward(self, lags_T: torch.Tensor) -> torch.Tensor:
        """(T,) lags in positions -> (D, T)."""
        place = lags_T[:, None] / SPAN
        angle = place * (2 * math.pi * 2.0 ** torch.arange(BANDS, device=lags_T.device))  # T 1 -> T BANDS
        features = torch.cat((place, angle.sin(), angle.cos()), dim=-1).to(self.inward.weight.dtype)  # T 2 BANDS + 1
        hidden = torch.sin(self.inner(torch.sin(self.inward(features))))  # T FILTER_WIDTH
        decay = self.decay.float()
        window = torch.exp(-lags_T.abs()[:, None] * decay) * (2 * decay).sqrt()  # T D
        return (self.outward(hidden).float() * window).T  # T D -> D T

    def flops(self, taps: int) -> float:
        """The three layers of the network at each lag, once a forward pass."""
        return 2.0 * taps * FILTER_WIDTH * (2 * BANDS + 1 + FILTER_WIDTH + self.width)


@register_mixer("H", name="hyena")
class Hyena(Mixer):
    """Hyena of order 2 (Poli et al. 2023, arXiv 2302.10866, definition 3.1): y = W' (a * (h conv (b * v) + d b v)),
    with a, b, v = shortconv(W x) and h from `ImplicitFilter`.

    (B, L, D) -> (B, L, D). kernel: of the short convolution, in positions, odd when bidirectional. direction:
    `forward` is causal; `bidirectional` reads the filter at negative lags too, with the same parameters.
    """

    title = "Hyena"
    words = {word: ("direction", word) for word in get_args(HyenaDirection)}  # noqa: RUF012

    def __init__(self, width: int, *, kernel: int = 3, direction: HyenaDirection = "forward") -> None:
        super().__init__(width)
        self.set_direction(direction, HyenaDirection)
        if kernel < 1 or (kernel % 2 == 0 and not self.causal):
            raise ValueError(f"kernel={kernel}; must be at least 1, and odd when bidirectional")
        self.kernel = kernel
        self.padding = (kernel - 1, 0) if self.causal else (kernel // 2, kernel // 2)
        self.inward = nn.Linear(width, 3 * width, bias=False)
        self.short = nn.Conv1d(3 * width, 3 * width, kernel, groups=3 * width)
        self.filter = ImplicitFilter(width)
        self.skip = nn.Parameter(torch.ones(width))
        self.outward = writes_residual(nn.Linear(width, width, bias=False))

    def forward(self, x_BLD: torch.Tensor, pad_BL: torch.Tensor | None = None) -> torch.Tensor:
        """(B, L, D) -> (B, L, D); the long convolution reads 0 where pad_BL is true, as beyond the ends."""
        length = x_BLD.shape[1]
        projected = self.inward(x_BLD).transpose(1, 2)  # B L D -> B 3D L
        after, before, value = self.short(F.pad(projected, self.padding)).float().chunk(3, dim=1)  # three of B D L
        lags_before = 0 if self.causal else length - 1
        with without_autocast(x_BLD.device):
            lags = torch.arange(-lags_before, length, device=x_BLD.device, dtype=torch.float32)
            gated = before * value
            if pad_BL is not None:
                gated = gated.masked_fill(pad_BL[:, None], 0.0)
            mixed = fft_convolve(gated, self.filter(lags), lags_before) + self.skip.float()[:, None] * gated
        return self.outward((after * mixed).transpose(1, 2).to(x_BLD.dtype))  # B D L -> B L D

    def flops(self, length: int) -> FlopCount:
        """Projections, short convolution, filter network, and three real FFTs of 2.5 n log2 n with their product.

        The filter is computed and transformed once per batch; here one sequence bears it all.
        """
        taps = length if self.causal else 2 * length - 1
        size = length + taps - 1
        size += size % 2
        transforms = 3 * 2.5 * size * math.log2(max(2, size)) + 3.0 * size
        return FlopCount(
            matmul=8.0 * length * self.width**2 + self.filter.flops(taps),
            convolution=self.width * (6.0 * length * self.kernel + transforms),
        )
