"""Music files below a folder, linked folders included, and what there could not be looked into."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MUSIC_SUFFIXES: Final = frozenset({".mid", ".midi", ".kar", ".abc"})


def find_files(folder: Path) -> list[Path]:
    """Music files below `folder`, by their endings, and what cannot be read there: links to nothing and folders that
    may not be opened; sorted by path.

    Links to folders are followed, each folder read once, so that a loop ends. Companions of macOS (`._name`) are left
    out.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            found.append(Path(error.filename))

    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        here = Path(place)
        stat = here.stat()
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        folders.sort()
        for name in names:
            path = here / name
            music = path.suffix.lower() in MUSIC_SUFFIXES and not name.startswith("._") and path.is_file()
            if music or (path.is_symlink() and not path.exists()):
                found.append(path)
    return sorted(found)


def path_text(path: Path) -> str:
    """A path as text with `/` between its parts; bytes that are no UTF-8 stand as numbers, `\\xe9`."""
    return path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
