"""Samples of a listening test: excerpts of equal length of generated and of real music, by system."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
import pandas as pd

from bench.errors import UserError, quoted
from bench.report.pages.html.elements import played_tempo
from bench.report.rows.arms import arm_order
from bench.report.rows.frame import QUALITY, REFERENCE, rows_of
from bench.report.rows.pieces import USUAL_TEMPO, read_midi, sample_paths
from bench.report.rows.summaries import Group, group_words
from metrics.music.notes import Notes

REAL, SHUFFLED = "real music", "shuffled real music"
FEWEST_NOTES = 2
SETTING = ["corpus", "length", "sampler", "sample_steps"]
NO_SETTING: Group = ("", None, "", None)


@dataclass(frozen=True)
class Systems:
    """Music by system, arms or folders, and real music; `notes` say what was chosen or left out, `setting` in which
    setting a study's arms were sampled."""

    generated: dict[str, list[Notes]]
    real: list[Notes]
    notes: tuple[str, ...] = ()
    setting: Group = NO_SETTING

    @property
    def all(self) -> dict[str, list[Notes]]:
        """Pieces of every system, real music last."""
        return {**self.generated, REAL: self.real}


def study_pieces(frame: pd.DataFrame, folder: Path, arms: Sequence[str], most: int) -> Systems:
    """Up to `most` samples of each arm, its seeds in turns, held-out windows of the same music, and notes.

    Where arms were sampled in several settings (corpus, length, sampler, steps), it is the first that most arms share.
    Raises UserError for an unknown arm and for a study without samples.
    """
    known = arm_order(frame)
    unknown = [arm for arm in arms if arm not in known]
    if unknown:
        raise UserError(f"--arm {quoted(unknown[0])}: the study has the arms {', '.join(known)}")
    cells = rows_of(frame, QUALITY).drop_duplicates("cell_id")
    cells = cells[cells["arm"].isin(list(arms) or known)]
    by_setting = {
        _group(rows): rows
        for _, rows in cells.groupby(SETTING, sort=False, dropna=False)
        if any(sample_paths(folder, cell_id) for cell_id in rows["cell_id"])
    }
    if not by_setting:
        raise UserError(f"{folder}: no arm has samples; allowed: results of a study that samples, or folders of music")
    group = max(by_setting, key=lambda setting: by_setting[setting]["arm"].nunique())
    rows = by_setting[group]
    notes = [f"of {len(by_setting)} settings: {group_words(group)}"] if len(by_setting) > 1 else []
    found: dict[str, list[Notes]] = {}
    for arm in (name for name in known if name in set(cells["arm"])):
        cell_ids = rows[rows["arm"] == arm].sort_values("seed")["cell_id"]
        paths = chain.from_iterable(zip_longest(*(sample_paths(folder, cell_id) for cell_id in cell_ids)))
        pieces = _read([path for path in paths if path is not None], most, folder)
        if pieces:
            found[arm] = pieces
        else:
            notes.append(f"{arm} has no readable sample there and is left out")
    return Systems(found, _held_out(frame, folder, group, most), tuple(notes), group)


def _group(rows: pd.DataFrame) -> Group:
    corpus, length, sampler, steps = (rows[name].iloc[0] for name in SETTING)
    numbers = [None if pd.isna(value) else int(value) for value in (length, steps)]
    return str(corpus or ""), numbers[0], str(sampler or ""), numbers[1]


def _held_out(frame: pd.DataFrame, folder: Path, group: Group, most: int) -> list[Notes]:
    cells = rows_of(frame, REFERENCE).drop_duplicates("cell_id")
    same = cells[(cells["corpus"] == group[0]) & (cells["length"] == group[1])]
    paths = [path for cell_id in same["cell_id"] for path in sample_paths(folder, cell_id)]
    return _read(paths, most, folder)


def _read(paths: Iterable[Path], most: int, folder: Path) -> list[Notes]:
    found: list[Notes] = []
    for path in paths:
        if len(found) == most:
            break
        read = read_midi(path)
        if read is not None:
            notes, tempo = read
            found.append(replace(notes, name=path.relative_to(folder).as_posix(), tempo=tempo))
    return found


def excerpted(systems: Systems, seconds: float, most: int, seed: int = 0) -> Systems:
    """The first `seconds` of up to `most` pieces of each system, drawn where there are more; pieces of fewer than two
    notes are left out.

    Raises UserError for a system without a piece and for fewer than two real ones.
    """
    notes = list(systems.notes)
    cut: dict[str, list[Notes]] = {}
    for name, pieces in systems.all.items():
        parts = [excerpt(piece, seconds) for piece in pieces]
        usable = [part for part in parts if len(part) >= FEWEST_NOTES]
        drawn = np.random.default_rng([seed, 12]).permutation(len(usable))[:most]
        cut[name] = [usable[place] for place in np.sort(drawn)]
        short = sum(len(part) < FEWEST_NOTES for part in parts)
        if short:
            notes.append(f"{name}: {short} pieces of fewer than {FEWEST_NOTES} notes left out")
        if not cut[name]:
            raise UserError(f"{name}: no piece with notes; a listening test needs some of every system")
    music = cut.pop(REAL)
    if len(music) < 2:
        raise UserError("real music: one piece; a listening test needs two or more, see --reference")
    return Systems(cut, music, tuple(notes), systems.setting)


def excerpt(piece: Notes, seconds: float) -> Notes:
    """The piece from its first note on, cut after so many seconds at its tempo; notes that last longer end there."""
    tempo = tempo_of(piece)
    beats = seconds * tempo / 60
    onset = piece.onset - (piece.onset[0] if len(piece) else 0.0)
    inside = onset < beats
    held = np.minimum(piece.releases - piece.onset, beats - onset)[inside]
    columns = (onset[inside], held, piece.pitch[inside], piece.velocity[inside])
    return replace(Notes.from_arrays(*columns, name=piece.name), tempo=tempo)


def tempo_of(piece: Notes) -> float:
    """Beats a minute at which the player plays it."""
    return played_tempo(piece.tempo) if math.isfinite(piece.tempo) else USUAL_TEMPO


def median_seconds(pieces: Sequence[Notes]) -> float:
    """Median duration of pieces in seconds."""
    return float(np.median([piece.end_beats * 60 / tempo_of(piece) for piece in pieces]))
