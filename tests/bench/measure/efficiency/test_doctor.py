"""The doctor tries what is there, and says of what is not why and what to do."""

from __future__ import annotations

import pytest
import torch

from architectures.kernel_choice import Kernel
from architectures.scan.kernels import SCAN
from bench.measure.efficiency import doctor as efficiency_doctor
from bench.measure.efficiency.doctor import examine


@pytest.fixture(autouse=True)
def few_kernels(monkeypatch):
    """Only the kernels that need no compilation, which may take a minute, and one that is not there."""
    reasons = {"reference": "", "torch": "", "absent": "needs a device of another kind"}
    kernels = {name: SCAN.kernels.get(name, Kernel()) for name in reasons}
    monkeypatch.setattr(SCAN, "kernels", kernels)
    monkeypatch.setattr(SCAN, "automatic", {"cpu": ()})
    monkeypatch.setattr(SCAN, "unusable_reason", reasons.__getitem__)


def by_subject(findings):
    return {finding.subject: finding for finding in findings}


def test_the_machine_and_every_kernel_are_named():
    findings = by_subject(examine("cpu"))
    assert findings["device"].state == "works" and "threads" in findings["device"].detail
    assert "torch" in findings["libraries"].detail
    assert findings["scan kernel reference"].state == "works"
    assert findings["scan kernel torch (chosen)"].state == "works"
    absent = findings["scan kernel absent"]
    assert (absent.state, absent.detail) == ("missing", "needs a device of another kind")
    assert findings["attention kernel math"].state == "works"
    assert {finding.state for finding in findings.values()} <= {"works", "missing", "fails"}


def test_a_kernel_that_is_wrong_fails(monkeypatch):
    original = efficiency_doctor._try_scan
    monkeypatch.setattr(
        efficiency_doctor,
        "_try_scan",
        lambda name, device: [2 * one if name == "torch" else one for one in original("reference", device)],
    )
    found = [
        one
        for one in efficiency_doctor.examine_kernels(torch.device("cpu"))
        if one.subject.startswith("scan kernel torch")
    ]
    assert found[0].state == "fails" and "1e+00" in found[0].detail


def test_a_kernel_that_raises_fails_with_its_words_and_advice(monkeypatch):
    original = efficiency_doctor._try_scan

    def broken(name, device):
        if name == "torch":
            raise RuntimeError("no such instruction\nmore")
        return original("reference", device)

    monkeypatch.setattr(efficiency_doctor, "_try_scan", broken)
    found = [
        one
        for one in efficiency_doctor.examine_kernels(torch.device("cpu"))
        if one.subject.startswith("scan kernel torch")
    ]
    assert found[0].state == "fails" and found[0].detail == "no such instruction"
    assert "SMDIM_BENCH_SCAN_KERNEL" in found[0].advice


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="tpu"):
        list(examine("tpu"))
