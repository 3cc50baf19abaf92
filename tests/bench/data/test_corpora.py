"""Corpora by name: layouts, official sides, subsets, copies, and files that cannot be used."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from bench.data import corpus_notes, load_corpus
from bench.data.catalog import find_song
from bench.data.packaged_corpora import ESSEN_LEFT_OUT, list_essen
from bench.data.pieces import SPLITS, Corpus, CorpusError
from bench.data.published_corpora import list_pop909
from bench.data.registry import corpora_folder

TUNE = [(0.0, 1.0, 60, 64), (1.0, 1.0, 62, 64)]


def scale(start: int) -> list[tuple[float, float, int, int]]:
    return [(beat, 1.0, start + beat, 64) for beat in range(4)]


def test_the_demo_is_all_there_and_a_subset_has_the_sides_of_the_whole() -> None:
    whole, lieder = load_corpus("demo"), load_corpus("demo/lieder")
    assert len(whole.pieces) == 1_434
    assert whole.skipped == []
    assert sum(piece.notes for piece in whole.pieces) == 547_581  # the sum of the notes column of its index
    sides = {piece.id: piece.split for piece in whole.pieces}
    assert {piece.id: piece.split for piece in lieder.pieces} == {
        name: side for name, side in sides.items() if name.startswith("lieder/")
    }
    for part, *counts in (("lieder", 263, 33, 34), ("irish", 883, 111, 110)):
        found = Counter(side for name, side in sides.items() if name.startswith(part))
        assert [found[side] for side in SPLITS] == counts
    assert lieder.label == "demo/lieder"
    assert (
        next(piece.title for piece in lieder.pieces if "d911_11_" in piece.id) == "Schubert, Franz: 11 Frühlingstraum"
    )


def test_names_that_are_not_there() -> None:
    with pytest.raises(
        CorpusError,
        match=r"unknown corpus 'pop'.*demo, essen-han, jsb, pop909, maestro, nottingham, pdmx and folder:PATH",
    ):
        load_corpus("pop")
    with pytest.raises(CorpusError, match=r"corpus pop909 is not here yet.*corpus fetch pop909.*corpus add pop909"):
        load_corpus("pop909")
    with pytest.raises(CorpusError, match="no such folder"):
        load_corpus("folder:/nowhere/at/all")
    with pytest.raises(CorpusError, match="no subset 'opera': it has irish, lieder"):
        load_corpus("demo", subset="opera")


def test_an_empty_folder_and_one_of_broken_files(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is empty: no MIDI, kar or ABC file"):
        load_corpus(f"folder:{tmp_path}")
    for name in ("a.mid", "b.mid", "c.kar"):
        (tmp_path / name).write_bytes(b"MThd nonsense" if name == "c.kar" else b"")
    with pytest.raises(CorpusError, match=r"no usable piece among 3: empty file \(2\); "):
        load_corpus(f"folder:{tmp_path}")


def test_a_broken_file_among_good_ones_is_skipped_and_named(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    for index in range(4):
        write_midi(tmp_path / "deep" / f"{index}.MID", scale(60 + index))
    whole = (tmp_path / "deep" / "0.MID").read_bytes()
    (tmp_path / "cut.midi").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "._cut.midi").write_bytes(b"resource fork")
    (tmp_path / "readme.txt").write_text("not music")
    corpus = load_corpus(f"folder:{tmp_path}")
    assert [piece.id for piece in corpus.pieces] == [f"deep/{index}.MID" for index in range(4)]
    assert [(item.id, item.reason) for item in corpus.skipped] == [
        ("cut.midi", "truncated (a track ends before its stated length)")
    ]
    assert {piece.split for piece in corpus.pieces} == {"train", "validation", "test"}


def test_copies_stand_on_one_side(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    for index in range(12):
        write_midi(tmp_path / f"{index:02d}.mid", scale(40 + 3 * index))
        louder = [(onset, duration, pitch, 99) for onset, duration, pitch, _ in scale(40 + 3 * index)]
        write_midi(tmp_path / f"{index:02d} copy.mid", louder, tpq=96)
    corpus = load_corpus(f"folder:{tmp_path}")
    sides = {piece.id: piece.split for piece in corpus.pieces}
    assert all(sides[f"{index:02d}.mid"] == sides[f"{index:02d} copy.mid"] for index in range(12))
    assert corpus.notes == ("12 pieces are copies of another (same notes); copies stand on one side",)


def test_abc_books_in_a_folder_are_pieces(tmp_path: Path) -> None:
    tunes = [f"X:{n}\nT:Tune {n}\nM:4/4\nL:1/4\nK:C\n{notes} |\n" for n, notes in ((1, "C D E F"), (4, "G A B c"))]
    (tmp_path / "book.abc").write_text("\n".join(tunes) + "\nX:9\nT:Silent\nM:4/4\nL:1/4\nK:C\nz4 |\n")
    corpus = load_corpus(f"folder:{tmp_path}")
    assert [(piece.id, piece.title, piece.member) for piece in corpus.pieces] == [
        ("book.abc#0001", "Tune 1", 1),
        ("book.abc#0004", "Tune 4", 4),
    ]
    assert [(item.id, item.reason) for item in corpus.skipped] == [("book.abc#0009", "no notes")]
    notes = corpus_notes(corpus)
    assert [piece.pitch.tolist() for piece in notes] == [[60, 62, 64, 65], [67, 69, 71, 72]]
    assert [piece.name for piece in notes] == ["book.abc#0001", "book.abc#0004"]


def test_the_essen_songs_known_to_be_wrong_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "han1.abc").write_text("X:7\nT:kept\nK:C\nC4 |\n\nX:8\nT:wrong octaves\nK:C\nC4 |\n")
    (tmp_path / "han2.abc").write_text("X:9\nT:also kept\nK:C\nC4 |\n")
    listing = list_essen(tmp_path)
    assert [source.id for source in listing.sources] == ["han1.abc#0007", "han2.abc#0009"]
    assert listing.about == {"listed": 3, "left_out": 1}


def test_the_list_of_wrong_essen_songs_is_whole() -> None:
    with ESSEN_LEFT_OUT.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len({(row["source"], row["x"]) for row in rows}) == 163
    assert {row["source"] for row in rows} == {"han1.abc", "han2.abc"}


def make_maestro(folder: Path, rows: list[tuple[str, str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "maestro-v3.0.0.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["canonical_composer", "canonical_title", "split", "year", "midi_filename", "duration"])
        for name, side in rows:
            table.writerow(["Frédéric Chopin", f"Étude {name}", side, name[:4], name, "1.0"])


def maestro(write_midi) -> Corpus:  # type: ignore[no-untyped-def]
    folder = corpora_folder() / "maestro"
    rows = [("2004/a.midi", "train"), ("2004/b.midi", "test"), ("2008/c.midi", "train"), ("2008/gone.midi", "train")]
    make_maestro(folder, rows)
    write_midi(folder / "2004/a.midi", scale(60))
    write_midi(folder / "2004/b.midi", TUNE)
    write_midi(folder / "2008/c.midi", [(*note[:3], 99) for note in TUNE])
    return load_corpus("maestro")


def test_maestro_has_official_sides_and_counts_rows_without_a_file(write_midi) -> None:  # type: ignore[no-untyped-def]
    corpus = maestro(write_midi)
    assert {piece.id: piece.split for piece in corpus.pieces} == {
        "2004/a.midi": "train",
        "2004/b.midi": "test",
        "2008/c.midi": "test",  # a copy of b
    }
    assert corpus.split_rule == "official"
    assert corpus.about == {"listed": 4, "without_file": 1}
    assert corpus.notes == (
        "1 of the 4 pieces in the official table have no file here",
        "1 pieces are copies of another (same notes); copies stand on one side",
        "1 copies were moved from their official side to that of the held-out one",
    )
    assert corpus.pieces[0].title == "Frédéric Chopin: Étude 2004/a.midi"
    assert [piece.id for piece in load_corpus("maestro", subset="2008").pieces] == ["2008/c.midi"]


def test_maestro_without_its_table_is_an_error() -> None:
    (corpora_folder() / "maestro").mkdir(parents=True)
    with pytest.raises(CorpusError, match=r"has no maestro-v\*\.csv"):
        load_corpus("maestro")


def test_pop909_takes_the_song_and_not_its_versions(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    write_midi(tmp_path / "001" / "001.mid", scale(60))
    write_midi(tmp_path / "001" / "versions" / "001-v1.mid", scale(61))
    write_midi(tmp_path / "002" / "002.mid", scale(62))
    (tmp_path / "index.csv").write_text("song_id,name,artist\n001,木头人,x\n")
    assert [(source.id, source.title) for source in list_pop909(tmp_path).sources] == [
        ("001/001.mid", "木头人"),
        ("002/002.mid", "002"),
    ]


def test_notes_of_one_side_have_drums_apart_and_keep_their_meter(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    for index in range(3):
        write_midi(tmp_path / f"{index}.mid", scale(60 + index), [(0.0, 1.0, 36, 90)], drums=[1])
    corpus = load_corpus(f"folder:{tmp_path}")
    (notes,) = corpus_notes(corpus, "test")
    assert notes.name == corpus.of_split("test")[0].id
    assert len(notes) == 4
    assert notes.onset.tolist() == [0.0, 1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="train, validation, test"):
        corpus_notes(corpus, "dev")


@pytest.mark.parametrize(
    "table", ["a,b\n1,2\n", "canonical_composer,canonical_title,split,year,midi_filename\nx,x,dev,2004,a.midi\n"]
)
def test_a_strange_maestro_table_is_one_line(table: str) -> None:
    folder = corpora_folder() / "maestro"
    folder.mkdir(parents=True)
    (folder / "maestro-v3.0.0.csv").write_text(table)
    with pytest.raises(CorpusError, match="is not MAESTRO's table of pieces"):
        load_corpus("maestro")


def test_a_file_that_a_table_lists_again_is_one_piece(write_midi) -> None:  # type: ignore[no-untyped-def]
    folder = corpora_folder() / "maestro"
    make_maestro(folder, [("2004/a.midi", "train"), ("2004/a.midi", "train")])
    write_midi(folder / "2004/a.midi", scale(60))
    corpus = load_corpus("maestro")
    assert [piece.id for piece in corpus.pieces] == ["2004/a.midi"]
    assert corpus.notes == ("1 lines of the official table name a file again: one piece each",)
    make_maestro(folder, [("2004/a.midi", "train"), ("2004/a.midi", "test")])
    with pytest.raises(CorpusError, match=r"lists '2004/a.midi' twice, as train and test"):
        load_corpus("maestro")


def test_titles_in_another_encoding_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_bytes("song_id,name\n001,Étude\n".encode("latin-1"))
    with pytest.raises(CorpusError, match=r"index.csv is no table of titles in UTF-8"):
        list_pop909(tmp_path)


def test_a_song_is_found_by_a_title_with_a_colon(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    lied = next(one for one in load_corpus("demo/lieder").pieces if ": " in one.title)
    assert find_song(f"demo/lieder:{lied.title}").id == lied.id
    write_midi(tmp_path / "a:b" / "one: two.mid", scale(60))
    assert find_song(f"folder:{tmp_path}/a:b:one: two").id == "one: two.mid"
    with pytest.raises(CorpusError, match="no song has it"):
        find_song(f"folder:{tmp_path}/a:b:three: four")
