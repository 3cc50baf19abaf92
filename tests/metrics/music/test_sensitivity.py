"""The sensitivity card at small size: what was stated beforehand, and the corruptions themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metrics import MetricResult, Notes, corrupted, read_folder, sensitivity_responses
from metrics.music.corruptions import CORRUPTIONS
from metrics.music.sensitivity import EXPECTATIONS, Response, _respond, expectation, worse
from metrics.music.sensitivity_card import card_csv, card_figure, card_markdown
from metrics.music.table import quality_table

PIECE = Notes.from_arrays([0, 1, 2, 3], [1, 0.5, 1, 2], [60, 62, 64, 120], [10, 20, 30, 40])

# Changes that 14 pieces cannot show (they do on 90 POP909 songs but for those named in the reference card).
TOO_FEW_PIECES = {
    ("oa_distance_mean_pitch_shift", "pitch_shuffle"),
    ("oa_framewise_pitch_consistency", "pitch_shuffle"),
    ("structure_similarity_error", "pitch_shuffle"),
    ("oa_attribute_pitch", "pitch_jitter"),
    ("oa_distance_mean_pitch_shift", "pitch_jitter"),
    ("oa_distance_used_pitches", "unigram_tokens"),
    ("frechet_distance", "unigram_tokens"),
    ("mmd_distance", "unigram_tokens"),
    ("oa_mean", "transposition"),
    ("pitch_outliers_percentile", "pitch_jitter"),
}


@pytest.fixture(scope="module")
def responses(demo_music: Path) -> list[Response]:
    pieces, _ = read_folder(demo_music / "lieder")
    return sensitivity_responses(pieces[:14], pieces[14:28], pieces[28:])


def test_corruptions_do_what_they_say():
    up = corrupted([PIECE], "transposition", 12)[0]
    assert up.pitch.tolist() == [72, 74, 76, 127]
    slow = corrupted([PIECE], "time_stretch", 2)[0]
    assert (slow.onset.tolist(), slow.duration.tolist()) == ([0, 2, 4, 6], [2, 1, 2, 4])
    shuffled = corrupted([PIECE], "pitch_shuffle", 1.0, seed=1)[0]
    assert sorted(shuffled.pitch) == sorted(PIECE.pitch) and shuffled.onset.tolist() == PIECE.onset.tolist()
    jittered = corrupted([PIECE] * 50, "pitch_jitter", 1.0)
    moves = np.concatenate([j.pitch[:3].astype(int) - PIECE.pitch[:3] for j in jittered])
    assert (moves.min(), moves.max()) == (-12, 12)
    late = corrupted([PIECE], "onset_jitter", 0.125)[0]
    assert 0 < np.abs(late.onset - PIECE.onset).max() <= 0.125
    drawn = corrupted([PIECE], "unigram_tokens", 1.0)[0]
    assert set(drawn.pitch) <= set(PIECE.pitch) and set(drawn.duration) <= set(PIECE.duration)
    for name in CORRUPTIONS:
        nothing = 1.0 if name == "time_stretch" else 0.0
        assert corrupted([PIECE], name, nothing)[0].content_hash == PIECE.content_hash
    with pytest.raises(ValueError, match="corruption 'reverb' is unknown; allowed: pitch_shuffle"):
        corrupted([PIECE], "reverb", 1)


def test_every_statement_names_a_metric_that_exists_once():
    names = {row.name for row in quality_table([PIECE], [PIECE])}
    for corruption, stated in EXPECTATIONS.items():
        listed = [metric for metrics in stated.values() for metric in metrics]
        assert set(listed) <= names, corruption
        assert len(listed) == len(set(listed)), corruption
    assert set(EXPECTATIONS) == set(CORRUPTIONS)
    assert expectation("oa_mean", "pitch_shuffle") == "stays"
    assert expectation("novelty_longest_copy", "pitch_shuffle") == ""


def test_what_must_not_move_does_not(responses: list[Response]):
    stated = [r for r in responses if r.expectation in ("stays", "blind")]
    assert len(stated) == 92
    assert [(r.metric, r.corruption) for r in stated if not r.holds] == []


def test_what_must_move_moves(responses: list[Response]):
    stated = [r for r in responses if r.expectation == "moves"]
    assert {(r.metric, r.corruption) for r in stated if not r.holds} <= TOO_FEW_PIECES
    assert sum(bool(r.holds) for r in stated) >= 30


def test_worse_is_further_from_the_held_out_value():
    parts = {"reference": 0.4}
    before, near, far = (MetricResult("scale_consistency", value, 8, parts=parts) for value in (0.6, 0.3, 0.1))
    assert not worse(before, near) and worse(before, far)
    lower, higher = (MetricResult("frechet_distance", value, 8) for value in (1.0, 2.0))
    assert worse(lower, higher) and not worse(higher, lower)
    first, second = (MetricResult("novelty_longest_copy", value, 8) for value in (2.0, 1.0))
    assert worse(first, second) and worse(second, first)  # no way is better: any change shows


@pytest.mark.parametrize(
    ("metric", "after", "holds"),
    [
        ("mmd_distance", 1.0, True),
        ("mmd_distance", -1.0, False),  # as large a change, but for the better
        ("mmd_distance", 0.4, False),
        ("oa_mean", -1.0, True),
        ("oa_mean", 1.0, False),
        ("groove_consistency", 1.0, True),  # away from the held-out value, 0.3
        ("novelty_longest_copy", -1.0, True),  # no way is better
    ],
)
def test_a_move_is_one_for_the_worse(metric: str, after: float, holds: bool):
    parts = {"reference": 0.3}
    before = MetricResult(metric, 0.5, 8, low=0.0, high=1.0, parts=parts)
    moved = _respond(before, MetricResult(metric, 0.5 + after, 8, parts=parts), "pitch_jitter", 1.0, "moves")
    assert moved.holds == holds
    assert moved.response == pytest.approx(2 * abs(after))


def test_damage_grows_with_its_level(responses: list[Response]):
    for metric, corruption in (
        ("oa_distance_pitch_class_histogram", "pitch_jitter"),
        ("pitch_outliers_percentile", "transposition"),
        ("oa_attribute_pitch", "transposition"),
    ):
        sizes = [r.response for r in responses if (r.metric, r.corruption) == (metric, corruption)]
        assert sizes[0] < sizes[-1] and sizes[-1] > 1


def test_the_card_is_written_whole(responses: list[Response], tmp_path: Path):
    assert len(card_csv(responses).splitlines()) == 1 + len({response.metric for response in responses}) * 18
    text = card_markdown(responses, "Music: demo.")
    assert "| oa_mean | 0 S |" in text and "of 135 statements hold." in text
    card_figure(responses, tmp_path / "figures" / "card.png", "demo")
    assert (tmp_path / "figures" / "card.png").read_bytes().startswith(b"\x89PNG")
