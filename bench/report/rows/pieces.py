"""Pieces of a study to look at and listen to: generated samples and real music beside them, as plain note lists."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from metrics.music.notes import Notes

DEMO_FOLDER = Path(__file__).parents[2] / "data" / "demo"


@dataclass(frozen=True)
class Piece:
    """Notes of one file in beats (quarter notes): tuples (onset, duration, pitch, velocity), sorted by onset."""

    title: str
    notes: tuple[tuple[float, float, int, int], ...]
    beats_per_minute: float = 120.0


def read_midi(path: Path) -> tuple[Notes, Any] | None:
    """The notes of a MIDI file, drums apart, and its score; None where it cannot be read or holds no note."""
    import symusic

    from metrics import NotesError, read_notes

    try:
        score = symusic.Score(str(path))
        notes = read_notes(score)
    except (NotesError, OSError, RuntimeError, ValueError):
        return None
    return (notes, score) if len(notes.onset) else None


def _pieces(titles: Iterable[tuple[Path, str]], most: int) -> list[Piece]:
    """The first `most` files that can be read; four more are tried in place of those that cannot."""
    found = []
    for path, title in list(titles)[: most + 4]:
        read = read_midi(path)
        if read is not None:
            notes, score = read
            columns = (notes.onset.tolist(), notes.duration.tolist(), notes.pitch.tolist(), notes.velocity.tolist())
            tempo = float(score.tempos[0].qpm) if len(score.tempos) else 120.0
            found.append(Piece(title, tuple(zip(*columns, strict=True)), tempo))
    return found[:most]


def sample_paths(folder: Path, cell_id: str) -> list[Path]:
    """MIDI files that a cell generated, in the order of their names."""
    return sorted((folder / cell_id / "samples").glob("*.mid"))


def samples_by_arm(frame: pd.DataFrame, folder: Path, arms: list[str], *, each: int = 1) -> dict[str, list[Piece]]:
    """The first `each` readable samples of every arm, from its first seed that left any; an arm without samples
    is absent."""
    quality = frame[frame["kind"] == "quality"]
    found: dict[str, list[Piece]] = {}
    for arm in arms:
        for cell_id in quality[quality["arm"] == arm].sort_values("seed")["cell_id"].unique():
            paths = sample_paths(folder, cell_id)
            pieces = _pieces(((path, f"{arm}, sample {path.stem}") for path in paths), each)
            if pieces:
                found[arm] = pieces
                break
    return found


def real_pieces(frame: pd.DataFrame, folder: Path, *, each: int = 1) -> list[Piece]:
    """Real pieces to set beside the samples: those a reference cell left in its `samples/`, else of the demo corpus."""
    reference = frame[frame["kind"] == "reference"]
    paths = [path for cell_id in reference["cell_id"].unique() for path in sample_paths(folder, cell_id)]
    titles = {path: f"real music, {path.stem.removeprefix('real-')}" for path in paths}
    if not paths:
        corpora = " ".join(frame["corpus"].unique())
        titles = _demo_titles(corpora) if "demo" in corpora else {}
    return _pieces(titles.items(), each)


def _demo_titles(corpora: str) -> dict[Path, str]:
    index = DEMO_FOLDER / "index.csv"
    if not index.exists():
        return {}
    with index.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    part = next((name for name in ("lieder", "irish") if name in corpora), "lieder")
    chosen = [row for row in rows if row["file"].startswith(part)]
    return {DEMO_FOLDER / row["file"]: f"real: {row['composer'].split(',')[0]}, {row['title']}" for row in chosen}
