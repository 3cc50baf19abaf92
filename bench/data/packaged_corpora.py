"""Corpora that come with a package: the demo with this one, folk songs and chorales with music21."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

from bench.data.listing import list_tunes
from bench.data.pieces import CorpusError, Source
from bench.data.reading import MUSICXML_SUFFIXES
from bench.data.registry import Listing, register_corpus

HERE = Path(__file__).parent
DEMO_FOLDER = HERE / "demo"
ESSEN_LEFT_OUT = HERE / "essen-han-left-out.csv"
ESSEN_BOOKS = ("han1.abc", "han2.abc")
NO_CHORALES = ("bwv846",)
"""A prelude beside the chorales."""


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


@register_corpus(
    "essen-han",
    "Chinese folk songs of the Essen collection, read out of music21; subsets han1.abc and han2.abc",
    "non-commercial research use, as music21 ships it; not to be passed on",
    find_folder=lambda: find_music21("essen-han", "essenFolksong", *ESSEN_BOOKS),
    extra="music21",
)
def list_essen(folder: Path) -> Listing:
    """The Han tunes of both books without those known to carry wrong octaves or broken notation."""
    with ESSEN_LEFT_OUT.open(newline="", encoding="utf-8") as stream:
        wrong = {(row["source"], int(row["x"])) for row in csv.DictReader(stream)}
    tunes = [source for book in ESSEN_BOOKS for source in list_tunes(folder / book, book)]
    kept = [source for source in tunes if (source.path.name, source.member) not in wrong]
    left_out = len(tunes) - len(kept)
    note = f"{left_out} of {len(tunes)} tunes are left out: wrong octaves or broken notation (essen-han-left-out.csv)"
    return Listing(kept, notes=(note,), about={"listed": len(tunes), "left_out": left_out})


@register_corpus(
    "jsb",
    "chorales by Bach in four voices, read out of music21; subsets soprano, alto, tenor and bass",
    "the music is in the public domain; encodings as music21 ships them: with permission of their encoders, "
    "none with a licence of its own, commercial use may be restricted",
    find_folder=lambda: find_music21("jsb", "bach", "bwv66.6.mxl"),
    extra="music21",
    tracks={"soprano": "Soprano", "alto": "Alto", "tenor": "Tenor", "bass": "Bass"},
)
def list_chorales(folder: Path) -> Listing:
    """Every chorale in MusicXML by its number in Bach's catalogue; three are there in Humdrum too."""
    paths = sorted(path for path in folder.glob("bwv*") if path.suffix in MUSICXML_SUFFIXES)
    return Listing([Source(path, path.name, f"BWV {path.stem[3:]}") for path in paths if path.stem not in NO_CHORALES])


def find_music21(name: str, part: str, *files: str) -> Path:
    """A folder of the corpus inside an installed music21 (found, not imported), with these files in it."""
    spec = importlib.util.find_spec("music21")
    folder = Path(spec.origin).parent / "corpus" / part if spec and spec.origin else None
    if folder is None or not all((folder / file).is_file() for file in files):
        raise CorpusError(f"corpus {name} comes with the package music21: pip install 'smdim-bench[music21]'")
    return folder
