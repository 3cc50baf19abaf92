"""Inputs at the edge of what training meets: error below 1e-4 of the largest reference value, and never a NaN."""

from functools import cache

import pytest
import torch

from architectures.scan import available_kernels, selective_scan
from architectures.scan.kernels import KERNELS

FAST_CPU_KERNELS = [
    name for name, kernel in KERNELS.items() if name != "reference" and (not kernel.devices or "cpu" in kernel.devices)
]
CASES = {
    "wide": {"length": 1024, "delta": (1e-4, 10.0), "rate": (1e-2, 100.0)},
    "slow": {"length": 8192, "delta": (1e-4, 1e-3), "rate": (0.5, 2.0)},
    "fast": {"length": 300, "delta": (1.0, 10.0), "rate": (10.0, 100.0)},
    "constant": {"length": 8192, "delta": (1e-4, 1e-4), "rate": (1.0, 1.0)},
}


def between(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Spread evenly over the orders of magnitude."""
    return low * (high / low) ** torch.rand(shape, generator=generator, dtype=torch.float64)


@cache
def case(name: str) -> tuple[torch.Tensor, ...]:
    """u, delta, A, B, C and the gradient of y, rounded to float32 and held in float64."""
    settings, generator = CASES[name], torch.Generator().manual_seed(7)
    channels, state, length = 5, 4, int(settings["length"])  # type: ignore[call-overload]
    time, mix = (1, channels, length), (1, state, length)
    tensors = (
        torch.randn(time, generator=generator, dtype=torch.float64),
        between(*settings["delta"], time, generator),  # type: ignore[misc]
        -between(*settings["rate"], (channels, state), generator),  # type: ignore[misc]
        torch.randn(mix, generator=generator, dtype=torch.float64),
        torch.randn(mix, generator=generator, dtype=torch.float64),
        torch.randn(time, generator=generator, dtype=torch.float64),
    )
    return tuple(tensor.float().double() for tensor in tensors)


def results(tensors: tuple[torch.Tensor, ...], kernel: str) -> dict[str, torch.Tensor]:
    *arguments, grad = tensors
    leaves = [tensor.clone().requires_grad_() for tensor in arguments]
    y = selective_scan(*leaves, kernel=kernel)
    gradients = torch.autograd.grad(y, leaves, grad)
    return dict(zip(("y", "u", "delta", "A", "B", "C"), (y.detach(), *gradients), strict=True))


@cache
def exact(name: str) -> dict[str, torch.Tensor]:
    return results(case(name), "reference")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kernel", FAST_CPU_KERNELS)
def test_error_stays_below_1e_4(kernel: str, name: str) -> None:
    if available_kernels()[kernel]:
        pytest.skip(available_kernels()[kernel])
    found = results(tuple(tensor.float() for tensor in case(name)), kernel)
    errors = {key: float((found[key].double() - x).abs().max() / x.abs().max()) for key, x in exact(name).items()}
    assert all(tensor.isfinite().all() for tensor in found.values())
    assert max(errors.values()) < 1e-4, errors


@pytest.mark.parametrize("kernel", FAST_CPU_KERNELS)
def test_silence_after_a_sound_decays_to_nothing(kernel: str) -> None:
    """u = 0 after the first step: h halves each time, through the subnormal numbers to 0, without a NaN on the way."""
    if available_kernels()[kernel]:
        pytest.skip(available_kernels()[kernel])
    length = 400
    u = torch.zeros(1, 16, length)
    u[..., 0] = 1.0
    ones = torch.ones(1, 1, length)
    y = selective_scan(u, 0.0 * u + torch.log(torch.tensor(2.0)), -torch.ones(16, 1), ones, ones, kernel=kernel)
    assert y.isfinite().all() and not y[..., 160:].any()
    assert (y[0, 0, :100] > 0).all()


@pytest.mark.parametrize("kernel", FAST_CPU_KERNELS)
def test_growing_state_is_followed_too(kernel: str) -> None:
    """A > 0 is legal: with exp(step A) = 2 and u only in the first step, y_t = ln2 2^t."""
    if available_kernels()[kernel]:
        pytest.skip(available_kernels()[kernel])
    u = torch.zeros(1, 1, 60)
    u[..., 0] = 1.0
    ones = torch.ones(1, 1, 60)
    y = selective_scan(u, ones * torch.log(torch.tensor(2.0)), torch.ones(1, 1), ones, ones, kernel=kernel)
    expected = 0.6931472 * 2.0 ** torch.arange(60)
    torch.testing.assert_close(y[0, 0], expected, rtol=1e-4, atol=0)
