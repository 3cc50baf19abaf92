"""Likelihood of held-out windows: interval over songs, nats of each window."""

from __future__ import annotations

import math

import pytest

from bench.diffusion.evaluation import BitsPerToken
from bench.measure.quality.likelihood import bits_row, endings_row, nats_vectors, windows_of
from bench.measure.quality.music import load_tokens
from metrics.cost.quantities import BITS

LN2 = math.log(2)
SONGS = ("a", "a", "b", "b", "c", "c")


def estimate(bits: tuple[float, ...], windows: tuple[int, ...]) -> BitsPerToken:
    tokens = (10,) * len(bits)
    value = sum(bits) / len(bits)
    return BitsPerToken(
        value, value - 0.1, value + 0.1, len(bits), 2, windows, tuple(10 * b * LN2 for b in bits), tokens
    )


def test_the_interval_is_over_songs_and_the_masks_error_is_beside_it() -> None:
    row = bits_row(BITS, estimate((1.0, 3.0, 3.0, 5.0), (0, 1, 2, 5)), SONGS, precision="float32")  # songs a, a, b, c
    assert (row["value"], row["n"], row["songs"]) == (3.0, 4, 3)
    assert row["parts"] == {"half_width_over_masks": pytest.approx(0.1)}
    # without a, b, c the ratio is 4, 3, 7/3; sizes 2, 1, 1 are worth 16/6 songs: 5/3 degrees of freedom, t 5.2422
    error = math.sqrt(2 / 3 * (1 + 0 + (2 / 3) ** 2))
    assert [row["high"] - 3, 3 - row["low"]] == pytest.approx([5.2422 * error] * 2, rel=1e-4)


def test_windows_of_one_song_have_no_interval() -> None:
    row = bits_row(BITS, estimate((1.0, 3.0), (0, 1)), SONGS, precision="float32")
    assert row["songs"] == 1 and math.isnan(row["low"]) and math.isnan(row["high"])


def test_the_gap_of_endings_is_of_windows_with_pad() -> None:
    bits = BitsPerToken(
        0.0, 0.0, 0.0, 4, 2, (0, 1, 4, 7), (8 * 2 * LN2, 8 * 4 * LN2, 6 * 5 * LN2, 2 * 1 * LN2), (8, 8, 6, 2)
    )
    row = endings_row(bits, 8)
    assert (row["value"], row["n"]) == (pytest.approx((30 + 2) / 8 - (16 + 32) / 16), 2)
    assert math.isnan(endings_row(bits, 16)["value"]) and "ends in PAD" in endings_row(bits, 16)["reason"]


def test_every_window_has_its_song() -> None:
    tokens = load_tokens("demo/lieder", {})
    windows, pieces = tokens.windows("validation", 64), tokens.stream("validation").pieces
    songs = windows_of(tokens, "validation", 64).songs
    assert len(songs) == len(windows) and set(songs) == {piece.id for piece in pieces}
    assert songs[0] == pieces[0].id and songs[-1] == pieces[-1].id and list(songs) == sorted(songs)
    (first, last) = nats_vectors(estimate((1.0, 3.0), (0, len(songs) - 1)), songs, 64, side="validation")
    assert first == ("nats", "validation", 0, songs[0], 64, 10 * LN2, 10.0)
    assert (last.piece, last.song) == (len(songs) - 1, songs[-1])
