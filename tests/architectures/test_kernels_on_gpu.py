"""Every kernel that runs on a CUDA device against float64, on fresh random inputs; memory is poisoned with NaN first.

Error: largest |difference| over largest |reference|, of the output and of every gradient, for inputs rounded to the
type that is tested. What a machine lacks is skipped with the reason.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest
import torch
from torch.nn import functional as F

from architectures import attention_kernels, depthwise, ssd
from architectures.kernel_choice import KernelError, recorded_kernels, variable
from architectures.kernels import OPERATORS, chosen_kernels
from architectures.scan import selective_scan
from architectures.scan.inputs import ScanInputs
from architectures.scan.reference import scan_loop

pytestmark = pytest.mark.gpu
FLOAT, HALF = torch.float32, torch.bfloat16
TOLERANCE = {FLOAT: 1e-5, HALF: 1e-2}
TENSOR_FLOAT = 5e-3  # products of mamba-ssm's SSD keep 11 bits of float32 factors
ATTENTION = 2e-2  # shares are rounded to bfloat16 before the second product
Tensors = dict[str, torch.Tensor]


@pytest.fixture(autouse=True)
def poisoned() -> Iterator[None]:
    """Memory that torch hands out uninitialised holds NaN: what a kernel forgets to write shows."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.utils.deterministic.fill_uninitialized_memory = filling
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture
def normal() -> Callable[..., torch.Tensor]:
    """Numbers that differ from run to run; pytest shows the seed of one that fails."""
    seed = secrets.randbits(32)
    print("seed", seed)
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator)


def force(monkeypatch: pytest.MonkeyPatch, operator: str, name: str) -> None:
    if reason := OPERATORS[operator].unusable_reason(name):
        pytest.skip(f"{operator} kernel {name}: {reason}")
    monkeypatch.setenv(variable(operator), name)


def results(call: Callable[..., torch.Tensor], given: Tensors) -> list[torch.Tensor]:
    leaves = {name: tensor.detach().requires_grad_() for name, tensor in given.items()}
    y = call(**leaves)
    direction = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).reshape(y.shape).to(y)
    found = torch.autograd.grad(y, list(leaves.values()), direction)
    return [tensor.detach().double().cpu() for tensor in (y, *found)]


def assert_close(
    call: Callable[..., torch.Tensor], exact: Callable[..., torch.Tensor], given: Tensors, tolerance: float,
    dtype: torch.dtype, keep: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """`call` on the GPU in `dtype` (arguments in `keep` stay float32) against `exact` on the CPU in float64."""
    rounded = {name: tensor if name in keep else tensor.to(dtype) for name, tensor in given.items()}
    found = results(call, {name: tensor.cuda() for name, tensor in rounded.items()})
    expected = results(exact, {name: tensor.double() for name, tensor in rounded.items()})
    for name, one, other in zip(("output", *given), found, expected, strict=True):
        error = float((one - other).abs().max() / other.abs().max())
        assert error <= tolerance, f"{name}: {error:.1e}"  # NaN fails too


@pytest.mark.parametrize("dtype", [FLOAT, HALF])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("state", [1, 4, 8, 16, 32, 64])
@pytest.mark.parametrize("kernel", ["triton", "mamba_ssm", "torch"])
def test_scan(monkeypatch, normal, kernel, state, reverse, dtype):
    force(monkeypatch, "scan", kernel)
    length = 1 + secrets.randbelow(600)
    given = {
        "u": normal(2, 24, length), "delta": normal(2, 24, length) - 1, "A": -normal(24, state).exp(),
        "B": normal(2, state, length), "C": normal(2, state, length), "D": normal(24), "z": normal(2, 24, length),
        "delta_bias": normal(24) / 2,
    }  # fmt: skip

    def exact(**tensors: torch.Tensor) -> torch.Tensor:
        return scan_loop(ScanInputs(**tensors, delta_softplus=True, reverse=reverse), torch.float64)

    def call(**tensors: torch.Tensor) -> torch.Tensor:
        return selective_scan(**tensors, delta_softplus=True, reverse=reverse)  # type: ignore[arg-type]

    assert_close(call, exact, given, TOLERANCE[dtype], dtype, keep=("A", "D", "delta_bias"))


@pytest.mark.gpu_short
@pytest.mark.parametrize("dtype", [FLOAT, HALF])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("width", [2, 3, 4])
@pytest.mark.parametrize("layout", ["time last", "channels last"])
@pytest.mark.parametrize("kernel", ["causal_conv1d", "torch"])
def test_convolution(monkeypatch, normal, kernel, layout, width, backward, dtype):
    force(monkeypatch, "convolution", kernel)
    given = {"x": normal(2, 20, 77), "weight": normal(20, 1, width), "bias": normal(20)}

    def call(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        x = x.transpose(1, 2).contiguous().transpose(1, 2) if layout == "channels last" else x
        return depthwise.causal_convolution(x, weight, bias, backward=backward)

    def exact(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return depthwise.plain_convolution(x, weight[:, 0], bias, backward=backward)

    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # by default torch convolves in TF32
        assert_close(call, exact, given, TOLERANCE[dtype], dtype)


@pytest.mark.parametrize(
    ("kernel", "dtype", "tolerance"),
    [("torch", FLOAT, 1e-5), ("mamba_ssm", FLOAT, TENSOR_FLOAT), ("mamba_ssm", HALF, 1e-2)],
)
@pytest.mark.parametrize("features", [32, 64])
def test_ssd(monkeypatch, normal, features, kernel, dtype, tolerance):
    """At Mamba-2's published N = 128, and with the 32 features that half of a head of 64 has."""
    force(monkeypatch, "ssd", kernel)
    length = 1 + secrets.randbelow(600)
    given = {
        "x": normal(2, length, 3, features), "delta": F.softplus(normal(2, length, 3) - 2), "A": -normal(3).exp(),
        "B": normal(2, length, 128), "C": normal(2, length, 128), "D": normal(3),
    }  # fmt: skip

    def call(x, delta, A, B, C, D):
        return ssd.ssd(x, delta, A, B, C, D)

    def exact(x, delta, A, B, C, D):
        return ssd.ssd_reference(x, delta, A, B, C) + D[:, None] * x

    assert_close(call, exact, given, tolerance, dtype, keep=("delta", "A", "D"))


@pytest.mark.gpu_short
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("head_width", [32, 64, 28])
@pytest.mark.parametrize(
    ("kernel", "dtype"),
    [("math", FLOAT), ("efficient", FLOAT), *((name, HALF) for name in ("flash", "efficient", "cudnn", "flash_attn"))],
)
def test_attention(monkeypatch, normal, kernel, dtype, head_width, causal):
    force(monkeypatch, "attention", kernel)
    given = {name: normal(2, 4, 128, head_width) for name in ("query", "key", "value")}

    def call(query, key, value):
        try:
            return attention_kernels.attend(query, key, value, causal=causal)
        except KernelError as refusal:
            pytest.skip(str(refusal))

    def exact(query, key, value):
        scores = query @ key.transpose(-1, -2) / head_width**0.5
        later = torch.ones(128, 128, dtype=torch.bool).triu(1) if causal else torch.zeros(128, 128, dtype=torch.bool)
        return scores.masked_fill(later, -torch.inf).softmax(-1) @ value

    with recorded_kernels() as ran:
        assert_close(call, exact, given, ATTENTION if dtype == HALF else 1e-5, dtype)
    assert list(ran["attention"]) == ["flash_attn" if kernel == "flash_attn" else "torch"]


def test_what_is_chosen_here_works_and_is_fused():
    chosen = chosen_kernels(torch.device("cuda"), dtype=HALF)
    assert chosen["scan"] in ("mamba_ssm", "triton")
    assert all(not OPERATORS[operator].unusable_reason(name) for operator, name in chosen.items())
