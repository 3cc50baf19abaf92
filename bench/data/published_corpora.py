"""Corpora that are published elsewhere and that `corpus add` or `corpus fetch` brings here."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from bench.data.listing import is_inside, list_tunes
from bench.data.pieces import CorpusError, Source, check_split
from bench.data.registry import Listing, Published, register_corpus
from bench.errors import quoted

NOTTINGHAM_BOOKS = (
    "ashover", "hpps", "jigs", "morris", "playford", "reelsa-c", "reelsd-g", "reelsh-l", "reelsm-q", "reelsr-t",
    "reelsu-z", "slip", "waltzes", "xmas",
)  # fmt: skip
PDMX_UNKNOWN = "NA"
PDMX_COLUMNS = ("mid", "subset:no_license_conflict", "best_path", "song_name", "composer_name")


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
    return _with_files(sources, official=True)


def _maestro_source(folder: Path, row: dict[str, str]) -> Source:
    name, side = row["midi_filename"], row["split"]
    check_split(side)
    title = f"{row['canonical_composer']}: {row['canonical_title']}"
    return Source(folder / name, name, title, side)


def _pop909_titles(table: Path) -> dict[str, str]:
    if not table.is_file():
        return {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.DictReader(stream) if row.get("song_id") and row.get("name")]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{table} is no table of titles in UTF-8 ({error}); take it away to go without") from None
    return {str(row["song_id"]).zfill(3): str(row["name"]) for row in rows}


@register_corpus(
    "nottingham",
    "British folk tunes with chords, the Nottingham Music Database as cleaned by Jukedeck",
    "GPL 3.0, Jukedeck (the cleaned set); the tunes are mostly traditional",
    layout="MIDI/*.mid, or the ABC books (ashover.abc, jigs.abc, ...)",
)
def list_nottingham(folder: Path) -> Listing:
    """MIDI/*.mid, melody and chords of a tune in one file; without them the tunes of the ABC books."""
    tunes = [Source(path, path.name, path.stem) for path in sorted(folder.glob("MIDI/*.mid"))]
    if tunes:
        return Listing(tunes)
    books = [folder / f"{book}.abc" for book in NOTTINGHAM_BOOKS]
    return Listing([source for book in books if book.is_file() for source in list_tunes(book, book.name)])


@register_corpus(
    "pdmx",
    "PDMX: scores of MuseScore's users, as MIDI, without those of conflicting licences (Long et al., 2024)",
    "each score public domain or CC0 as its uploader states; the collection CC BY 4.0",
    layout="PDMX.csv with its mid/",
)
def list_pdmx(folder: Path) -> Listing:
    """Rows of PDMX.csv without a licence conflict whose MIDI file is here; versions of one title are on one side.

    Raises CorpusError for a table that cannot be read.
    """
    table = folder / "PDMX.csv"
    if not table.is_file():
        raise CorpusError(f"{folder} has no PDMX.csv, the table of scores and licences")
    try:
        with table.open(newline="", encoding="utf-8") as stream:
            rows = csv.DictReader(stream)
            if lacking := [column for column in PDMX_COLUMNS if column not in (rows.fieldnames or [])]:
                raise CorpusError(f"{table} is not PDMX's table: it has no column {', '.join(lacking)}")
            facts = [[row[column] or "" for column in PDMX_COLUMNS] for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{table} is not PDMX's table ({error})") from None
    free = [row for row in facts if row[1].strip().casefold() == "true"]
    left_out = len(facts) - len(free)
    listing = _with_files([_pdmx_source(folder, file, *others) for file, _, *others in free if file.endswith(".mid")])
    note = f"{left_out} of {len(facts)} scores are left out: conflicting licences"
    return replace(listing, notes=(note, *listing.notes), about={**listing.about, "left_out": left_out})


def _pdmx_source(folder: Path, file: str, best_path: str, title: str, composer: str) -> Source:
    file, group = file.removeprefix("./"), best_path if best_path != PDMX_UNKNOWN else ""
    named = f"{composer}: {title}".removeprefix(f"{PDMX_UNKNOWN}: ").removeprefix(": ")
    return Source(folder / file, file.removeprefix("mid/"), named, group=group)


def _with_files(sources: list[Source], *, official: bool = False) -> Listing:
    """The sources of a table whose file is here, in order of id; the others are counted. A file that is listed again is
    one piece. Raises CorpusError where its lines give it different sides."""
    listed: dict[str, Source] = {}
    for source in sources:
        if listed.setdefault(source.id, source).split != source.split:
            sides = f"{listed[source.id].split} and {source.split}"
            raise CorpusError(f"the table lists {quoted(source.id)} twice, as {sides}; allowed: one side a piece")
    again, sources = len(sources) - len(listed), list(listed.values())
    present = [source for source in sources if is_inside(source.id) and source.path.is_file()]
    absent = len(sources) - len(present)
    notes = [f"{absent} of the {len(sources)} pieces in the official table have no file here"] if absent else []
    notes += [f"{again} lines of the official table name a file again: one piece each"] if again else []
    present.sort(key=lambda source: source.id)
    about = {"listed": len(sources), "without_file": absent}
    return Listing(present, official=official, notes=tuple(notes), about=about)
