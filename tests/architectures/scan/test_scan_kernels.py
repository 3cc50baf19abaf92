"""Every kernel that runs on this CPU: closed forms, error against float64, shapes off the beaten path."""

import math

import pytest
import torch

from architectures.scan import available_kernels, selective_scan
from architectures.scan.kernels import KERNELS
from architectures.scan.reference import scan_loop

CPU_KERNELS = [name for name, kernel in KERNELS.items() if not kernel.devices or "cpu" in kernel.devices]
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


@pytest.fixture(params=CPU_KERNELS)
def kernel(request: pytest.FixtureRequest) -> str:
    reason = available_kernels()[request.param]
    if reason:
        pytest.skip(f"{request.param}: {reason}")
    return str(request.param)


def random_arguments(batch: int, channels: int, length: int, state: int, *, seed: int = 0) -> dict[str, torch.Tensor]:
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


def output_and_gradients(
    arguments: dict[str, torch.Tensor], seed: int = 1, **options: object
) -> dict[str, torch.Tensor]:
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in arguments.items()}
    y = selective_scan(**leaves, **options)  # type: ignore[arg-type]
    direction = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed)).to(y.dtype)
    gradients = torch.autograd.grad(y, list(leaves.values()), direction)
    return {"y": y.detach()} | dict(zip(leaves, gradients, strict=True))


def largest_relative_error(found: dict[str, torch.Tensor], exact: dict[str, torch.Tensor]) -> dict[str, float]:
    """max |error| / max |reference| of the output and of every gradient."""
    return {
        name: float((found[name].double() - exact[name].double()).abs().max() / exact[name].double().abs().max())
        for name in exact
    }


def in_float64(arguments: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.double() for name, tensor in arguments.items()}


def test_halving_state_sums_to_a_geometric_series(kernel: str) -> None:
    length = 40
    ones = torch.ones(1, 1, length)
    y = selective_scan(
        ones, math.log(2) * ones, -torch.ones(1, 1), ones, 3 * ones, D=torch.tensor([0.5]), kernel=kernel
    )
    expected = [3 * math.log(2) * (2 - 2.0**-t) + 0.5 for t in range(length)]
    torch.testing.assert_close(y[0, 0], torch.tensor(expected), rtol=1e-6, atol=0)


def test_gradient_of_the_halving_state(kernel: str) -> None:
    """d(sum y)/du_t = ln2 (2 - 2^-(L-1-t)): every input is heard again at half strength in each later step."""
    length = 20
    ones = torch.ones(1, 1, length)
    u = torch.ones(1, 1, length, requires_grad=True)
    selective_scan(u, math.log(2) * ones, -torch.ones(1, 1), ones, ones, kernel=kernel).sum().backward()
    expected = [math.log(2) * (2 - 2.0 ** -(length - 1 - t)) for t in range(length)]
    assert u.grad is not None
    torch.testing.assert_close(u.grad[0, 0], torch.tensor(expected), rtol=1e-6, atol=0)


def test_softplus_bias_and_gate_at_known_points(kernel: str) -> None:
    """One step, h = softplus(0) u B = ln2 * 2 * 5, y = (h C + D u) silu(z) = (10 ln2 * 7 + 3 * 2) / (1 + e^-1)."""
    y = selective_scan(
        torch.full((1, 1, 1), 2.0),
        torch.full((1, 1, 1), -4.0),
        torch.full((1, 1), -1.0),
        torch.full((1, 1, 1), 5.0),
        torch.full((1, 1, 1), 7.0),
        D=torch.tensor([3.0]),
        z=torch.ones(1, 1, 1),
        delta_bias=torch.tensor([4.0]),
        delta_softplus=True,
        kernel=kernel,
    )
    expected = (70 * math.log(2) + 6) / (1 + math.exp(-1))
    assert y.item() == pytest.approx(expected, rel=1e-6)


def test_reference_loop_is_right_by_finite_differences() -> None:
    arguments = in_float64(random_arguments(1, 2, 4, 2))
    leaves = [tensor.requires_grad_() for tensor in arguments.values()]
    assert torch.autograd.gradcheck(
        lambda *tensors: selective_scan(*tensors, delta_softplus=True, kernel="reference"), leaves
    )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "shape", [(2, 5, 37, 16), (1, 3, 1, 1), (3, 1, 17, 3), (1, 19, 50, 64), (2, 40, 16, 8), (1, 2, 130, 5)]
)
def test_float32_stays_within_1e_4_of_float64(kernel: str, shape: tuple[int, int, int, int], reverse: bool) -> None:
    arguments = random_arguments(*shape)
    exact = output_and_gradients(in_float64(arguments), delta_softplus=True, reverse=reverse, kernel="reference")
    found = output_and_gradients(arguments, delta_softplus=True, reverse=reverse, kernel=kernel)
    errors = largest_relative_error(found, exact)
    assert max(errors.values()) < 1e-5, errors


def test_absent_arguments_have_no_gradient_and_no_effect(kernel: str) -> None:
    arguments = random_arguments(2, 6, 21, 4)
    arguments["delta"] = arguments["delta"].abs()
    required = {name: arguments[name] for name in ("u", "delta", "A", "B", "C")}
    exact = output_and_gradients(in_float64(required), kernel="reference")
    errors = largest_relative_error(output_and_gradients(required, kernel=kernel), exact)
    assert max(errors.values()) < 1e-5, errors


def test_reverse_equals_flipped_time(kernel: str) -> None:
    arguments = random_arguments(2, 7, 45, 6)
    backward = output_and_gradients(arguments, delta_softplus=True, reverse=True, kernel=kernel)
    flipped = {name: t.flip(-1) if t.dim() == 3 else t for name, t in arguments.items()}
    leaves = {name: t.requires_grad_() for name, t in flipped.items()}
    y = selective_scan(**leaves, delta_softplus=True, kernel=kernel)
    torch.testing.assert_close(y.flip(-1), backward["y"], rtol=1e-6, atol=1e-6)


def test_strided_inputs_equal_contiguous_ones(kernel: str) -> None:
    arguments = random_arguments(2, 6, 24, 4)
    contiguous = output_and_gradients(arguments, delta_softplus=True, kernel=kernel)
    strided = {
        name: t.transpose(1, 2).contiguous().transpose(1, 2) if t.dim() == 3 else t for name, t in arguments.items()
    }
    strided["A"] = torch.stack([arguments["A"], arguments["A"]], dim=-1)[..., 0]
    strided["D"] = torch.stack([arguments["D"], arguments["D"]], dim=-1)[..., 0]
    assert not strided["u"].is_contiguous() and not strided["A"].is_contiguous()
    leaves = {name: t.requires_grad_() for name, t in strided.items()}
    y = selective_scan(**leaves, delta_softplus=True, kernel=kernel)
    torch.testing.assert_close(y, contiguous["y"], rtol=0, atol=0)


def test_gradient_of_a_sum_arrives_expanded(kernel: str) -> None:
    """y.sum() hands back a gradient of stride 0; equal to one that is written out."""
    arguments = random_arguments(1, 4, 12, 3)
    gradients = []
    for expanded in (True, False):
        u = arguments["u"].clone().requires_grad_()
        y = selective_scan(**(arguments | {"u": u}), delta_softplus=True, kernel=kernel)
        gradients.append(
            torch.autograd.grad(y.sum() if expanded else y, u, None if expanded else torch.ones_like(y))[0]
        )
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_inputs_are_computed_in_float32(kernel: str, dtype: torch.dtype) -> None:
    """Equal to widening the same numbers first and rounding once at the end, up to one unit in the last place."""
    arguments = random_arguments(2, 5, 33, 4)
    half = {name: t.to(dtype) if t.dim() == 3 else t for name, t in arguments.items()}
    wide = {name: t.float() for name, t in half.items()}
    found = output_and_gradients(half, delta_softplus=True, kernel=kernel)
    exact = output_and_gradients(wide | {"u": wide["u"]}, delta_softplus=True, kernel="reference")
    assert {name: t.dtype for name, t in found.items()} == {"y": dtype} | {name: t.dtype for name, t in half.items()}
    unit = torch.finfo(dtype).eps
    assert float((found["y"].double() - exact["y"].double()).abs().max()) <= unit * float(exact["y"].abs().max())


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", [(2, 5, 33, 4), (1, 32, 32, 3)])
def test_bfloat16_is_read_and_written_as_float32_rounded(shape: tuple[int, int, int, int], reverse: bool) -> None:
    """By compiled loops the same bits as of widened inputs, rounded by torch; in whole vectors and in rests of them."""
    if available_kernels()["numba"]:
        pytest.skip(available_kernels()["numba"])
    arguments = random_arguments(*shape)
    half = {name: t.bfloat16() if name in ("u", "delta", "z") else t for name, t in arguments.items()}
    half["z"][0, 1, 3], half["z"][0, 2, 30] = math.nan, math.inf
    wide = {name: t.float() for name, t in half.items()}
    found, exact = (selective_scan(**given, reverse=reverse, kernel="numba") for given in (half, wide))
    assert found.dtype == torch.bfloat16 and found[0, 1, 3].isnan() and found[0, 2, 30].isinf()
    torch.testing.assert_close(found, exact.bfloat16(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("shape", [(0, 4, 8, 2), (2, 4, 0, 2), (2, 0, 8, 2)])
def test_empty_inputs_give_empty_outputs_and_zero_gradients(kernel: str, shape: tuple[int, int, int, int]) -> None:
    leaves = {name: t.requires_grad_() for name, t in random_arguments(*shape).items()}
    y = selective_scan(**leaves, delta_softplus=True, kernel=kernel)
    assert y.shape == shape[:3]
    y.sum().backward()
    assert all(t.grad is not None and t.grad.shape == t.shape and not t.grad.any() for t in leaves.values())


def test_one_row_of_a_batch_does_not_touch_another(kernel: str) -> None:
    arguments = random_arguments(3, 4, 20, 3)
    before = selective_scan(**arguments, delta_softplus=True, kernel=kernel)
    arguments["u"][1] += 1.0
    after = selective_scan(**arguments, delta_softplus=True, kernel=kernel)
    assert torch.equal(before[[0, 2]], after[[0, 2]]) and not torch.equal(before[1], after[1])


def test_not_a_number_is_not_swallowed(kernel: str) -> None:
    arguments = random_arguments(1, 3, 12, 2)
    arguments["delta"][0, 1, 5] = float("nan")
    y = selective_scan(**arguments, delta_softplus=True, kernel=kernel)
    assert y[0, 1, 5:].isnan().all() and y[0, 1, :5].isfinite().all() and y[0, [0, 2]].isfinite().all()


def test_loop_in_float32_agrees_with_the_operator() -> None:
    """The plain function behind second derivatives is the same recurrence."""
    from architectures.scan.inputs import ScanInputs

    arguments = random_arguments(1, 3, 11, 2)
    loop = scan_loop(ScanInputs(*arguments.values(), True, True), torch.float32)
    torch.testing.assert_close(loop, selective_scan(**arguments, delta_softplus=True, reverse=True, kernel="reference"))
