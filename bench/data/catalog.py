"""Corpora and songs by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.data import packaged_corpora, published_corpora
from bench.data.listing import list_folder
from bench.data.names import FOLDER_PREFIX, TRACK_MARK, CorpusName
from bench.data.pieces import CorpusError, Source, part_of
from bench.data.registry import CORPORA, Entry
from bench.errors import quoted

REGISTERED = (packaged_corpora, published_corpora)
"""The modules whose import registers corpora, in the order of the list."""
FOLDER_WORDS = "every MIDI, kar and ABC file under your own folder"


def entry_of(name: str) -> Entry:
    """The entry of a corpus name or of "folder:PATH"; CorpusError for any other name."""
    if name in CORPORA:
        return CORPORA[name]
    if name.startswith(FOLDER_PREFIX):
        folder = Path(name.removeprefix(FOLDER_PREFIX)).expanduser()

        def find() -> Path:
            if not folder.is_dir():
                raise CorpusError(f"{name}: no such folder")
            return folder

        return Entry(name, f"files under {folder}", "not stated", list_folder, find)
    raise CorpusError(f"unknown corpus {quoted(name)}: known are {', '.join(CORPORA)} and {FOLDER_PREFIX}PATH")


def find_song(words: str) -> Source:
    """The song of `CORPUS:NAME`, such as `demo/lieder:schubert_d911_02`: the one whose id or title holds the name.

    A name that is a whole id, file name or title is preferred; a title may hold colons. Raises CorpusError where none
    or several hold it.
    """
    corpus, name = _corpus_and_song(words)
    asked = CorpusName.parse(corpus)
    entry = entry_of(asked.name)
    sources, track = choose(entry, entry.read(entry.find()).sources, asked)
    wanted = name.casefold()
    found = [one for one in sources if wanted in (w.casefold() for w in (one.id, one.title, one.file_name, one.stem))]
    found = found or [one for one in sources if wanted in one.id.casefold() or wanted in one.title.casefold()]
    if len(found) != 1:
        some = ", ".join(one.id for one in found[:3]) + (", ..." if len(found) > 3 else "")
        many = f"{len(found)} songs have it in their name: {some}" if found else "no song has it in its name or title"
        raise CorpusError(f"{words}: {many}; allowed: CORPUS:NAME, with the name of one song of {corpus}")
    return replace(found[0], track=track)


def _corpus_and_song(words: str) -> tuple[str, str]:
    """What stands before and after the colon that ends a corpus's name: of a folder the first behind one that is there,
    since both its name and a title may hold colons."""
    prefix = FOLDER_PREFIX if words.startswith(FOLDER_PREFIX) else ""
    parts = words.removeprefix(prefix).split(":")
    for count in range(1, len(parts)):
        corpus = prefix + ":".join(parts[:count])
        if not prefix or Path(CorpusName.parse(corpus).name.removeprefix(prefix)).expanduser().is_dir():
            return corpus, ":".join(parts[count:])
    corpus, _, name = words.rpartition(":")
    return corpus, name


def choose(entry: Entry, sources: list[Source], asked: CorpusName) -> tuple[list[Source], str | None]:
    """The sources of the subset in a name, and the track of each that is meant (None: all its tracks).

    Raises CorpusError for a subset that is not there, or for two tracks at once.
    """
    if asked.subset is None:
        return sources, asked.track
    if (track := entry.tracks.get(asked.subset)) is not None:
        if asked.track is not None:
            raise CorpusError(
                f"corpus {asked.name}/{asked.subset} is the track {track} already; allowed: "
                f"{asked.name}/{asked.subset}, or {asked.name}{TRACK_MARK}{asked.track}"
            )
        return sources, track
    chosen = [source for source in sources if part_of(source.id) == asked.subset]
    if not chosen:
        parts = [*entry.tracks, *sorted({part_of(source.id) for source in sources})]
        shown = ", ".join(parts[:12]) + (", ..." if len(parts) > 12 else "")
        raise CorpusError(f"corpus {asked.name} has no subset {quoted(asked.subset)}: it has {shown}")
    return chosen, asked.track


def corpora_words() -> list[tuple[str, str]]:
    """(name, what it is) of every corpus, for a list."""
    return [*((entry.name, entry.words) for entry in CORPORA.values()), (f"{FOLDER_PREFIX}PATH", FOLDER_WORDS)]
