"""Which kernel a scan gets, how one is forced, and what is said when it cannot run."""

import pytest
import torch

from architectures.kernel_choice import KernelError, variable
from architectures.scan import available_kernels, chosen_kernel, selective_scan
from architectures.scan.kernels import KERNELS, SCAN, ScanKernel

KERNEL_VARIABLE = variable("scan")


@pytest.fixture
def no_kernel_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KERNEL_VARIABLE, raising=False)


@pytest.fixture
def broken_kernel(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(KERNELS, "broken", ScanKernel(("cpu",), module="nowhere"))
    monkeypatch.setattr(SCAN, "unusable_reason", lambda name: "its compiler is missing" if name == "broken" else "")
    return "broken"


def tiny_scan(**options: str) -> torch.Tensor:
    ones = torch.ones(1, 1, 2)
    return selective_scan(ones, ones, -torch.ones(1, 1), ones, ones, **options)


def test_reference_and_torch_run_everywhere() -> None:
    reasons = available_kernels()
    assert reasons["reference"] == "" and reasons["torch"] == ""


def test_automatic_choice_is_an_available_kernel(no_kernel_forced: None) -> None:
    assert available_kernels()[chosen_kernel("cpu")] == ""


def test_a_device_without_kernels_of_its_own_gets_torch(no_kernel_forced: None) -> None:
    assert chosen_kernel("mps") == "torch"


def test_float64_gets_a_kernel_that_keeps_it(no_kernel_forced: None) -> None:
    assert chosen_kernel("cpu", dtype=torch.float64) == "torch"


def test_the_variable_forces_and_the_argument_wins_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KERNEL_VARIABLE, "reference")
    assert chosen_kernel("cpu") == "reference"
    assert chosen_kernel("cpu", "torch") == "torch"


def test_an_unusable_kernel_is_passed_over(
    no_kernel_forced: None, broken_kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCAN.automatic, "cpu", ("broken",))
    assert chosen_kernel("cpu") == "torch"


def test_forcing_an_absent_kernel_says_why(broken_kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KernelError, match="kernel='broken': broken cannot run: its compiler is missing"):
        tiny_scan(kernel="broken")
    monkeypatch.setenv(KERNEL_VARIABLE, "broken")
    with pytest.raises(KernelError, match=f"{KERNEL_VARIABLE}=broken: broken cannot run"):
        tiny_scan()


def test_forcing_an_unknown_kernel_lists_the_known() -> None:
    with pytest.raises(KernelError, match="kernel='cudnn': no such scan kernel; choose auto, reference, torch"):
        tiny_scan(kernel="cudnn")


def test_forcing_a_kernel_of_another_device_is_refused(broken_kernel: str) -> None:
    with pytest.raises(KernelError, match="runs on cpu only, not on cuda"):
        chosen_kernel("cuda", "broken")


def test_asking_for_the_removed_c_kernel_says_what_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "c: the scan kernel c was removed; choose numba, which is as fast and needs no compiler, or auto$"
    monkeypatch.setenv(KERNEL_VARIABLE, "c")
    with pytest.raises(KernelError, match=f"^{KERNEL_VARIABLE}={words}"):
        tiny_scan()
