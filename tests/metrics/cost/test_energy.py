"""Energy: wrapped counters, missing counters, and never a silent 0."""

from __future__ import annotations

import math

import pytest

from metrics.cost.energy import RaplCounter, energy_counter, measure_energy


@pytest.fixture
def powercap(tmp_path):
    def package(number, energy_uj, range_uj=1_000_000):
        folder = tmp_path / f"intel-rapl:{number}"
        folder.mkdir(exist_ok=True)
        (folder / "energy_uj").write_text(f"{energy_uj}\n")
        (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")

    package.folder = tmp_path
    return package


def test_two_packages_add_up_and_parts_of_a_package_do_not(powercap):
    powercap(0, 100)
    powercap(1, 200)
    powercap("0:0", 999_000)
    counter = RaplCounter(powercap.folder)
    start = counter.joules()
    powercap(0, 500_100)
    powercap(1, 250_200)
    powercap("0:0", 0)
    assert counter.joules() - start == pytest.approx(0.75)


def test_a_counter_that_wrapped_around_is_unwrapped(powercap):
    powercap(0, 900_000)
    counter = RaplCounter(powercap.folder)
    start = counter.joules()
    powercap(0, 100_000)
    assert counter.joules() - start == pytest.approx(0.2)
    powercap(0, 50_000)
    assert counter.joules() - start == pytest.approx(1.15)


class Meter:
    """Counts two joules a call of its function."""

    source = "test meter"

    def __init__(self, each):
        self.each, self.calls = each, 0

    def run(self):
        self.calls += 1

    def joules(self):
        return 40.0 + self.each * self.calls


def test_joules_of_a_call():
    meter = Meter(2.0)
    use = measure_energy(meter.run, counter=meter, shortest_s=0.01)
    assert use.joules_per_call == pytest.approx(2.0) and use.calls == meter.calls >= 1 and use.reason == ""


def test_a_counter_that_stands_still_gives_nan_and_a_reason():
    meter = Meter(0.0)
    use = measure_energy(meter.run, counter=meter, shortest_s=0.0)
    assert math.isnan(use.joules_per_call) and "did not move" in use.reason


def test_no_counter_gives_nan_with_the_reason_and_runs_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr("metrics.cost.energy.RaplCounter.__init__.__defaults__", (tmp_path,))
    ran = []
    use = measure_energy(lambda: ran.append(1), device="cpu")
    assert math.isnan(use.joules_per_call) and "no energy counter" in use.reason and not ran
    with pytest.raises(OSError, match="meta"):
        energy_counter("meta")


@pytest.mark.gpu
def test_a_gpu_tells_its_energy_or_why_not():
    import torch

    x = torch.randn(4096, 4096, device="cuda")
    use = measure_energy(lambda: x @ x, device="cuda")
    assert use.joules_per_call > 0 or use.reason
