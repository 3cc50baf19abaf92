"""One registration is all that the commands, the errors and the list need to know of a corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.data import corpora_words, load_corpus
from bench.data.adding import add_corpus
from bench.data.catalog import find_song
from bench.data.fetching import published_as
from bench.data.listing import list_folder
from bench.data.pieces import CorpusError
from bench.data.registry import CORPORA, Listing, register_corpus


@pytest.fixture
def hymns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CORPORA, "hymns", CORPORA["demo"])  # so that it is taken out again

    @register_corpus("hymns", "four-part hymns", "public domain", layout="MIDI/*.mid")
    def list_hymns(folder: Path) -> Listing:
        return list_folder(folder / "MIDI")


@pytest.mark.usefixtures("hymns")
def test_a_registered_corpus_is_listed_added_and_loaded(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    for index in range(3):
        write_midi(tmp_path / "set" / "MIDI" / f"{index}.mid", [(0.0, 1.0, 60 + index, 64), (1.0, 1.0, 62, 64)])
    assert ("hymns", "four-part hymns") in corpora_words()
    assert CORPORA["hymns"].origin == "add"
    with pytest.raises(CorpusError, match=r"^corpus hymns is not here yet: `smdim-bench corpus add hymns"):
        load_corpus("hymns")
    with pytest.raises(CorpusError, match=r"'hymns' cannot be fetched .*only maestro, pop909 can"):
        published_as("hymns")
    (tmp_path / "other").mkdir()
    with pytest.raises(CorpusError, match=r"no hymns under .*: its layout is MIDI/\*\.mid"):
        add_corpus("hymns", tmp_path / "other")
    assert add_corpus("hymns", tmp_path).pieces == 3
    corpus = load_corpus("hymns")
    assert [piece.id for piece in corpus.pieces] == ["0.mid", "1.mid", "2.mid"] and corpus.licence == "public domain"


def test_where_a_corpus_comes_from_in_words() -> None:
    assert {name: entry.origin for name, entry in CORPORA.items()} == {
        "demo": "shipped",
        "essen-han": "with [music21]",
        "jsb": "with [music21]",
        "pop909": "add or fetch",
        "maestro": "add or fetch",
        "nottingham": "add",
        "pdmx": "add",
    }


def test_a_song_is_found_by_corpus_and_name_or_title() -> None:
    assert find_song("demo/irish:Morrisons").id == "irish/Morrisons.mid"
    assert find_song("demo:schubert_d911_02").title == "Schubert, Franz: 2 Die Wetterfahne"
    assert find_song("demo/lieder:frühlingstraum").member == "schubert_d911_11_lc5023603.mid"
    with pytest.raises(CorpusError, match=r"songs have it in their name: lieder/.*; allowed: CORPUS:NAME"):
        find_song("demo/lieder:schubert")
    with pytest.raises(CorpusError, match="no song has it in its name or title"):
        find_song("demo/lieder:Morrisons")
    with pytest.raises(CorpusError, match="unknown corpus 'opera'"):
        find_song("opera:carmen")
