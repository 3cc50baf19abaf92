"""The operator as torch sees it: schema, fake tensors, compile, second derivatives, FLOP counting; and bad input."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from architectures.kernel_choice import KernelError
from architectures.scan import available_kernels, scan_flops, selective_scan
from architectures.scan.kernels import KERNELS

SCAN_OP = torch.ops.smdim_bench.selective_scan
SCAN_BACKWARD_OP = torch.ops.smdim_bench.selective_scan_backward


def arguments(batch: int = 2, channels: int = 3, length: int = 6, state: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "u": (batch, channels, length),
        "delta": (batch, channels, length),
        "A": (channels, state),
        "B": (batch, state, length),
        "C": (batch, state, length),
        "D": (channels,),
        "z": (batch, channels, length),
        "delta_bias": (channels,),
    }
    return {name: torch.randn(shape, generator=generator) / 2 for name, shape in shapes.items()}


def test_operators_pass_torchs_own_checks() -> None:
    tensors = [t.requires_grad_() for t in arguments().values()]
    torch.library.opcheck(SCAN_OP.default, (*tensors, True, False, "torch"))
    torch.library.opcheck(SCAN_OP.default, (*tensors[:5], None, None, None, False, True, "auto"))
    plain = [t.detach() for t in tensors]
    torch.library.opcheck(
        SCAN_BACKWARD_OP.default, (torch.ones(2, 3, 6), *plain[:5], None, plain[6], None, True, False, "auto")
    )


def test_compiles_without_a_graph_break() -> None:
    given = arguments()

    def gated(u: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        return selective_scan(2 * u, delta, given["A"], given["B"], given["C"], delta_softplus=True).sin()

    compiled = torch.compile(gated, fullgraph=True, backend="aot_eager")
    results = []
    for function in (gated, compiled):
        u, delta = (given[name].clone().requires_grad_() for name in ("u", "delta"))
        y = function(u, delta)
        results.append((y, *torch.autograd.grad(y.sum(), (u, delta))))
    for plain, traced in zip(*results, strict=True):
        torch.testing.assert_close(plain, traced)


def test_shape_is_known_on_the_meta_device() -> None:
    on_meta = {name: t.to("meta") for name, t in arguments(2, 3, 6, 2).items()}
    assert selective_scan(**on_meta).shape == (2, 3, 6)


def test_flop_counters_see_forward_and_backward() -> None:
    batch, channels, length, state = 2, 3, 6, 2

    def forward_formula(u_shape, delta_shape, A_shape, *rest, out_shape=None, **options):  # type: ignore[no-untyped-def]
        return scan_flops(u_shape[0], u_shape[2], u_shape[1], A_shape[1])

    def backward_formula(grad_shape, u_shape, delta_shape, A_shape, *rest, out_shape=None, **options):  # type: ignore[no-untyped-def]
        return 2 * forward_formula(u_shape, delta_shape, A_shape)

    given = {name: t.requires_grad_() for name, t in arguments(batch, channels, length, state).items()}
    formulas = {SCAN_OP: forward_formula, SCAN_BACKWARD_OP: backward_formula}
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        selective_scan(**given, kernel="torch").sum().backward()
    assert counter.get_flop_counts()["Global"] == {SCAN_OP: 9 * 72, SCAN_BACKWARD_OP: 18 * 72}


def test_a_cpu_kernel_is_called_without_the_operator_where_nothing_watches() -> None:
    """Its results lie in memory as its arguments do: channels outermost, as products of a Mamba have them."""
    if reason := available_kernels()["numba"]:
        pytest.skip(reason)
    given = arguments(batch=2, channels=3, length=6)
    by_channel = {name: given[name].transpose(0, 1).contiguous().transpose(0, 1) for name in ("u", "delta", "z")}
    leaves = {name: tensor.requires_grad_() for name, tensor in (given | by_channel).items()}
    y = selective_scan(**leaves, delta_softplus=True, kernel="numba")
    assert type(y.grad_fn).__name__ == "SelectiveScanBackward"
    found = torch.autograd.grad(y, list(leaves.values()), torch.ones_like(y))
    assert [y.stride(), found[0].stride(), found[1].stride(), found[6].stride()] == [(6, 12, 1)] * 4
    with FlopCounterMode(display=False):
        watched = selective_scan(**leaves, delta_softplus=True, kernel="numba")
    assert type(watched.grad_fn).__name__ != "SelectiveScanBackward"
    again = torch.autograd.grad(watched, list(leaves.values()), torch.ones_like(y))
    assert all(torch.equal(one, other) for one, other in zip((y, *found), (watched, *again), strict=True))


def test_counted_flops() -> None:
    assert scan_flops(batch=2, length=10, channels=3, state=4) == 2160


@pytest.mark.parametrize("kernel", [name for name, entry in KERNELS.items() if entry.differentiable_twice])
def test_second_derivatives_by_finite_differences(kernel: str) -> None:
    tensors = [t.double().requires_grad_() for t in arguments(1, 2, 3, 2).values()]
    assert torch.autograd.gradgradcheck(
        lambda *t: selective_scan(*t, delta_softplus=True, reverse=True, kernel=kernel), tensors
    )


def test_third_derivative_raises() -> None:
    given = {name: t.double() for name, t in arguments(1, 2, 3, 2).items()}
    u = given["u"].requires_grad_()
    (first,) = torch.autograd.grad(selective_scan(**given, kernel="torch").pow(3).sum(), u, create_graph=True)
    with pytest.raises(KernelError, match="three times"):
        torch.autograd.grad(first.pow(2).sum(), u, create_graph=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"u": torch.zeros(3, 6)}, r"u must be \(batch, channels, length\), not of shape \(3, 6\)"),
        ({"delta": torch.zeros(2, 3, 7)}, r"delta must be \(2, 3, 6\), not of shape \(2, 3, 7\)"),
        ({"A": torch.zeros(4, 2)}, r"A must be \(3, state\), not of shape \(4, 2\)"),
        ({"A": torch.zeros(3, 0)}, r"A must be \(3, state\)"),
        ({"B": torch.zeros(3, 2)}, "B is constant in time, which is not supported"),
        ({"C": torch.zeros(2, 1, 2, 6)}, "C has groups, which are not supported"),
        ({"B": torch.zeros(2, 6, 2)}, r"B must be \(2, 2, 6\), not of shape \(2, 6, 2\)"),
        ({"D": torch.zeros(3, 1)}, r"D must be \(3,\)"),
        ({"z": torch.zeros(1, 3, 6)}, r"z must be \(2, 3, 6\)"),
        ({"delta_bias": torch.zeros(6)}, r"delta_bias must be \(3,\)"),
        ({"A": torch.zeros(3, 2, dtype=torch.complex64)}, "A is torch.complex64; only real floating-point"),
        ({"u": torch.zeros(2, 3, 6, dtype=torch.int64)}, "u is torch.int64; only real floating-point"),
        ({"C": torch.zeros(2, 2, 6, device="meta")}, "C is on meta but u is on cpu"),
    ],
)
def test_bad_input_names_the_argument(change: dict[str, torch.Tensor], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        selective_scan(**(arguments() | change))
