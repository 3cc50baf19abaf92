"""Addition of a corpus that the user has, as an archive or unpacked, to the folder of corpora."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.data.archives import unpack
from bench.data.cache import publishing, writing_to
from bench.data.catalog import CORPORA
from bench.data.pieces import CorpusError
from bench.data.reading import ABC_SUFFIXES, MIDI_SUFFIXES
from bench.data.registry import Entry, Listing, corpora_folder
from bench.errors import quoted
from bench.files import canonical_hash, file_sha256

TABLE_SUFFIXES = (".csv", ".xlsx")
PAPERS = ("license", "licence", "readme", "copying")
SEARCH_DEPTH = 4


@dataclass(frozen=True)
class Added:
    """A corpus that was added: its pieces, those listed without a file, and the folder they now lie in."""

    name: str
    pieces: int
    without_file: int
    folder: Path


def add_corpus(
    name: str,
    origin: Path,
    *,
    check: Callable[[Listing], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Added:
    """Copy a corpus from an archive or a folder in its published layout; a part of it will do.

    The layout (POP909: NNN/NNN.mid, MAESTRO: maestro-v*.csv) may begin up to four folders down. Replaces what was
    added before, in one step; on any error the old state stays. `check` may refuse the listing found by raising. Raises
    CorpusError or ArchiveError with one line.
    """
    entry = _addable(name)
    with _as_folder(name, origin) as given:
        root, listing = _find_root(entry, given)
        if check is not None:
            check(listing)
        copies = [(source.path, source.path.relative_to(root)) for source in listing.sources]
        copies += [(path, Path(path.name)) for path in _papers(root, given)]
        target = corpora_folder() / name
        with publishing(target) as fresh:
            for done, (path, place) in enumerate(copies, start=1):
                with writing_to(fresh.parent):
                    (fresh / place).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, fresh / place)
                if progress is not None:
                    progress(done, len(copies))
    return Added(name, len(listing.sources), listing.about.get("without_file", 0), target)


def _papers(root: Path, given: Path) -> list[Path]:
    """Tables, licence and readme of a corpus; licence and readme of the folder around it where it has none."""
    files = [path for path in sorted(root.iterdir()) if path.is_file()]
    papers = [path for path in files if _is_paper(path)]
    if not papers and root != given:
        papers = [path for path in sorted(root.parent.iterdir()) if path.is_file() and _is_paper(path)]
    return [path for path in files if path.suffix.lower() in TABLE_SUFFIXES and path not in papers] + papers


def _is_paper(path: Path) -> bool:
    return path.name.lower().startswith(PAPERS)


@contextmanager
def _as_folder(name: str, origin: Path) -> Iterator[Path]:
    """`origin`, or the folder into which an archive is unpacked until the block ends."""
    if origin.is_dir():
        yield origin
        return
    if not origin.is_file():
        raise CorpusError(f"{origin}: no such file or folder")
    with writing_to(corpora_folder()):
        corpora_folder().mkdir(parents=True, exist_ok=True)
        unpacked = Path(tempfile.mkdtemp(dir=corpora_folder(), prefix=f".{name}.unpack."))
    try:
        unpack(origin, unpacked, _wanted)
        yield unpacked
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def contents_hash(listing: Listing) -> str:
    """64 hexadecimal digits over ids and bytes of a listing's files."""
    return canonical_hash([[source.id, file_sha256(source.path)] for source in listing.sources], 64)


def _addable(name: str) -> Entry:
    entry = CORPORA.get(name)
    if entry is not None and entry.layout:
        return entry
    addable = ", ".join(entry.name for entry in CORPORA.values() if entry.layout)
    if entry is None:
        hint = "use a folder of your own as folder:PATH"
    elif entry.extra:
        hint = f"{name} comes with pip install 'smdim-bench[{entry.extra}]'"
    else:
        hint = f"{name} is shipped"
    raise CorpusError(f"{quoted(name)} cannot be added (only {addable}): {hint}")


def _wanted(path: PurePosixPath) -> bool:
    if path.name.startswith("._") or "versions" in path.parts:
        return False
    return path.suffix.lower() in MIDI_SUFFIXES + ABC_SUFFIXES + TABLE_SUFFIXES or _is_paper(Path(path.name))


def _find_root(entry: Entry, origin: Path) -> tuple[Path, Listing]:
    for folder in _folders(origin):
        try:
            listing = entry.read(folder)
        except CorpusError:
            continue
        if listing.sources:
            return folder, listing
    raise CorpusError(f"no {entry.name} under {origin}: its layout is {entry.layout}")


def _folders(origin: Path) -> Iterator[Path]:
    for folder, children, _ in os.walk(origin):
        children.sort()
        yield Path(folder)
        if len(Path(folder).relative_to(origin).parts) >= SEARCH_DEPTH:
            children.clear()
