"""Energy: wrapped counters, missing counters, and never a silent 0."""

from __future__ import annotations

import math

import pytest

from metrics.cost.energy import RaplCounter, energy_counter, measure_energy, measure_idle_power


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
    """A device on a clock of its own: it takes `idle_w` watts always, and `joules` more in each call of `call_s`."""

    source = "test meter"

    def __init__(self, monkeypatch, idle_w=0.0, joules=(2.0,), call_s=0.5):
        self.now_s, self.own, self.calls = 1000.0, 0.0, 0
        self.idle_w, self.each, self.call_s = idle_w, joules, call_s
        monkeypatch.setattr("metrics.cost.energy.time.perf_counter", lambda: self.now_s)

    def run(self):
        self.own += self.each[self.calls % len(self.each)]
        self.calls += 1
        self.now_s += self.call_s

    def sleep(self, seconds):
        self.now_s += seconds

    def joules(self):
        return 40.0 + self.own + self.idle_w * self.now_s


def test_idle_power_is_measured_before_and_taken_off(monkeypatch):
    meter = Meter(monkeypatch, idle_w=30.0)
    idle_w = measure_idle_power(meter, sleep=meter.sleep)
    assert idle_w == pytest.approx(30.0) and meter.now_s == pytest.approx(1003.0)  # settled for 1 s, measured for 2 s
    use = measure_energy(meter.run, counter=meter, idle_w=idle_w, shortest_s=1.0)
    assert use.joules_per_call == pytest.approx(2.0) and use.calls == meter.calls == 6 and use.reason == ""
    assert use.idle_w == idle_w and use.repeats == pytest.approx((2.0, 2.0, 2.0))
    # the planted fault: nothing taken off leaves 30 W x 0.5 s in each call
    assert measure_energy(meter.run, counter=meter, idle_w=0.0).joules_per_call == pytest.approx(17.0)


def test_the_measured_idle_power_is_in_the_result(monkeypatch):
    meter = Meter(monkeypatch, idle_w=30.0)
    idle_w = measure_idle_power(meter, sleep=meter.sleep)
    assert measure_energy(meter.run, counter=meter, idle_w=idle_w).idle_w == pytest.approx(30.0)


def test_the_interval_over_repeats_on_paper(monkeypatch):
    # one call a repeat of 1, 2 and 3 joules: mean 2, sd 1, t of 2 degrees 4.302653, over sqrt(3)
    meter = Meter(monkeypatch, joules=(1.0, 2.0, 3.0), call_s=1.0)
    use = measure_energy(meter.run, counter=meter, idle_w=0.0, shortest_s=1.0)
    half = 4.302653 / math.sqrt(3)
    assert use.repeats == pytest.approx((1.0, 2.0, 3.0)) and use.joules_per_call == pytest.approx(2.0)
    assert (use.low, use.high) == pytest.approx((2 - half, 2 + half), rel=1e-6)


def test_calls_that_take_no_more_than_the_idle_device_have_no_energy(monkeypatch):
    meter = Meter(monkeypatch, idle_w=30.0, joules=(0.0,))
    use = measure_energy(meter.run, counter=meter, idle_w=30.5)
    assert math.isnan(use.joules_per_call) and use.reason == "test meter: no more than the 30.5 W of the idle device"


def test_a_counter_that_stands_still_gives_nan_and_a_reason(monkeypatch):
    meter = Meter(monkeypatch, joules=(0.0,))
    use = measure_energy(meter.run, counter=meter, idle_w=0.0)
    assert math.isnan(use.joules_per_call) and "did not move" in use.reason


def test_a_counter_that_is_gone_gives_nan_with_the_reason_and_runs_nothing(powercap):
    powercap(0, 100)
    counter = RaplCounter(powercap.folder)
    counter.files[0].unlink()
    ran = []
    use = measure_energy(lambda: ran.append(1), counter=counter, idle_w=0.0)
    assert math.isnan(use.joules_per_call) and "energy is not available: " in use.reason and not ran


def test_no_counter_is_an_error_with_the_reason(monkeypatch, tmp_path):
    monkeypatch.setattr("metrics.cost.energy.RaplCounter.__init__.__defaults__", (tmp_path,))
    with pytest.raises(OSError, match="no energy counter"):
        energy_counter("cpu")
    with pytest.raises(OSError, match="meta"):
        energy_counter("meta")


@pytest.mark.gpu
def test_a_gpu_tells_its_energy_or_why_not():
    import torch

    x = torch.randn(4096, 4096, device="cuda")
    try:
        counter = energy_counter("cuda")
    except OSError as reason:
        assert str(reason)
        return
    use = measure_energy(lambda: x @ x, device="cuda", counter=counter, idle_w=measure_idle_power(counter))
    assert use.joules_per_call > 0 or use.reason
