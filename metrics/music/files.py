"""Music files as Notes: MIDI, kar and ABC, one by one or a folder of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.abc import AbcError, read_tune, tunes
from metrics.music.folder import find_files, path_text
from metrics.music.midi import MidiError, read_counted
from metrics.music.notes import Notes, NotesError

MOST_BEATS: Final = 30_000  # over two hours at 240 beats a minute; a longer file is damaged


def read_notes(source: str | Path | Any, *, drums: bool = False, name: str | None = None) -> Notes:
    """Read one MIDI or ABC file, or a symusic Score, as Notes.

    Drum tracks are left out; `drums=True` reads them instead of the others, so that the two never mix.
    Raises NotesError with one line when the file is absent, is no music file, counts time in film frames, is longer
    than 30,000 beats, or is an ABC file of several tunes (`read_folder` reads them all).
    """
    if not isinstance(source, (str, Path)):
        return _from_score(source, drums=drums, name=name or "")
    path = Path(source)
    if not path.is_file():
        raise NotesError(f"{path}: no such file")
    title = path.stem if name is None else name
    if path.suffix.lower() != ".abc":
        return _parsed(path, path.read_bytes(), drums=drums, name=title)
    texts = _tunes(path)
    if len(texts) > 1:
        raise NotesError(f"{path}: holds {len(texts)} tunes; read_folder reads them all")
    return _parsed(path, texts[0], drums=drums, name=title)


def music_files(folder: str | Path) -> list[Path]:
    """Every MIDI, kar and ABC file below `folder` and its linked folders, sorted by path, and links to nothing, which
    `read_files` names. Raises NotesError when it is no folder."""
    root = Path(folder)
    if not root.is_dir():
        raise NotesError(f"{root}: no such folder")
    return find_files(root)


def read_folder(folder: str | Path, *, drums: bool = False) -> tuple[list[Notes], list[tuple[Path, str]]]:
    """Notes of every music file below `folder`, named by path, and the files that were skipped with their reasons.

    Each tune of an ABC file is a piece, `book.abc#2`.
    """
    return read_files(music_files(folder), drums=drums, root=Path(folder))


def read_files(
    paths: Iterable[Path], *, drums: bool = False, root: Path | None = None
) -> tuple[list[Notes], list[tuple[Path, str]]]:
    """Notes of each file, named by its path below `root`, and the files that were skipped with their reasons."""
    pieces: list[Notes] = []
    skipped: list[tuple[Path, str]] = []
    for path in paths:
        name = path_text(path.relative_to(root)) if root else path_text(Path(path.stem))
        try:
            contents: Sequence[bytes | str] = _tunes(path) if path.suffix.lower() == ".abc" else [path.read_bytes()]
        except (NotesError, OSError) as error:
            skipped.append((path, str(error).removeprefix(f"{path}: ")))
            continue
        for number, content in enumerate(contents, start=1):
            title = f"{name}#{number}" if len(contents) > 1 else name
            try:
                pieces.append(_parsed(path, content, drums=drums, name=title))
            except NotesError as error:
                skipped.append((path, str(error).removeprefix(f"{path}: ")))
    return pieces, skipped


def _tunes(path: Path) -> list[str]:
    found = tunes(path.read_bytes())
    if not found:
        raise NotesError(f"{path}: no tune in the ABC file")
    return list(found.values())


def _parsed(path: Path, content: bytes | str, *, drums: bool, name: str) -> Notes:
    try:
        score, unended = read_counted(content) if isinstance(content, bytes) else (read_tune(content), 0)
    except (AbcError, MidiError) as error:
        raise NotesError(f"{path}: {error}") from None
    try:
        notes = _from_score(score, drums=drums, name=name)
    except NotesError as error:
        raise NotesError(f"{path}: {error}") from None
    if notes.end_beats > MOST_BEATS:
        raise NotesError(f"{path}: {notes.end_beats:.0f} beats long (at most {MOST_BEATS})")
    return replace(notes, unended=unended)


def _from_score(score: Any, *, drums: bool, name: str) -> Notes:
    if str(score.ttype) == "Second":
        score = score.to("tick")
    beat = 1.0 if str(score.ttype) == "Quarter" else float(score.tpq)
    tables = [track.notes.numpy() for track in score.tracks if bool(track.is_drum) == drums and len(track.notes)]

    def column(key: str) -> NDArray[Any]:
        return np.concatenate([table[key] for table in tables]) if tables else np.zeros(0, np.int16)

    signatures = sorted(
        (s.time / beat, 4.0 * s.numerator / s.denominator)
        for s in score.time_signatures
        if s.numerator > 0 and s.denominator > 0
    )
    return Notes.from_arrays(
        column("time") / beat,
        column("duration") / beat,
        column("pitch"),
        column("velocity"),
        name=name,
        meters=tuple(dict(signatures).items()),  # of two at one beat the longer
    )
