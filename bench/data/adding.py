"""Take a corpus that the user has, as an archive or unpacked, into the place where corpora lie."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.data.archives import unpack
from bench.data.cache import publishing, writing_to
from bench.data.catalog import ENTRIES, Entry, Listing, corpora_folder
from bench.data.pieces import CorpusError
from bench.data.reading import MIDI_SUFFIXES
from bench.files import canonical_hash, file_sha256

TABLE_SUFFIXES = (".csv", ".xlsx")
PAPERS = ("license", "licence", "readme", "copying")
SEARCH_DEPTH = 4


@dataclass(frozen=True)
class Added:
    """What `add_corpus` took: pieces, those listed without a file, and where they lie now."""

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

    POP909: a folder that holds NNN/NNN.mid. MAESTRO: a folder that holds maestro-v*.csv. Either may lie a few folders
    down. Replaces what was added before, in one step; on any error the old state stays. `check` may
    refuse what was found by raising. Raises CorpusError or
    ArchiveError with one line.
    """
    entry = _addable(name)
    if origin.is_dir():
        return _take(entry, origin, check, progress)
    if not origin.is_file():
        raise CorpusError(f"{origin}: no such file or folder")
    with writing_to(corpora_folder()):
        corpora_folder().mkdir(parents=True, exist_ok=True)
        unpacked = Path(tempfile.mkdtemp(dir=corpora_folder(), prefix=f".{name}.unpack."))
    try:
        unpack(origin, unpacked, _wanted)
        return _take(entry, unpacked, check, progress)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def contents_hash(listing: Listing) -> str:
    """64 hexadecimal digits over ids and bytes of a listing's files."""
    return canonical_hash([[source.id, file_sha256(source.path)] for source in listing.sources], 64)


def _addable(name: str) -> Entry:
    entry = ENTRIES.get(name)
    if entry is not None and entry.obtained == "fetch":
        return entry
    addable = ", ".join(entry.name for entry in ENTRIES.values() if entry.obtained == "fetch")
    hint = {"demo": "demo is shipped", "essen-han": "essen-han comes with pip install 'smdim-bench[folk]'"}.get(
        name, "use a folder of your own as folder:PATH"
    )
    raise CorpusError(f"{name!r} cannot be added (only {addable}): {hint}")


def _wanted(path: PurePosixPath) -> bool:
    if path.name.startswith("._") or "versions" in path.parts:
        return False
    return path.suffix.lower() in MIDI_SUFFIXES + TABLE_SUFFIXES or path.name.lower().startswith(PAPERS)


def _take(
    entry: Entry,
    origin: Path,
    check: Callable[[Listing], None] | None,
    progress: Callable[[int, int], None] | None,
) -> Added:
    root, listing = _find_root(entry, origin)
    if check is not None:
        check(listing)
    papers = [
        path
        for folder in {root, root.parent if root != origin else root}
        for path in sorted(folder.iterdir())
        if path.is_file() and (path.suffix.lower() in TABLE_SUFFIXES or path.name.lower().startswith(PAPERS))
    ]
    copies = [(source.path, source.path.relative_to(root)) for source in listing.sources]
    copies += [(path, Path(path.name)) for path in papers]
    target = corpora_folder() / entry.name
    with publishing(target) as fresh:
        for done, (path, name) in enumerate(copies, start=1):
            with writing_to(fresh.parent):
                (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, fresh / name)
            if progress is not None:
                progress(done, len(copies))
    return Added(entry.name, len(listing.sources), listing.about.get("without_file", 0), target)


def _find_root(entry: Entry, origin: Path) -> tuple[Path, Listing]:
    for folder in _folders(origin):
        try:
            listing = entry.read(folder)
        except CorpusError:
            continue
        if listing.sources:
            return folder, listing
    layout = {"pop909": "NNN/NNN.mid", "maestro": "maestro-v*.csv with its YEAR/*.midi"}[entry.name]
    raise CorpusError(f"no {entry.name} under {origin}: its layout is {layout}")


def _folders(origin: Path) -> Iterator[Path]:
    for folder, children, _ in os.walk(origin):
        children.sort()
        yield Path(folder)
        if len(Path(folder).relative_to(origin).parts) >= SEARCH_DEPTH:
            children.clear()
