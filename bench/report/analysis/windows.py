"""Measures in windows along a piece, from its beginning to its end, of generated and real music."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bench.report.rows.arms import arm_order
from bench.report.rows.pieces import read_midi, sample_paths
from bench.store.vectors import read_vectors
from metrics.music.drift import HOP_BEATS, WINDOW_BEATS, measure_windows
from metrics.music.notes import Notes, song_numbers
from metrics.statistics.intervals import Interval, mean_interval

MOST_PIECES = 48  # of an arm; more are not read, so that a large study is still drawn in seconds
FEWEST_PIECES = 3  # that must reach a window before their mean is drawn
REAL = "real music"


@dataclass(frozen=True)
class Course:
    """The mean of a measure over the songs of an arm in each window, with its 95 % interval; excerpts of one song, and
    pieces with the same notes, are averaged first.

    `beats` are the middles of the windows; `pieces` how many pieces there are.
    """

    arm: str
    measure: str
    beats: tuple[float, ...]
    means: tuple[Interval, ...]
    pieces: int


def courses(frame: pd.DataFrame, folder: Path, measures: tuple[str, ...] = ("oa", "density")) -> list[Course]:
    """One course an arm and measure, and one of real music; the first corpus and length that left samples.

    Empty where no cell, or no reference cell, left readable MIDI files.
    """
    reference = frame[frame["kind"] == "reference"]
    first = reference.drop_duplicates("cell_id")
    places = zip(first["cell_id"], first["length"], strict=True)
    read = ((_real_pieces(folder, str(cell_id)), length) for cell_id, length in places)
    real, length = next((pair for pair in read if pair[0]), ([], 0))
    if not real:
        return []
    quality = frame[(frame["kind"] == "quality") & (frame["length"] == length).fillna(False)]
    found = []
    for arm in arm_order(frame):
        cells = quality[quality["arm"] == arm].sort_values("seed")["cell_id"].unique()
        paths = [path for cell_id in cells for path in _of_length(sample_paths(folder, cell_id), int(length))]
        pieces = _notes(paths[:MOST_PIECES])
        for measure in measures if pieces else ():
            generated, others = measure_windows(pieces, real, measure)
            found.append(_course(arm, measure, pieces, generated))
            if not any(one.arm == REAL and one.measure == measure for one in found):
                found.append(_course(REAL, measure, real, others))
    return found


def _of_length(paths: list[Path], length: int) -> list[Path]:
    """Of an arm that played at several lengths only the files whose names begin with this one."""
    return [path for path in paths if "-" not in path.stem or path.stem.startswith(f"{length:05d}-")]


def _notes(paths: list[Path]) -> list[Notes]:
    """Notes of the files that can be read and hold any."""
    return [read[0] for path in paths if (read := read_midi(path)) is not None]


def _real_pieces(folder: Path, cell_id: str) -> list[Notes]:
    """The held-out excerpts of a reference cell, `samples/real-000.mid` and on, with their songs where the cell has
    them."""
    vectors = read_vectors(folder / cell_id)
    songs = {} if vectors is None else dict(zip(vectors["piece"], vectors["song"], strict=True))
    pieces = []
    for path in sample_paths(folder, cell_id):
        number = path.stem.rpartition("-")[2]
        song = songs.get(int(number), "") if number.isdigit() else ""
        pieces += [replace(piece, song=song) for piece in _notes([path])]
    return pieces


def _course(arm: str, measure: str, pieces: list[Notes], windows: list[np.ndarray]) -> Course:
    """Means over songs window by window, as far as `FEWEST_PIECES` pieces reach."""
    beats, means, songs = [], [], song_numbers(pieces)
    for index in range(max(map(len, windows), default=0)):
        reached = [row for row, one in enumerate(windows) if index < len(one) and np.isfinite(one[index])]
        if len(reached) >= FEWEST_PIECES:
            values, own = np.array([windows[row][index] for row in reached]), songs[reached]
            beats.append(index * HOP_BEATS + WINDOW_BEATS / 2)
            means.append(mean_interval([values[own == song].mean() for song in np.unique(own)]))
    return Course(arm, measure, tuple(beats), tuple(means), len(windows))
