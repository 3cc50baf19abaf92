"""The table of a quality cell: stable names, no figure without a reason, ceiling and floors in the right order."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from metrics import Notes, quality_table, read_folder, reference_rows, shuffled_pieces, uniform_pieces, unigram_pieces
from metrics.music.floors import FLOORS
from metrics.music.remi import PITCH, VELOCITY, VOCABULARY, token_counts


@pytest.fixture(scope="module")
def lieder(demo_music: Path) -> list[Notes]:
    pieces, skipped = read_folder(demo_music / "lieder")
    assert (len(pieces), skipped) == (40, [])
    return pieces


@pytest.fixture(scope="module")
def rows(lieder: list[Notes]) -> dict[str, dict[str, float]]:
    found = reference_rows(lieder[:12], lieder[12:], draws=10)
    return {row: {result.name: result.value for result in results} for row, results in found.items()}


def test_names_are_stable_and_every_figure_is_there_with_its_interval(lieder: list[Notes]):
    results = quality_table(lieder[:12], lieder[12:24], lieder[24:])
    names = [result.name for result in results]
    assert len(names) == len(set(names)) >= 50
    for name in (
        "oa_attribute_pitch",
        "oa_mean",
        "oa_distance_note_length_transitions",
        "oa_distance_mean",
        "oa_framewise_pitch_consistency",
        "pitch_outliers_percentile",
        "chord_density_sounding_mean",
        "chord_density_onset_p95",
        "structure_similarity_error",
        "drift_oa",
        "novelty_longest_copy",
        "frechet_distance",
        "groove_consistency",
    ):
        assert name in names
    assert [result.name for result in results if not result.measured] == []
    without = {result.name for result in results if np.isnan(result.low)}
    assert {name for name in without if "max" not in name} <= {
        "pitch_outliers_range",
        "pitch_outliers_absolute",
        "chord_density_sounding_over_8",
        "chord_density_onset_over_6",
        "chord_density_onset_over_8",
        "empty_beat_rate",
    }  # rates of 0 have no interval
    for result in results:
        assert np.isnan(result.low) or result.low <= result.value <= result.high
        assert re.search(r" v\d+$", result.definition) and result.unit and 0 < result.n <= 12


def test_the_same_seed_gives_the_same_table(lieder: list[Notes]):
    first, second = (quality_table(lieder[:4], lieder[4:8], lieder[8:12], seed=3) for _ in range(2))
    for key in ("value", "low", "high"):
        columns = [[getattr(result, key) for result in results] for results in (first, second)]
        assert columns[0] == pytest.approx(columns[1], nan_ok=True)


def test_ceiling_and_floors(rows: dict[str, dict[str, float]]):
    assert list(rows) == ["real-vs-real", *FLOORS]
    assert list(FLOORS) == [
        "uniform-tokens", "unigram-tokens", "bigram-tokens", "unigram-notes", "shuffled", "pitches-shuffled",
    ]  # fmt: skip
    for metric in ("oa_mean", "oa_distance_mean"):
        assert rows["real-vs-real"][metric] > rows["uniform-tokens"][metric] + 0.2
    assert rows["real-vs-real"]["frechet_distance"] < rows["unigram-tokens"]["frechet_distance"]
    assert rows["uniform-tokens"]["pitch_outliers_percentile"] > 0.2
    assert rows["unigram-tokens"]["pitch_outliers_percentile"] < 0.05


def test_ceiling_pieces_are_in_neither_the_reference_nor_the_training_set(lieder: list[Notes]):
    row = {"rows": ["real-vs-real"], "draws": 5}
    copies = {one.name: one for one in reference_rows(lieder[:10], lieder, **row)["real-vs-real"]}
    assert copies["novelty_longest_copy"].n == 10
    few = reference_rows(lieder[:10], lieder[:10], **row)  # nothing else to draw from: one half, the other half
    assert few["real-vs-real"][0].n == 5


def test_the_ceiling_is_of_the_references_own_kind(lieder: list[Notes], demo_music: Path):
    irish, _ = read_folder(demo_music / "irish")
    rows = [
        reference_rows(irish[:15], lieder, real=real, draws=5, rows=["real-vs-real"])["real-vs-real"]
        for real in (None, irish[15:])
    ]
    other, own = ({result.name: result.value for result in results} for results in rows)
    assert other["oa_distance_mean"] < 0.7 < own["oa_distance_mean"]


def test_shuffled_pieces_keep_what_they_use_and_lose_the_order(lieder: list[Notes]):
    real, mixed = lieder[0], shuffled_pieces([lieder[0]])[0]
    assert 0.8 * len(real) < len(mixed) <= len(real)  # notes that fall together are one
    assert set(mixed.pitch) <= set(real.pitch)
    assert mixed.content_hash != real.content_hash
    assert shuffled_pieces([real])[0].content_hash == mixed.content_hash


def test_drawn_tokens_sound_where_three_of_a_note_come_in_a_row(lieder: list[Notes]):
    tokens = sum(int(token_counts(piece).sum()) for piece in lieder)
    drawn, even = unigram_pieces(lieder, lieder), uniform_pieces(lieder)
    share = np.sum([token_counts(piece) for piece in lieder], 0)[PITCH:VELOCITY].sum() / tokens  # of Pitch tokens
    for pieces, chance in ((drawn, share**3), (even, 89 * 32 * 64 / VOCABULARY**3)):
        assert sum(len(piece) for piece in pieces) == pytest.approx(chance * tokens, rel=0.1)
    heard = np.concatenate([piece.pitch for piece in drawn])
    assert set(heard) <= {pitch for piece in lieder for pitch in piece.pitch}
    flat = np.concatenate([piece.pitch for piece in even])
    assert (flat.min(), flat.max()) == (21, 109)
    assert unigram_pieces(lieder[:1], lieder)[0].content_hash == drawn[0].content_hash


def test_a_model_that_plays_nothing_gets_reasons_and_no_exception(lieder: list[Notes]):
    silence = [Notes.from_arrays([], [], [])] * 4
    for generated, reference, train in (
        (silence, lieder[:4], lieder[4:8]),
        ([], [], []),
        (lieder[:1], lieder[1:2], []),
    ):
        results = quality_table(generated, reference, train)
        assert all(result.reason for result in results if not result.measured)
    assert not any(result.measured for result in quality_table(silence, lieder[:4], lieder[4:8]))
    assert reference_rows([], []) == {}
