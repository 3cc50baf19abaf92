"""Gaussian kernel density of many distances, integrated in closed form or, for many, on a fine grid through the FFT."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from metrics.result import check_known

EXACT_KERNELS: Final = 2000  # up to here every kernel is evaluated; above, the grid (error below 1e-6, see the tests)
STEPS_PER_BANDWIDTH: Final = 16
MOST_GRID_POINTS: Final = 1 << 18
REACH: Final = 8.5  # bandwidths beyond which a Gaussian is nothing
FLAT: Final = 1e-12  # a spread this small beside the values is rounding


class Density(Protocol):
    """A probability density on the line."""

    points: NDArray[np.float64]  # enough points to see every bend

    def pdf(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Density at x."""

    def cdf(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mass at or below x."""


def scott_bandwidth(values: NDArray[np.float64], copies: int = 1) -> float:
    """Scott's rule n^(-1/5) x standard deviation (n - 1 below), each value counted `copies` times; 0 for constant
    values."""
    count = len(values) * copies
    if count < 2:
        return 0.0
    centred = values - values.mean()
    deviation = float(np.sqrt(centred @ centred * copies / (count - 1)))
    return 0.0 if deviation <= FLAT * float(np.abs(values).max(initial=0)) else deviation * count ** (-1 / 5)


def density_of(values: NDArray[np.float64], bandwidth: float, *, method: str = "auto") -> Density:
    """Kernel density of `values`: `exact`, `grid`, or `auto`, which takes the exact one up to EXACT_KERNELS values."""
    check_known("method", method, ("auto", "exact", "grid"))
    exact = method == "exact" or (method == "auto" and len(values) <= EXACT_KERNELS)
    return ExactDensity(values, bandwidth) if exact else GridDensity(values, bandwidth)


class ExactDensity:
    """Every kernel evaluated: pdf and cdf to rounding."""

    def __init__(self, values: NDArray[np.float64], bandwidth: float) -> None:
        self.values, self.bandwidth = np.sort(values), bandwidth
        low, high = self.values[0] - REACH * bandwidth, self.values[-1] + REACH * bandwidth
        count = int(np.clip((high - low) / bandwidth * 4, 64, 8192))
        self.points = np.linspace(low, high, count)

    def pdf(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Density at x, shape (X,)."""
        total = self._sum(x, lambda z: np.exp(-0.5 * z * z))
        return total / (len(self.values) * self.bandwidth * np.sqrt(2 * np.pi))

    def cdf(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mass at or below x, shape (X,)."""
        from scipy.special import ndtr

        return self._sum(x, ndtr) / len(self.values)

    def _sum(self, x: NDArray[np.float64], kernel: object) -> NDArray[np.float64]:
        rows = max(1, 2_000_000 // len(self.values))
        parts = [
            kernel((x[i : i + rows, None] - self.values) / self.bandwidth).sum(1)  # type: ignore[operator]
            for i in range(0, len(x), rows)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)


class GridDensity:
    """Kernels gathered on a grid of 16 steps a bandwidth with cubic B-splines, smoothed through the FFT.

    The spline's own smoothing is divided out again, so what remains is aliasing, below 1e-6 of the mass.
    """

    def __init__(self, values: NDArray[np.float64], bandwidth: float) -> None:
        from scipy.fft import next_fast_len

        low, high = values.min() - REACH * bandwidth, values.max() + REACH * bandwidth
        self.step = max(bandwidth / STEPS_PER_BANDWIDTH, (high - low) / MOST_GRID_POINTS)
        size = next_fast_len(max(int(np.ceil((high - low) / self.step)) + 4, 64), real=True)
        self.points = low + self.step * np.arange(size)
        mass = spline_counts((values - low) / self.step, size) / len(values)
        self._pdf, slope = smoothed(mass, self.step, bandwidth)
        trapezoids = np.concatenate([[0.0], np.cumsum((self._pdf[1:] + self._pdf[:-1]) / 2)]) * self.step
        self._cdf = np.clip(trapezoids - self.step**2 / 12 * (slope - slope[0]), 0, 1)

    def pdf(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Density at x, linear between grid points, shape (X,)."""
        return np.interp(x, self.points, self._pdf, left=0, right=0)

    def cdf(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mass at or below x, cubic between grid points, shape (X,)."""
        where = np.clip((x - self.points[0]) / self.step, 0, len(self.points) - 1.0)
        k = np.minimum(where.astype(np.int64), len(self.points) - 2)
        u = where - k
        rise = self._cdf[k + 1] - self._cdf[k]
        start, stop = self._pdf[k] * self.step, self._pdf[k + 1] * self.step
        return self._cdf[k] + u * (start + u * (3 * rise - 2 * start - stop + u * (start + stop - 2 * rise)))


def smoothed(
    mass: NDArray[np.float64], step: float, bandwidth: float | NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Density and its slope at the grid points, from shares of mass that `spline_counts` has spread: both (..., G)."""
    size = mass.shape[-1]
    frequency = 2 * np.pi * np.fft.rfftfreq(size, step)
    smooth = np.fft.rfft(mass) * np.exp(-0.5 * (frequency * np.asarray(bandwidth)[..., None]) ** 2)
    smooth /= np.sinc(frequency * step / (2 * np.pi)) ** 4
    return np.maximum(np.fft.irfft(smooth, size) / step, 0), np.fft.irfft(smooth * 1j * frequency, size) / step


def spline_counts(positions: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Each position (in grid steps, 1..size - 3) spread over four grid points by the cubic B-spline: shape (size,)."""
    k = positions.astype(np.int64)
    u = positions - k
    back = 1 - u
    weights = (back**3 / 6, (3 * u**3 - 6 * u**2 + 4) / 6, (3 * back**3 - 6 * back**2 + 4) / 6, u**3 / 6)
    return np.sum([np.bincount(k + i - 1, weights=w, minlength=size)[:size] for i, w in enumerate(weights)], 0)


def shared_mass(p: Density, q: Density, low: float, high: float) -> float:
    """Integral of min(p, q) over [low, high]: between two crossings it is the smaller of the two masses."""
    x = np.concatenate([p.points, q.points, [low, high]])
    x = np.unique(x[(x >= low) & (x <= high)])
    above = p.pdf(x) > q.pdf(x)
    turn = np.flatnonzero(above[1:] != above[:-1])
    left, right, left_above = x[turn], x[turn + 1], above[turn]
    for _ in range(25 if len(turn) else 0):
        middle = (left + right) / 2
        same = (p.pdf(middle) > q.pdf(middle)) == left_above
        left, right = np.where(same, middle, left), np.where(same, right, middle)
    breaks = np.concatenate([[low], (left + right) / 2, [high]])
    return float(np.minimum(np.diff(p.cdf(breaks)), np.diff(q.cdf(breaks))).clip(0).sum())


def divergence_nats(p: Density, q: Density, low: float, high: float, points: int = 2048) -> float:
    """Kullback-Leibler divergence KL(p || q) in nats, both on one grid over [low, high], floored at 1e-12 of the
    mass."""
    x = np.linspace(low, high, points)
    shares = [np.maximum(density.pdf(x), 0) for density in (p, q)]
    first, second = (np.maximum(s / s.sum(), 1e-12) if s.sum() > 0 else np.full(points, 1 / points) for s in shares)
    return float((first * np.log(first / second)).sum())
