"""Lists of pieces: every music file under a folder, every tune of an ABC file."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from bench.data.pieces import Source
from bench.data.reading import ABC_SUFFIXES, UnreadableError, abc_tunes
from bench.data.registry import Listing
from metrics.music.folder import find_files, path_text


def list_folder(folder: Path) -> Listing:
    """Every MIDI, kar and ABC file under a folder and its linked folders; each tune of an ABC file is a piece.

    Links to nothing and folders that may not be opened are listed too: reading them gives the reason.
    """
    sources: list[Source] = []
    for path in find_files(folder):
        name = path_text(path.relative_to(folder))
        if path.suffix.lower() in ABC_SUFFIXES:
            sources.extend(list_tunes(path, name))
        else:
            sources.append(Source(path, name, path_text(Path(path.stem))))
    return Listing(sources)


def list_tunes(path: Path, name: str) -> list[Source]:
    """The tunes of an ABC file by their numbers; the file itself where it holds none."""
    try:
        tunes = abc_tunes(path)
    except UnreadableError:
        tunes = {}
    sources = [
        Source(path, f"{name}#{number:04d}", _abc_title(text) or f"{path.stem} {number}", member=number)
        for number, text in sorted(tunes.items())
    ]
    return sources or [Source(path, name, path.stem)]


def _abc_title(text: str) -> str:
    return next((line[2:].strip() for line in text.splitlines() if line.startswith("T:")), "")


def is_inside(name: str) -> bool:
    """Whether a relative path stays below the folder it is relative to."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name
