"""The registry of measured names: which way is better, bounds, unknown names, metrics of a user's own."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

import metrics
from metrics import MetricResult, Notes, quality_table
from metrics import quantities as registry
from metrics.quantities import (
    SHARE,
    Margin,
    Quantity,
    Section,
    known_quantity,
    music_metric,
    quantities,
    quantity_of,
    register,
)

STATED = {  # the decided ways, by how names begin
    "higher": ("oa_", "tokens_per_second"),
    "lower": (
        *(
            "bits_per_",
            "validation_bits",
            "state_dependent",
            "grammar_errors",
            "structure_similarity_error",
            "frechet",
            "mmd",
        ),
        *("drift_oa", "drift_outliers", "step_latency", "peak_memory", "forward_gflops"),
    ),
    "nearest": (
        *("pitch_outliers_", "chord_density_", "pitch_class_entropy", "token_entropy"),
        *("scale_consistency", "groove_consistency"),
    ),
    "none": ("novelty_", "drift_density", "drift_bits", "empty_beat_rate", "parameters", "device_"),
}


@pytest.fixture
def own_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Names registered by a test are gone after it."""
    quantities()
    monkeypatch.setattr(registry, "_QUANTITIES", dict(registry._QUANTITIES))
    monkeypatch.setattr(registry, "_FUNCTIONS", dict(registry._FUNCTIONS))
    yield


@pytest.mark.parametrize("better", STATED)
def test_which_way_is_better_is_as_stated(better):
    found = {one.name: one.better for one in quantities() if one.name.startswith(STATED[better])}
    assert len(found) >= len(STATED[better]) and set(found.values()) == {better}


def test_bounds_of_shares_and_of_slopes():
    for name in ("oa_mean", "pitch_outliers_range", "chord_density_onset_over_4", "grammar_errors", "empty_beat_rate"):
        assert quantity_of(name).bounds == (0, 1)
    assert quantity_of("drift_oa").bounds == (-math.inf, math.inf)
    assert quantity_of("step_latency").bounds == (0, math.inf)


def test_headings_hold_the_unit():
    assert quantity_of("step_latency").heading == "Latency, one denoising step [ms]"
    assert quantity_of("step_latency").short_heading == "One denoising step [ms]"
    assert quantity_of("oa_mean").heading == "OA mean"
    assert quantity_of("drift_density").heading == "Drift, sounding pitches [pitches]"


def test_a_margin_is_in_the_unit_or_a_share_of_the_value_compared_with():
    assert str(quantity_of("oa_mean").margin) == "0.02" and quantity_of("oa_mean").margin.at(0.8) == 0.02
    assert str(quantity_of("step_latency").margin) == "2 %" and quantity_of("step_latency").margin.at(50) == 1.0
    assert quantity_of("oa_mean").margin_of("0.5") == Margin(0.5) and quantity_of("drift_oa").margin is None


def test_every_default_margin_can_be_stated_by_a_study():
    """A registration with a margin that a study could not state would raise when it is made."""
    with pytest.raises(ValueError, match="must be a number above 0"):
        Quantity("swing", matters=0.0)
    with pytest.raises(ValueError, match="may be 0 or below"):
        Quantity("swing", matters="2%")


def test_a_quantity_is_found_by_its_name_and_a_wrong_one_names_the_nearest():
    assert known_quantity("bits_per_token").label == "Test"
    with pytest.raises(ValueError, match="'oa_maen' is no known quantity; the nearest one is 'oa_mean'"):
        known_quantity("oa_maen")


def test_an_unknown_name_keeps_its_unit_and_no_way_is_better():
    found = quantity_of("swing_ratio", "beats")
    assert (found.heading, found.better, found.bounds) == ("swing ratio [beats]", "none", (-math.inf, math.inf))
    assert found.definition == "swing_ratio v1" and "swing_ratio" not in {one.name for one in quantities()}


@pytest.mark.parametrize(
    ("better", "loss"), [("lower", 0.3), ("higher", -0.3), ("nearest", pytest.approx(0.2)), ("none", None)]
)
def test_a_loss_is_lower_where_the_value_is_better(better, loss):
    found = Quantity("x", better=better).loss(0.3, held_out=0.5)
    assert math.isnan(found) if loss is None else found == loss
    assert math.isnan(Quantity("x", better="nearest").loss(0.3))


def test_one_name_stands_for_one_thing(own_names):
    register("swing", "1", "none")
    assert register("swing", "1", "none") == "swing"
    with pytest.raises(ValueError, match="'swing' is registered twice"):
        register("swing", "1", "higher")


def test_a_metric_of_ones_own_is_in_the_table_after_one_registration(own_names):
    name = register("repeated_pitches", "1", "nearest", bounds=SHARE, section=Section.FORM)

    @music_metric({})
    def repeated_pitches(generated, *, reference=()):
        same = sum(int((piece.pitch[1:] == piece.pitch[:-1]).sum()) for piece in generated)
        return MetricResult(name, same / sum(len(piece) - 1 for piece in generated), len(generated))

    piece = Notes.from_arrays([0, 1, 2], [1, 1, 1], [60, 60, 62], [80, 80, 80])
    found = {row.name: row for row in quality_table([piece], [piece])}["repeated_pitches"]
    assert (found.value, found.unit, found.better, found.definition) == (0.5, "1", "nearest", "repeated_pitches v1")
    assert metrics.repeated_pitches is repeated_pitches and "repeated_pitches" in dir(metrics)


def test_a_name_that_the_package_does_not_hold_is_named():
    with pytest.raises(AttributeError, match="'metrics' has no attribute 'swing'"):
        metrics.swing  # noqa: B018
