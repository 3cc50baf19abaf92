"""Notes of training windows from the cache: those that were decoded, and again where the cache is damaged."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from bench.measure.quality.decoded import decoded_notes
from metrics import Notes

PIECES = [
    Notes(
        [0, 0.5, 1],
        [0.1, 0.5, 2],
        [60, 62, 64],
        [1, 80, 127],
        "train-000",
        ((0.0, 3.0), (6.0, 4.0)),
        None,
        "a",
        90.0,
        8,
    ),
    Notes([], [], [], [], "train-001", (), None, "a"),
    Notes([0, 2], [1, 1], [60, 60], [64, 64], "train-002", ((0.0, 4.0),), np.array([3.0, 1.0]), "b", 120.5, 480),
]


def same(one: Notes, other: Notes) -> bool:
    own = [field.name for field in fields(Notes) if field.name != "remembered"]
    return all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "tempo") for name in own)


def test_notes_come_back_as_they_were_and_are_decoded_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def decode() -> list[Notes]:
        calls.append(1)
        return PIECES

    songs = [piece.song for piece in PIECES]
    for _ in range(3):
        found = decoded_notes(tmp_path, 64, songs, decode)
        assert len(found) == 3 and all(map(same, found, PIECES))
    assert len(calls) == 1
    decoded_notes(tmp_path, 128, songs, decode)
    assert len(calls) == 2


@pytest.mark.parametrize("part", ["notes", "pieces", "meters"])
def test_a_damaged_cache_is_decoded_again(tmp_path: Path, part: str) -> None:
    songs = [piece.song for piece in PIECES]
    decoded_notes(tmp_path, 64, songs, lambda: PIECES)
    (path,) = tmp_path.glob(f"*-{part}.npy")
    path.write_bytes(path.read_bytes()[:-8])
    assert decoded_notes(tmp_path, 64, songs, lambda: PIECES) is PIECES
    assert all(map(same, decoded_notes(tmp_path, 64, songs, list), PIECES))


def test_no_training_window_at_all(tmp_path: Path) -> None:
    assert decoded_notes(tmp_path, 64, [], list) == []
    assert decoded_notes(tmp_path, 64, [], list) == []
