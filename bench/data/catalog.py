"""The corpora known by name: one registration each, at the function that lists its pieces."""

from __future__ import annotations

import csv
import importlib.util
from dataclasses import replace
from pathlib import Path, PurePosixPath

from bench.data.names import FOLDER_PREFIX, TRACK_MARK, CorpusName
from bench.data.pieces import CorpusError, Source, check_split, part_of
from bench.data.reading import ABC_SUFFIXES, MIDI_SUFFIXES, UnreadableError, abc_tunes
from bench.data.registry import CORPORA, Entry, Listing, Published, register_corpus

HERE = Path(__file__).parent
DEMO_FOLDER = HERE / "demo"
ESSEN_LEFT_OUT = HERE / "essen-han-left-out.csv"
ESSEN_BOOKS = ("han1.abc", "han2.abc")
FOLDER_WORDS = "every MIDI, kar and ABC file under your own folder"


@register_corpus(
    "demo",
    "330 lieder by 85 composers and 1,104 Irish dance tunes; subsets lieder and irish",
    "lieder CC0 1.0 (OpenScore); irish Unlicense / CC BY 4.0 (Polifonia, after Bill Black)",
    find_folder=lambda: DEMO_FOLDER,
)
def list_demo(folder: Path) -> Listing:
    """The demo pieces by their index; a subset is an archive, split by itself so that it has the sides of the whole."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    sources = []
    for row in rows:
        subset, _, name = row["file"].partition("/")
        title = f"{row['composer']}: {row['title']}".removeprefix("traditional: ")
        sources.append(Source(folder / f"{subset}.tar.xz", row["file"], title, member=name))
    return Listing(sources, stratified=True)


def list_folder(folder: Path) -> Listing:
    """Every MIDI, kar and ABC file under a folder; each tune of an ABC file is a piece."""
    suffixes = MIDI_SUFFIXES + ABC_SUFFIXES
    sources: list[Source] = []
    for path in sorted(folder.rglob("*")):
        suffix = path.suffix.lower()
        if suffix not in suffixes or path.name.startswith("._") or not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        if suffix in MIDI_SUFFIXES:
            sources.append(Source(path, name, path.stem))
        else:
            sources.extend(_list_tunes(path, name))
    return Listing(sources)


@register_corpus(
    "pop909",
    "909 Chinese pop songs arranged for piano (Wang et al., ISMIR 2020); subsets melody, bridge and piano",
    "MIT, Music X Lab (the arrangements; the songs themselves are commercial)",
    layout="NNN/NNN.mid",
    tracks={"melody": "MELODY", "bridge": "BRIDGE", "piano": "PIANO"},
    published=Published(
        # GitHub packs archives on demand, so neither size nor checksum is published: the 909 songs are checked instead
        "https://github.com/music-x-lab/POP909-Dataset/archive/d83e6edba6872a704f5d3b8b32f5cb540088dae6.zip",
        contents="aa62be6ef9f31b9072a37e7c62ccc67c01f788c212e99bf2b4cb33f522a592ba",
    ),
)
def list_pop909(folder: Path) -> Listing:
    """NNN/NNN.mid of each song; the `versions` folders beside them are left alone."""
    songs = sorted(path for path in folder.glob("[0-9][0-9][0-9]/*.mid") if path.stem == path.parent.name)
    titles = _pop909_titles(folder / "index.csv")
    return Listing([Source(path, f"{path.stem}/{path.name}", titles.get(path.stem, path.stem)) for path in songs])


@register_corpus(
    "maestro",
    "MAESTRO v3: piano performances with official splits (Hawthorne et al., ICLR 2019); subsets by year",
    "CC BY-NC-SA 4.0 (non-commercial, share alike)",
    layout="maestro-v*.csv with its YEAR/*.midi",
    published=Published(  # MuSpy's data set table publishes the same address, size and checksum
        "https://storage.googleapis.com/magentadata/datasets/maestro/v3.0.0/maestro-v3.0.0-midi.zip",
        sha256="70470ee253295c8d2c71e6d9d4a815189e35c89624b76d22fce5a019d5dde12c",
        size_bytes=58_416_533,
    ),
)
def list_maestro(folder: Path) -> Listing:
    """Rows of the official table whose file is here, with their official sides; the other rows are counted.

    Raises CorpusError for a table that cannot be read; a row that points out of the folder counts as without a file.
    """
    tables = sorted(folder.glob("maestro-v*.csv"))
    if not tables:
        raise CorpusError(f"{folder} has no maestro-v*.csv, the official table of pieces and splits")
    try:
        with tables[-1].open(newline="", encoding="utf-8") as stream:
            sources = [_maestro_source(folder, row) for row in csv.DictReader(stream)]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise CorpusError(f"{tables[-1]} is not MAESTRO's table of pieces ({error})") from None
    present = [source for source in sources if is_inside(source.id) and source.path.is_file()]
    absent = len(sources) - len(present)
    notes = (f"{absent} of the {len(sources)} pieces in the official table have no file here",) if absent else ()
    present.sort(key=lambda source: source.id)
    return Listing(present, official=True, notes=notes, about={"listed": len(sources), "without_file": absent})


def _maestro_source(folder: Path, row: dict[str, str]) -> Source:
    name, side = row["midi_filename"], row["split"]
    check_split(side)
    title = f"{row['canonical_composer']}: {row['canonical_title']}"
    return Source(folder / name, name, title, side)


def is_inside(name: str) -> bool:
    """Whether a relative path stays below the folder it is relative to."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name


def find_essen() -> Path:
    """The folder of Essen ABC files inside an installed music21 (found, not imported)."""
    spec = importlib.util.find_spec("music21")
    folder = Path(spec.origin).parent / "corpus" / "essenFolksong" if spec and spec.origin else None
    if folder is None or not all((folder / book).is_file() for book in ESSEN_BOOKS):
        raise CorpusError("corpus essen-han comes with the package music21: pip install 'smdim-bench[folk]'")
    return folder


@register_corpus(
    "essen-han",
    "Chinese folk songs of the Essen collection, read out of music21; subsets han1.abc and han2.abc",
    "non-commercial research use, as music21 ships it; not to be passed on",
    find_folder=find_essen,
    extra="folk",
)
def list_essen(folder: Path) -> Listing:
    """The Han tunes of both books without those known to carry wrong octaves or broken notation."""
    with ESSEN_LEFT_OUT.open(newline="", encoding="utf-8") as stream:
        wrong = {(row["source"], int(row["x"])) for row in csv.DictReader(stream)}
    tunes = [source for book in ESSEN_BOOKS for source in _list_tunes(folder / book, book)]
    kept = [source for source in tunes if (source.path.name, source.member) not in wrong]
    left_out = len(tunes) - len(kept)
    note = f"{left_out} of {len(tunes)} tunes are left out: wrong octaves or broken notation (essen-han-left-out.csv)"
    return Listing(kept, notes=(note,), about={"listed": len(tunes), "left_out": left_out})


def _list_tunes(path: Path, name: str) -> list[Source]:
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


def _pop909_titles(table: Path) -> dict[str, str]:
    if not table.is_file():
        return {}
    with table.open(newline="", encoding="utf-8-sig") as stream:
        rows = [row for row in csv.DictReader(stream) if row.get("song_id") and row.get("name")]
    return {str(row["song_id"]).zfill(3): str(row["name"]) for row in rows}


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
    raise CorpusError(f"unknown corpus {name!r}: known are {', '.join(CORPORA)} and {FOLDER_PREFIX}PATH")


def find_song(words: str) -> Source:
    """The song of `CORPUS:NAME`, such as `demo/lieder:schubert_d911_02`: the one whose id or title holds the name.

    A name that is a whole id, file name or title is preferred. Raises CorpusError where none or several hold it.
    """
    corpus, _, name = words.rpartition(":")
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
        raise CorpusError(f"corpus {asked.name} has no subset {asked.subset!r}: it has {shown}")
    return chosen, asked.track


def corpora_words() -> list[tuple[str, str]]:
    """(name, what it is) of every corpus, for a list."""
    return [*((entry.name, entry.words) for entry in CORPORA.values()), (f"{FOLDER_PREFIX}PATH", FOLDER_WORDS)]
