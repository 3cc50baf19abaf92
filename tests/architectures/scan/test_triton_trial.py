"""The trial that decides whether the Triton kernel is used: forward and backward in every type, here with the scans of
the CPU in its place."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from architectures.kernel_choice import BROKEN
from architectures.scan import chunked, kernels, triton_kernel
from architectures.scan.inputs import ScanGradients, ScanInputs

CPU = torch.device("cpu")
HALVES = [torch.bfloat16, torch.float16]
Spoil = Callable[[ScanInputs], bool]


@pytest.fixture
def scan(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, torch.dtype]]]:
    """Put the scan of the CPU in place of Triton's, with results or gradients spoilt where a condition holds."""

    def install(*, output: Spoil = lambda _: False, gradient: Spoil = lambda _: False) -> list[tuple[str, torch.dtype]]:
        ran: list[tuple[str, torch.dtype]] = []

        def forward(inputs: ScanInputs) -> torch.Tensor:
            ran.append(("forward", inputs.u.dtype))
            return chunked.forward(inputs) * (1.1 if output(inputs) else 1.0)

        def backward(inputs: ScanInputs, grad: torch.Tensor) -> ScanGradients:
            ran.append(("backward", inputs.u.dtype))
            found = chunked.backward(inputs, grad)
            return found._replace(B=found.B * 1.1) if gradient(inputs) else found

        monkeypatch.setattr(triton_kernel, "forward", forward)
        monkeypatch.setattr(triton_kernel, "backward", backward)
        return ran

    return install


def test_forward_and_backward_run_in_every_type(scan):
    ran = scan()
    assert triton_kernel.broken_type(CPU) == ""
    types = [torch.float32, *HALVES]
    assert ran == [(way, dtype) for dtype in types for way in ("forward", "backward")]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("what", ["output", "gradient"])
def test_wrong_numbers_in_one_type_are_named(scan, what, dtype):
    scan(**{what: lambda inputs: inputs.u.dtype == dtype})
    reason = triton_kernel.broken_type(CPU)
    assert reason.startswith(BROKEN + "wrong results, relative error ")  # of 0.1, up to the rounding of the type
    assert reason.endswith(f"(in {str(dtype).removeprefix('torch.')})")


def test_an_error_in_one_type_is_named_by_its_first_line(monkeypatch):
    """What Triton raises is any exception: its first line stands in the reason."""

    def forward(inputs: ScanInputs) -> torch.Tensor:
        if inputs.u.dtype == torch.float32:
            return chunked.forward(inputs)
        raise RuntimeError("out of resource: shared memory, Required: 300000, Hardware limit: 101376\nmore")

    monkeypatch.setattr(triton_kernel, "forward", forward)
    monkeypatch.setattr(triton_kernel, "backward", chunked.backward)
    wanted = "RuntimeError: out of resource: shared memory, Required: 300000, Hardware limit: 101376 (in bfloat16)"
    assert triton_kernel.broken_type(CPU) == BROKEN + wanted


def test_a_broken_kernel_is_passed_over_with_its_reason(monkeypatch):
    """Where Triton is tried and fails, the next kernel of the table runs: `torch` where nothing else is installed."""
    monkeypatch.setattr(triton_kernel, "unusable_reason", lambda: BROKEN + "wrong results (in bfloat16)")
    monkeypatch.setattr(kernels.SCAN, "unusable_reason", kernels.SCAN._unusable_reason)
    assert kernels.SCAN.unusable_reason("triton") == BROKEN + "wrong results (in bfloat16)"
    assert kernels.chosen_kernel("cuda", dtype=torch.bfloat16) == "torch"
