"""The registry of corpora: what each is, how it is listed, and how it is obtained.

Adding one costs a function and a registration, in `bench.data.published_corpora` or another file that
`bench.data.catalog` imports:

    @register_corpus("pop909", "909 Chinese pop songs", "MIT", layout="NNN/NNN.mid")
    def list_pop909(folder: Path) -> Listing: ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.data.pieces import CorpusError, Source
from bench.paths import cache_folder


@dataclass(frozen=True)
class Listing:
    """The pieces of a corpus as it lists them. `official`: every source carries its published side; `stratified`:
    each top folder is split by itself, so that a subset has the sides of the whole."""

    sources: list[Source]
    official: bool = False
    stratified: bool = False
    notes: tuple[str, ...] = ()
    about: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Published:
    """Address of a data set's archive, with what is known of it (None: not published).

    `contents` is the hash over (id, sha256) of its pieces, see `bench.data.adding.contents_hash`.
    """

    address: str
    sha256: str | None = None
    size_bytes: int | None = None
    contents: str | None = None


@dataclass(frozen=True)
class Entry:
    """A corpus by name.

    words        description for a list
    read         lists the pieces under its folder; CorpusError where the folder does not hold it
    find_folder  gives its folder, CorpusError where it is not here; None: where `corpus add` and `corpus fetch` put it
    layout       files by which a copy of it is recognised; empty: it cannot be added
    published    where `corpus fetch` finds it; None: it cannot be fetched
    extra        optional extra of this package that it comes with
    tracks       subsets that are one track of every piece: name of the subset -> name of the track
    """

    name: str
    words: str
    licence: str
    read: Callable[[Path], Listing]
    find_folder: Callable[[], Path] | None = None
    layout: str = ""
    published: Published | None = None
    extra: str = ""
    tracks: Mapping[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """How the corpus is obtained, in words."""
        if self.layout:
            return "add or fetch" if self.published else "add"
        return f"with [{self.extra}]" if self.extra else "shipped"

    def find(self) -> Path:
        """Its folder. Raises CorpusError where it is not here."""
        if self.find_folder is not None:
            return self.find_folder()
        folder = corpora_folder() / self.name
        if not folder.is_dir():
            fetch = f"`smdim-bench corpus fetch {self.name}` downloads it, " if self.published else ""
            raise CorpusError(
                f"corpus {self.name} is not here yet: {fetch}"
                f"`smdim-bench corpus add {self.name} --from FILE_OR_FOLDER` takes a copy you have"
            )
        return folder


CORPORA: dict[str, Entry] = {}


def register_corpus(
    name: str, words: str, licence: str, **facts: Any
) -> Callable[[Callable[[Path], Listing]], Callable[[Path], Listing]]:
    """Decorator that registers a corpus at the function that lists its pieces; `facts` are further fields of Entry."""

    def register(read: Callable[[Path], Listing]) -> Callable[[Path], Listing]:
        CORPORA[name] = Entry(name, words, licence, read, **facts)
        return read

    return register


def corpora_folder() -> Path:
    """Where added and fetched corpora lie, one folder each."""
    return cache_folder() / "corpora"
