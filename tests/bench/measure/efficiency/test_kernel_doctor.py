"""The doctor on GPUs that torch cannot use, and on packages that are absent or broken."""

from __future__ import annotations

import subprocess

import pytest
import torch

from architectures.depthwise import CONVOLUTION
from architectures.scan.kernels import SCAN
from architectures.ssd import SSD
from bench.measure.efficiency import doctor as kernel_doctor
from bench.measure.efficiency.doctor import _architecture, _unusable, examine_gpu, examine_kernels
from metrics.cost import device
from metrics.cost.device import driver_version, hidden_gpus, resolve_device

CPU = torch.device("cpu")
VERSION = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.57.02  Tue Jul 13 16:14:05 UTC 2021\nGCC version:\n"
OPEN_VERSION = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n"


@pytest.fixture
def driver(monkeypatch, tmp_path):
    """A machine with a driver, whether or not this one has one."""
    monkeypatch.setattr(device, "DRIVER_FILE", tmp_path / "version")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "version").write_text(VERSION)
    return tmp_path / "version"


def test_a_driver_too_old_for_this_torch_fails_in_torchs_own_words(driver, monkeypatch):
    def refuse():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nPlease update")

    monkeypatch.setattr("torch.version.cuda", "12.8")
    monkeypatch.setattr("torch.cuda.init", refuse)
    (found,) = examine_gpu(CPU)
    assert found.state == "fails" and "update the driver" in found.advice
    assert found.detail == (
        "an NVIDIA driver (470.57.02) is here, but torch for CUDA 12.8 cannot use it: "
        "The NVIDIA driver on your system is too old (found version 11040)."
    )


def test_a_torch_without_cuda_on_a_gpu_machine_is_told_apart_from_no_gpu(driver, monkeypatch):
    monkeypatch.setattr("torch.version.cuda", None)
    (found,) = examine_gpu(CPU)
    assert (found.state, found.detail) == (
        "missing",
        "an NVIDIA driver (470.57.02) is here, but this torch is built without CUDA",
    )
    driver.unlink()
    monkeypatch.setattr(device, "_output_of", lambda *command: None)
    (found,) = examine_gpu(CPU)
    assert (found.state, found.detail) == ("missing", "no CUDA device")


def test_devices_that_are_hidden_are_no_failure(driver, monkeypatch):
    monkeypatch.setattr("torch.version.cuda", "12.8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (found,) = examine_gpu(CPU)
    assert found.state == "missing" and "CUDA_VISIBLE_DEVICES" in found.detail


def test_the_driver_is_read_from_the_kernel_or_asked_of_nvidia_smi(driver, monkeypatch):
    driver.write_text(OPEN_VERSION)
    assert driver_version() == "570.86.15"
    driver.unlink()
    for code, expected in ((0, "550.54.15"), (9, "")):
        answer = subprocess.CompletedProcess([], code, "driver_version\n550.54.15\n550.54.15\n")
        monkeypatch.setattr("subprocess.run", lambda *_, answer=answer, **__: answer)
        assert driver_version() == expected


@pytest.mark.parametrize(
    ("capability", "built_for", "state"),
    [
        ((9, 0), ["sm_80", "sm_90"], "works"),
        ((8, 6), ["sm_80", "sm_90"], "works"),  # the same generation, a later member
        ((7, 5), ["sm_80", "sm_90", "compute_90"], "fails"),
        ((12, 0), ["sm_80", "sm_90"], "fails"),
        ((12, 0), ["sm_90", "compute_90"], "works"),  # PTX is compiled for newer devices
        ((9, 0), ["sm_90a"], "works"),
    ],
)
def test_another_architecture(capability, built_for, state):
    found = _architecture(capability, built_for)
    assert found.state == state and found.detail.startswith(f"sm_{capability[0]}{capability[1]}; torch is built for")


def test_absent_and_broken_packages_come_with_the_command_that_builds_them():
    absent = _unusable("ssd kernel mamba_ssm", SSD.kernels["mamba_ssm"], "mamba-ssm is not installed")
    assert absent.state == "missing"
    build = "MAMBA_KEEP_CUDA_BUILD=TRUE MAMBA_FORCE_BUILD=TRUE pip install --no-build-isolation mamba-ssm"
    assert absent.advice == f"on the GPU machine: {build}"
    causal_conv1d = CONVOLUTION.kernels["causal_conv1d"]
    broken = _unusable("convolution kernel causal_conv1d", causal_conv1d, "installed but broken: OSError: no library")
    assert broken.state == "fails" and broken.detail == "installed but broken: OSError: no library"
    assert broken.advice.endswith("causal-conv1d --force-reinstall --no-deps --no-cache-dir")
    triton = _unusable("scan kernel triton", SCAN.kernels["triton"], "torch sees no CUDA device")
    assert triton.state == "missing" and triton.advice.startswith("comes with torch for CUDA")


def test_every_kernel_of_every_operator_is_looked_at(monkeypatch):
    monkeypatch.setattr(SCAN, "automatic", {})
    monkeypatch.setattr(SCAN, "kernels", {})  # those are tried in test_doctor.py
    monkeypatch.setattr(CONVOLUTION, "unusable_reason", lambda name: "")
    found = {finding.subject: finding.state for finding in examine_kernels(CPU)}
    packages = {"attention kernel flash_attn", "convolution kernel causal_conv1d", "ssd kernel mamba_ssm"}
    here = {"attention kernel flash", "attention kernel math", "convolution kernel numba (chosen)"}
    assert set(found) == here | packages
    assert found["convolution kernel causal_conv1d"] == "works"
    assert found["attention kernel flash"] == found["attention kernel math"] == "works"


@pytest.mark.parametrize(("chosen", "other"), [("triton", "triton"), ("numba", "torch")])
def test_a_scan_that_fails_is_not_advised(chosen, other, monkeypatch):
    def fail(name, device):
        if name == "numba":
            raise RuntimeError("cannot compile\nmore")
        return []

    monkeypatch.setattr(kernel_doctor, "_try_scan", fail)
    found = kernel_doctor._scan("scan kernel numba", "numba", CPU, chosen)
    assert (found.state, found.detail) == ("fails", "cannot compile")
    assert found.advice == f"force another: SMDIM_BENCH_SCAN_KERNEL={other}"


@pytest.mark.parametrize(
    ("shown", "words"), [("", " (CUDA_VISIBLE_DEVICES is '')"), ("x", " (CUDA_VISIBLE_DEVICES is 'x')")]
)
def test_a_variable_that_hides_gpus_is_named(shown, words, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    with pytest.raises(ValueError) as refused:
        resolve_device("cuda")
    assert str(refused.value) == f"device = 'cuda': not on this machine; there are auto, cpu{words}"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert hidden_gpus() == ""
