"""Nottingham and PDMX from the folders that a user has: layout, licences, versions of one title on one side."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import pytest

from bench.data import load_corpus, near
from bench.data.adding import add_corpus
from bench.data.pieces import CorpusError
from bench.data.published_corpora import list_pdmx
from bench.data.registry import CORPORA

BOOK = 'X: 1\nT:Two Bars\nM:3/4\nL:1/4\nK:G\n"G"d2B|"D"A3|\n\nX: 2\nT:One Bar\nM:3/4\nL:1/4\nK:G\nGAB|\n'


def test_nottingham_takes_the_whole_tunes_and_not_their_melodies_or_chords(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path / "nottingham-dataset-master"
    for number in range(1, 4):
        melody = [(beat, 1.0, 60 + number + beat, 64) for beat in range(4)]
        chords = [(0.0, 4.0, 48, 64)]
        write_midi(root / "MIDI" / f"jigs{number}.mid", melody, chords)
        write_midi(root / "MIDI" / "melody" / f"jigs{number}.mid", melody)
    (root / "README.md").write_text("GNU GPLv3")
    added = add_corpus("nottingham", tmp_path)
    assert added.pieces == 3 and (added.folder / "README.md").is_file()
    whole = load_corpus("nottingham")
    assert [(piece.id, piece.notes) for piece in whole.pieces] == [(f"jigs{number}.mid", 5) for number in (1, 2, 3)]
    assert {piece.split for piece in whole.pieces} == {"train", "validation", "test"}
    assert whole.licence == "GPL 3.0, Jukedeck (the cleaned set); the tunes are mostly traditional"
    assert [piece.notes for piece in load_corpus("nottingham#track=0").pieces] == [4, 4, 4]


def test_nottingham_as_abc_books_out_of_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "n.zip", "w") as archive:
        archive.writestr("nottingham/ABC_cleaned/jigs.abc", BOOK)
        archive.writestr("nottingham/ABC_cleaned/other.abc", BOOK)
    assert add_corpus("nottingham", tmp_path / "n.zip").pieces == 2
    loaded = load_corpus("nottingham")
    assert [(piece.id, piece.title) for piece in loaded.pieces] == [
        ("jigs.abc#0001", "Two Bars"),
        ("jigs.abc#0002", "One Bar"),
    ]
    assert [piece.notes for piece in load_corpus("nottingham#track=0").pieces] == [3, 3]  # the melody, without chords


def make_pdmx(folder: Path, write_midi, rows: list[tuple[str, str, str]]) -> None:  # type: ignore[no-untyped-def]
    """Rows of (name of the score, "True" without a licence conflict, name of the best score of its title)."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "PDMX.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["path", "mid", "song_name", "composer_name", "best_path", "subset:no_license_conflict"])
        for number, (name, free, best) in enumerate(rows):
            mid = f"./mid/{name}.mid" if name != "NA" else "NA"
            table.writerow([f"./data/{name}.json", mid, f"Song {name}", "NA", f"./data/{best}.json", free])
            if name not in ("NA", "a/gone"):
                write_midi(folder / "mid" / f"{name}.mid", [(0.0, 1.0, 40 + number, 64), (1.0, 1.0, 50, 64)])


def test_pdmx_keeps_scores_without_a_licence_conflict_and_versions_of_a_title_together(
    tmp_path: Path,
    write_midi,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    songs = [(f"a/{number}", "True", f"a/{number}") for number in range(8)]
    versions = [(f"b/{number}", "True", f"a/{number}") for number in range(8)]
    others = [("b/taken", "False", "b/taken"), ("a/gone", "True", "a/gone"), ("NA", "True", "NA")]
    make_pdmx(tmp_path / "PDMX", write_midi, [*songs, *versions, *others])
    assert add_corpus("pdmx", tmp_path).without_file == 1
    loaded = load_corpus("pdmx")
    sides = {piece.id: piece.split for piece in loaded.pieces}
    assert sorted(sides) == [f"{part}/{number}.mid" for part in "ab" for number in range(8)]
    assert all(sides[f"a/{number}.mid"] == sides[f"b/{number}.mid"] for number in range(8))
    assert set(sides.values()) == {"train", "validation", "test"}
    assert loaded.pieces[0].title == "Song a/0"
    assert loaded.notes == (
        "1 of 19 scores are left out: conflicting licences",
        "1 of the 17 pieces in the official table have no file here",
    )
    monkeypatch.setattr(near, "MOST_PIECES", 15)
    assert load_corpus("pdmx").notes[2] == "near-duplicates are sought in corpora of up to 15 pieces, not in this one"


def test_what_is_not_pdmx_is_one_line(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(
        CorpusError, match=r"^corpus pdmx is not here yet: `smdim-bench corpus add pdmx --from FILE_OR_"
    ):
        load_corpus("pdmx")
    with pytest.raises(CorpusError, match=r"has no PDMX\.csv, the table"):
        list_pdmx(tmp_path)
    (tmp_path / "PDMX.csv").write_text("path,mid\n./data/a.json,./mid/a.mid\n")
    with pytest.raises(
        CorpusError, match="it has no column subset:no_license_conflict, best_path, song_name, composer_n"
    ):
        list_pdmx(tmp_path)
    with pytest.raises(CorpusError, match=r"no pdmx under .*: its layout is PDMX\.csv with its mid/"):
        add_corpus("pdmx", tmp_path)
    make_pdmx(tmp_path / "x", write_midi, [("../../outside", "True", "NA")])
    assert list_pdmx(tmp_path / "x").sources == []
    assert all(CORPORA[name].licence for name in ("nottingham", "pdmx", "jsb"))
