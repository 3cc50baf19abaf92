"""Music files as Notes: MIDI, kar and ABC, one by one or a folder of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.folder import find_files, path_text
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
    tunes = _tunes(path)
    if len(tunes) > 1:
        raise NotesError(f"{path}: holds {len(tunes)} tunes; read_folder reads them all")
    return _parsed(path, tunes[0], drums=drums, name=title)


def music_files(folder: str | Path) -> list[Path]:
    """Every MIDI, kar and ABC file below `folder` and its linked folders, sorted by path, and links to nothing, which
    `read_files` names. Raises NotesError when it is no folder."""
    root = Path(folder)
    if not root.is_dir():
        raise NotesError(f"{root}: no such folder")
    return sorted([path for paths in find_files(root) for path in paths])


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
            tunes: Sequence[bytes | str] = _tunes(path) if path.suffix.lower() == ".abc" else [path.read_bytes()]
        except (NotesError, OSError) as error:
            skipped.append((path, str(error).removeprefix(f"{path}: ")))
            continue
        for number, tune in enumerate(tunes, start=1):
            title = f"{name}#{number}" if len(tunes) > 1 else name
            try:
                pieces.append(_parsed(path, tune, drums=drums, name=title))
            except NotesError as error:
                skipped.append((path, str(error).removeprefix(f"{path}: ")))
    return pieces, skipped


def _tunes(path: Path) -> list[str]:
    """Text of every tune of an ABC file, UTF-8 or Latin-1; a file without an X: line is one."""
    data = path.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    blocks = re.split(r"(?m)^(?=X:)", text.replace("\r\n", "\n"))
    return [block for block in blocks if block.startswith("X:")] or [text]


def _parsed(path: Path, content: bytes | str, *, drums: bool, name: str) -> Notes:
    import symusic

    if isinstance(content, bytes) and content[:8] == b"MThd\0\0\0\x06" and len(content) >= 14:
        division = int.from_bytes(content[12:14], "big")
        if division & 0x8000:
            raise NotesError(f"{path}: counts time in film frames (SMPTE), not in beats")
        if division == 0:
            raise NotesError(f"{path}: has zero ticks a beat")
    try:
        score = symusic.Score.from_abc(content) if isinstance(content, str) else symusic.Score.from_midi(content)
    except Exception as error:  # the parser raises many types; all mean that the file cannot be read
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        reason = "the converter makes nothing of it" if "did not create" in reason else reason
        raise NotesError(f"{path}: cannot be read as MIDI or ABC: {reason}") from None
    try:
        notes = _from_score(score, drums=drums, name=name)
    except NotesError as error:
        raise NotesError(f"{path}: {error}") from None
    if notes.end_beats > MOST_BEATS:
        raise NotesError(f"{path}: {notes.end_beats:.0f} beats long (at most {MOST_BEATS})")
    return notes


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
