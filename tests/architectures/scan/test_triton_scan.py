"""The Triton kernel against the float64 loop: on a CUDA device, or in Triton's interpreter (`make test-triton`)."""

import os

import pytest
import torch

from architectures.kernel_choice import KernelError
from architectures.scan import available_kernels, chosen_kernel, selective_scan

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
REASON = available_kernels()["triton"]
needs_triton = pytest.mark.skipif(bool(REASON), reason=f"triton: {REASON}; `make test-triton` interprets it")
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}
"""Largest |error| over largest |reference|. bfloat16 and float16 round results to 8 and 11 bits."""


def arguments(batch: int, channels: int, length: int, state: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "u": normal(batch, channels, length),
        "delta": normal(batch, channels, length) - 1.0,
        "A": -torch.exp(normal(channels, state)),
        "B": normal(batch, state, length),
        "C": normal(batch, state, length),
        "D": normal(channels),
        "z": normal(batch, channels, length),
        "delta_bias": normal(channels) / 2,
    }


def run(given: dict[str, torch.Tensor], kernel: str, device: str, **options: object) -> dict[str, torch.Tensor]:
    leaves = {name: t.detach().to(device).requires_grad_() for name, t in given.items()}
    y = selective_scan(**leaves, kernel=kernel, **options)  # type: ignore[arg-type]
    direction = torch.linspace(-1, 2, y.numel()).reshape(y.shape).to(y)
    found = {"y": y, **dict(zip(leaves, torch.autograd.grad(y, list(leaves.values()), direction), strict=True))}
    return {name: t.detach().cpu().double() for name, t in found.items()}


def assert_as_the_reference(narrow: dict[str, torch.Tensor], share: float, **options: object) -> None:
    """Output and gradients of the types given differ by at most `share` of the largest value of the float64 loop."""
    found = run(narrow, "triton", DEVICE, **options)
    exact = run({name: t.double() for name, t in narrow.items()}, "reference", "cpu", **options)
    for name in exact:
        error, largest = (found[name] - exact[name]).abs().max(), exact[name].abs().max()
        assert error <= share * largest, f"{name}: {error:.1e} of {largest:.1e}"


def assert_close(given: dict[str, torch.Tensor], dtype: torch.dtype = torch.float32, **options: object) -> None:
    assert_as_the_reference({name: t.to(dtype) for name, t in given.items()}, TOLERANCE[dtype], **options)


@needs_triton
@pytest.mark.parametrize("state", [1, 2, 5, 16, 64])
def test_output_and_every_gradient_for_any_state_size(state):
    assert_close(arguments(1, 2, 21, state, seed=state), delta_softplus=True)


@needs_triton
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 8, 16, 17, 50])
def test_lengths_on_and_off_the_grid_of_blocks_and_chunks_both_ways(length, reverse):
    assert_close(arguments(1, 3, length, 4, seed=length), delta_softplus=True, reverse=reverse)


@needs_triton
def test_channels_and_batch_rows_beyond_one_program():
    """35 channels are a full program and three lanes of another; 400 steps are 25 chunks, read eight ahead."""
    assert_close(arguments(2, 35, 9, 2, seed=11), delta_softplus=True)
    assert_close(arguments(1, 1, 400, 1, seed=12), delta_softplus=True, reverse=True)


@needs_triton
def test_without_the_optional_arguments():
    given = arguments(1, 3, 33, 8, seed=3)
    given["delta"] = given["delta"].abs() / 3
    assert_close({name: given[name] for name in ("u", "delta", "A", "B", "C")})


@needs_triton
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_inputs_keep_a_float32_state(dtype, reverse):
    assert_close(arguments(1, 2, 35, 4, seed=5), dtype, delta_softplus=True, reverse=reverse)


@needs_triton
def test_types_may_be_mixed():
    """delta in float32 beside halves, as under autocast."""
    given = {name: t.bfloat16() for name, t in arguments(1, 2, 19, 4, seed=13).items()}
    for name in ("delta", "A", "D", "delta_bias"):
        given[name] = given[name].float()
    assert_as_the_reference(given, 1e-2, delta_softplus=True)


@needs_triton
@pytest.mark.parametrize("reverse", [False, True])
def test_time_may_lie_anywhere_in_memory(reverse):
    given = arguments(2, 4, 24, 4, seed=6)
    for name in ("u", "delta", "z", "B", "C"):
        given[name] = given[name].transpose(1, 2).contiguous().transpose(1, 2)
    assert_close(given, delta_softplus=True, reverse=reverse)


@needs_triton
@pytest.mark.parametrize("layout", ["strided", "expanded"])
def test_constants_of_a_channel_may_lie_anywhere_in_memory(layout):
    """D, the bias and A as every second element of something larger, or as one element for all channels."""
    given = arguments(1, 3, 12, 2, seed=14)
    for name in ("A", "D", "delta_bias"):
        tensor = given[name]
        given[name] = (
            torch.stack((tensor, 99 - tensor), -1)[..., 0] if layout == "strided" else tensor[:1].expand_as(tensor)
        )
    assert_close(given, delta_softplus=True)


@needs_triton
@pytest.mark.parametrize(("step", "decay"), [(1e-4, 1.0), (10.0, 1.0), (1e-4, 100.0), (10.0, 100.0)])
def test_extreme_steps_and_decays(step, decay):
    given = arguments(1, 2, 40, 4, seed=7)
    given["delta"] = step * (1 + given["delta"].abs())
    given["A"] = -decay * torch.rand(2, 4, generator=torch.Generator().manual_seed(8))
    del given["delta_bias"]  # a negative step would grow without bound
    found = run(given, "triton", DEVICE)
    exact = run({name: t.double() for name, t in given.items()}, "reference", "cpu")
    for name in exact:
        assert (found[name] - exact[name]).abs().max() < 1e-4 * exact[name].abs().max() + 1e-30, name


@needs_triton
def test_a_large_step_followed_by_tiny_ones_keeps_what_they_leave():
    """30 steps of 1e-3 at A = -50 leave exp(-1.5) of what entered with a step of 9 before them."""
    length = 31
    delta = torch.full((1, 1, length), 1e-3)
    delta[..., 0] = 9.0
    u = torch.zeros(1, 1, length)
    u[..., 0] = 1 / 9.0
    ones = torch.ones(1, 1, length)
    A = torch.full((1, 1), -50.0)
    tensors = [t.to(DEVICE) for t in (u, delta, A, ones, ones)]
    y = selective_scan(*tensors, kernel="triton")
    assert float(y[0, 0, -1]) == pytest.approx(0.22313016, rel=1e-5)


@pytest.mark.skipif(INTERPRETED or torch.cuda.is_available(), reason="triton can run here")
def test_forcing_it_where_it_cannot_run_says_why():
    with pytest.raises(KernelError, match="triton cannot run: runs on cuda only, not on cpu"):
        chosen_kernel("cpu", "triton")


@pytest.mark.gpu
@pytest.mark.gpu_short
def test_a_gpu_scan_takes_triton_or_a_compiled_peer_and_never_the_slow_path():
    assert chosen_kernel("cuda") in ("triton", "mamba_ssm")


@pytest.mark.gpu
@pytest.mark.gpu_short
def test_the_same_bits_twice_on_a_gpu_at_training_size():
    given = arguments(2, 512, 1024, 16, seed=9)
    first, second = (run(given, "triton", "cuda", delta_softplus=True) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.gpu
@pytest.mark.gpu_short
def test_training_sizes_on_a_gpu_against_the_chunked_scan_in_float64():
    given = arguments(2, 64, 2048, 16, seed=10)
    found = run(given, "triton", "cuda", delta_softplus=True)
    exact = run({name: t.double() for name, t in given.items()}, "torch", "cuda", delta_softplus=True)
    for name in exact:
        assert (found[name] - exact[name]).abs().max() < 1e-5 * exact[name].abs().max(), name
