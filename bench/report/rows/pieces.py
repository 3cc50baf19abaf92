"""Pieces of a study to look at and listen to: generated samples and real music beside them, as plain note lists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from bench.data.packaged_corpora import DEMO_FOLDER, list_demo
from bench.data.pieces import Source
from bench.data.reading import Member, UnreadableError, parse_file
from metrics.music.notes import Notes

USUAL_TEMPO = 120.0  # beats/min, of a file that states none


@dataclass(frozen=True)
class Piece:
    """Notes of one file in beats (quarter notes): tuples (onset, duration, pitch, velocity), sorted by onset."""

    title: str
    notes: tuple[tuple[float, float, int, int], ...]
    beats_per_minute: float = USUAL_TEMPO


def read_midi(path: Path, member: Member = None) -> tuple[Notes, float] | None:
    """The notes of a MIDI file, drums apart, and its first tempo in beats/min, `USUAL_TEMPO` where it states none; None
    where it cannot be read or holds no note."""
    from metrics import NotesError, read_notes

    try:
        score, _ = parse_file(path, member)
        notes = read_notes(score)
    except (NotesError, UnreadableError):
        return None
    tempo = float(score.tempos[0].qpm) if len(score.tempos) else USUAL_TEMPO
    return (notes, tempo) if len(notes.onset) else None


def _pieces(sources: Iterable[Source], most: int) -> list[Piece]:
    """The first `most` files that can be read; four more are tried in place of those that cannot."""
    found = []
    for source in list(sources)[: most + 4]:
        read = read_midi(source.path, source.member)
        if read is not None:
            notes, tempo = read
            columns = (notes.onset.tolist(), notes.duration.tolist(), notes.pitch.tolist(), notes.velocity.tolist())
            found.append(Piece(source.title, tuple(zip(*columns, strict=True)), tempo))
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
            pieces = _pieces((Source(path, path.name, f"{arm}, sample {path.stem}") for path in paths), each)
            if pieces:
                found[arm] = pieces
                break
    return found


def real_pieces(frame: pd.DataFrame, folder: Path, *, each: int = 1) -> list[Piece]:
    """Real pieces to set beside the samples: those a reference cell left in its `samples/`, else of the demo corpus."""
    reference = frame[frame["kind"] == "reference"]
    paths = [path for cell_id in reference["cell_id"].unique() for path in sample_paths(folder, cell_id)]
    sources = [Source(path, path.name, f"real music, {path.stem.removeprefix('real-')}") for path in paths]
    if not paths:
        corpora = " ".join(frame["corpus"].unique())
        sources = _demo_sources(corpora) if "demo" in corpora else []
    return _pieces(sources, each)


def _demo_sources(corpora: str) -> list[Source]:
    part = next((name for name in ("lieder", "irish") if name in corpora), "lieder")
    sources = list_demo(DEMO_FOLDER).sources
    return [replace(one, title=f"real: {one.title}") for one in sources if one.id.startswith(f"{part}/")]
