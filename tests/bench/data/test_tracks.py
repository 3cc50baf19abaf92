"""One track of every file as a corpus: by name or number, on the sides of the whole, and files that lack it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.data import corpus_notes, load_corpus, tokenize
from bench.data.catalog import find_song
from bench.data.names import CorpusName
from bench.data.pieces import CorpusError
from bench.data.reading import read_piece
from bench.data.registry import corpora_folder

SONGS = 12


def write_song(path: Path, pitch: int, names: Sequence[str] = ("MELODY", "BRIDGE", "PIANO")) -> None:
    """Track i has i + 1 notes a beat apart, all of pitch `pitch` + 12 i."""
    import symusic

    score = symusic.Score(480)
    for index, name in enumerate(names):
        track = symusic.Track(name, 0, False)
        for beat in range(index + 1):
            track.notes.append(symusic.Note(480 * beat, 480, pitch + 12 * index, 64))
        score.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(score.dumps_midi())


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    for number in range(1, SONGS + 1):
        write_song(folder / f"{number:03d}" / f"{number:03d}.mid", 40 + number)
    return folder


def test_the_parts_of_a_name() -> None:
    assert CorpusName.parse("demo/lieder#track=0@2of5") == CorpusName("demo", "lieder", "0", (2, 5))
    assert CorpusName.parse("folder:/a@b/c#1") == CorpusName("folder:/a@b/c#1")
    assert CorpusName.parse("folder:/a#track=Right Hand@0of3") == CorpusName("folder:/a", None, "Right Hand", (0, 3))
    with pytest.raises(CorpusError, match=r"^corpus pop909#track=: no track is named; allowed: pop909#track=NAME_OR"):
        CorpusName.parse("pop909#track=")


def test_melody_piano_and_whole_have_the_same_sides_and_ids(songs: Path) -> None:
    corpora_folder().mkdir(parents=True)
    (corpora_folder() / "pop909").symlink_to(songs)
    whole = load_corpus("pop909")
    sides = {piece.id: piece.split for piece in whole.pieces}
    assert len(sides) == SONGS and set(sides.values()) == {"train", "validation", "test"}
    assert sum(piece.notes for piece in whole.pieces) == 6 * SONGS
    prints = {whole.fingerprint}
    for subset, notes, octave in (("melody", 1, 0), ("bridge", 2, 1), ("piano", 3, 2)):
        corpus = load_corpus(f"pop909/{subset}")
        assert corpus.label == f"pop909/{subset}" and corpus.licence == whole.licence and corpus.skipped == []
        assert {piece.id: piece.split for piece in corpus.pieces} == sides
        assert [piece.notes for piece in corpus.pieces] == [notes] * SONGS
        assert [set(piece.pitch.tolist()) for piece in corpus_notes(corpus)] == [
            {41 + song + 12 * octave} for song in range(SONGS)
        ]
        prints.add(corpus.fingerprint)
    assert len(prints) == 4  # so that tokens of one are not taken for those of another
    folds = load_corpus("pop909@1of3"), load_corpus("pop909/melody@1of3")
    assert [(p.id, p.split) for p in folds[0].pieces] == [(p.id, p.split) for p in folds[1].pieces]
    assert load_corpus("pop909", subset="melody").fingerprint == load_corpus("pop909#track=MELODY").fingerprint
    assert find_song("pop909/melody:003.mid").track == "MELODY"
    with pytest.raises(CorpusError, match=r"no subset 'drums': it has melody, bridge, piano, 001, "):
        load_corpus("pop909/drums")
    with pytest.raises(CorpusError, match=r"pop909/piano is the track PIANO already; allowed: pop909/piano, or pop"):
        load_corpus("pop909/piano#track=MELODY")


def test_the_tokens_of_a_track_are_those_of_its_notes(songs: Path, tmp_path: Path) -> None:
    tokens = tokenize(load_corpus(f"folder:{songs}#track=PIANO"), cache=tmp_path)
    words = [tokens.vocabulary[token] for token in tokens.all_tokens]
    assert sum(word.startswith("Pitch_") for word in words) == 3 * SONGS
    assert load_corpus(f"folder:{songs}#track=PIANO@0of3").label == f"folder:{songs}#track=PIANO@0of3"


def test_a_track_by_number_in_any_case_and_several_of_one_name(tmp_path: Path) -> None:
    write_song(tmp_path / "a.mid", 50, ("Hand", "Voice", "hand"))
    assert len(read_piece(tmp_path / "a.mid", track="HAND").tracks[0].notes) == 4
    assert len(read_piece(tmp_path / "a.mid", track="1").tracks[0].notes) == 2


def test_a_file_without_the_track_is_named_with_the_tracks_that_it_has(songs: Path, tmp_path: Path) -> None:
    for number in range(4):
        write_song(tmp_path / f"{number}.mid", 50 + number, ("MELODY", "") if number else ("Choir", "", "Harp"))
    corpus = load_corpus(f"folder:{tmp_path}#track=melody")
    assert len(corpus.pieces) == 3
    assert [(item.id, item.reason) for item in corpus.skipped] == [
        ("0.mid", "no track 'melody': it has Choir (0), without a name (1), Harp (2)")
    ]
    with pytest.raises(CorpusError) as caught:
        load_corpus(f"folder:{songs}#track=7@0of3")
    assert str(caught.value) == (
        f"corpus folder:{songs}#track=7 has no usable piece among 12: "
        "no track '7': it has MELODY (0), BRIDGE (1), PIANO (2) (12)"
    )


def test_melodies_alike_under_other_accompaniments_are_named_where_the_sides_part_them(
    tmp_path: Path, write_midi
) -> None:  # type: ignore[no-untyped-def]
    melody = [(beat, 1.0, 60 + beat * beat % 37, 64) for beat in range(40)]
    for song in range(3):
        chords = [(beat / 4, 0.25, 30 + (7 * beat + song * beat * beat) % 23, 64) for beat in range(160)]
        write_midi(
            tmp_path / f"{song}.mid", [(on, long, pitch + song, loud) for on, long, pitch, loud in melody], chords
        )
    assert load_corpus(f"folder:{tmp_path}").notes == ()
    assert load_corpus(f"folder:{tmp_path}#track=0").notes == (
        "track 0 of each piece alone; each is on the side of its whole piece",
        "near-duplicates as this track alone, on two sides: 3 (0.mid and 1.mid, 0.mid and 2.mid, 1.mid and 2.mid)",
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Flöte".encode("latin-1"), "flöte"),
        ("Flöte".encode(), "Flo\u0308te"),
        ("ピアノ右手".encode("shift_jis"), "ピアノ右手"),
        ("Général".encode("latin-1"), "GÉNÉRAL"),
    ],
)
def test_a_name_in_any_encoding(tmp_path: Path, name: bytes, words: str) -> None:
    write_song(tmp_path / "a.mid", 50, ("NAME", "LEFT"))
    data = (tmp_path / "a.mid").read_bytes()
    at = data.index(b"\xff\x03\x04NAME")
    size = int.from_bytes(data[18:22], "big") + len(name) - 4
    named = data[:18] + size.to_bytes(4, "big") + data[22:at] + b"\xff\x03" + bytes([len(name)]) + name + data[at + 7 :]
    (tmp_path / "a.mid").write_bytes(named)
    assert len(read_piece(tmp_path / "a.mid", track=words).tracks[0].notes) == 1
