"""What must hold for any music: symmetry, bounds, and what transposition and repetition may and may not change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics import Notes, chord_density, oa_attribute, oa_distance, oa_framewise, oa_from_features, pitch_outliers
from metrics.music.attribute import ATTRIBUTES

SETTINGS = settings(max_examples=15, deadline=None, derandomize=True)


@st.composite
def pieces(draw: st.DrawFn, fewest: int = 1, lowest: int = 30, highest: int = 90) -> Notes:
    count = draw(st.integers(fewest, 24))
    eighths = st.integers(0, 64)
    onset = draw(st.lists(eighths, min_size=count, max_size=count))
    duration = draw(st.lists(st.integers(1, 40), min_size=count, max_size=count))
    pitch = draw(st.lists(st.integers(lowest, highest), min_size=count, max_size=count))
    velocity = draw(st.lists(st.integers(1, 127), min_size=count, max_size=count))
    return Notes.from_arrays(np.array(onset) / 8, np.array(duration) / 8, pitch, velocity)


SETS = st.lists(pieces(), min_size=2, max_size=5)


def transposed(piece: Notes, up: int) -> Notes:
    return Notes.from_arrays(piece.onset, piece.releases - piece.onset, piece.pitch + up, piece.velocity)


@SETTINGS
@given(SETS, SETS)
def test_attribute_overlap_is_symmetric_and_in_bounds(first: list[Notes], second: list[Notes]):
    for attribute in ATTRIBUTES:
        there = oa_attribute(first, second, attribute, intervals=False)
        back = oa_attribute(second, first, attribute, intervals=False)
        if there.measured:
            assert 0 <= there.value <= 1 + 1e-12
            assert there.value == pytest.approx(back.value, abs=1e-12)
        assert there.measured == back.measured


@SETTINGS
@given(SETS)
def test_a_set_overlaps_itself_wholly(first: list[Notes]):
    assert oa_attribute(first, first, "pitch", intervals=False).value == pytest.approx(1)
    assert oa_attribute(first, first[::-1], "duration", intervals=False).value == pytest.approx(1)


@SETTINGS
@given(
    st.lists(st.lists(st.floats(-50, 50), min_size=2, max_size=2), min_size=3, max_size=12),
    st.lists(st.lists(st.floats(-50, 50), min_size=2, max_size=2), min_size=3, max_size=12),
    st.sampled_from(["full", "data"]),
)
def test_overlap_of_any_features_lies_in_bounds_and_the_grid_agrees(first: list, second: list, limits: str):
    exact, grid = (
        oa_from_features(first, second, limits=limits, method=method, intervals=False) for method in ("exact", "grid")
    )
    assert 0 <= exact.value <= 1
    assert grid.value == pytest.approx(exact.value, abs=1e-5)


@SETTINGS
@given(SETS, SETS, st.integers(-20, 20))
def test_transposition_leaves_metrics_of_intervals_and_time(first: list[Notes], second: list[Notes], up: int):
    moved = [transposed(piece, up) for piece in first]
    for attribute in ("velocity", "duration", "interval"):
        before, after = (oa_attribute(s, second, attribute, intervals=False) for s in (first, moved))
        assert after.value == pytest.approx(before.value, nan_ok=True)
    for feature in ("used_pitches", "pitch_range", "notes", "mean_pitch_shift", "note_length_histogram"):
        before, after = (oa_distance(s, second, feature, intervals=False) for s in (first, moved))
        assert after.value == pytest.approx(before.value, nan_ok=True, abs=1e-9)
    for kind in ("sounding", "onset"):
        before, after = (chord_density(s, kind, intervals=False) for s in (first, moved))
        assert after.value == before.value


@SETTINGS
@given(SETS, st.integers(0, 30))
def test_transposition_up_lifts_notes_over_the_limit_and_never_back(first: list[Notes], up: int):
    counts = [
        sum(int((piece.pitch + by > 90).sum()) for piece in first) / sum(len(piece) for piece in first)
        for by in (0, up)
    ]
    limit = [Notes.from_arrays([0, 1], [1, 1], [0, 90])]
    moved = pitch_outliers([transposed(piece, up) for piece in first], limit, "range", intervals=False)
    assert moved.value == pytest.approx(counts[1])
    assert moved.value >= counts[0] == pitch_outliers(first, limit, "range", intervals=False).value


@SETTINGS
@given(SETS, SETS)
def test_a_set_twice_is_the_set_for_pooled_metrics(first: list[Notes], second: list[Notes]):
    for metric in (
        lambda s: oa_attribute(s, second, "pitch", intervals=False).value,
        lambda s: oa_attribute(s, second, "duration", intervals=False).value,
        lambda s: pitch_outliers(s, second, "percentile", intervals=False).value,
        lambda s: chord_density(s, "sounding", "mean", intervals=False).value,
        lambda s: chord_density(s, "onset", "p95", intervals=False).value,
    ):
        assert metric([*first, *first]) == pytest.approx(metric(first))


@SETTINGS
@given(pieces())
def test_stretching_time_and_reordering_notes(piece: Notes):
    held = piece.releases - piece.onset
    order = np.random.default_rng(0).permutation(len(piece))
    again = Notes.from_arrays(piece.onset[order], held[order], piece.pitch[order], piece.velocity[order])
    assert again.content_hash == piece.content_hash
    slower = Notes.from_arrays(piece.onset * 2, held * 2, piece.pitch, piece.velocity)
    before, after = (chord_density([p], "sounding", "mean", intervals=False).value for p in (piece, slower))
    assert after == pytest.approx(before)


@SETTINGS
@given(SETS, SETS)
def test_framewise_figures_lie_in_bounds(first: list[Notes], second: list[Notes]):
    for attribute in ("pitch", "duration"):
        for statistic in ("consistency", "variance"):
            result = oa_framewise(first, second, attribute, statistic)
            assert np.isnan(result.value) == bool(result.reason)
            assert np.isnan(result.value) or 0 <= result.value <= 1
