"""Near-duplicates: the share of passages by hand, other keys, and one side of the split for both."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bench.data import load_corpus
from bench.data.near import NearPair, compare_all, near_duplicates, passages
from bench.data.reading import NoteArrays

STEP = 0.5


def melody(seed: int, count: int = 40) -> list[int]:
    return np.random.default_rng(seed).integers(50, 80, count).tolist()


def notes_of(pitches: list[int], up: int = 0, begin: float = 0.0) -> NoteArrays:
    onset = begin + STEP * np.arange(len(pitches))
    pitch = np.array(pitches, dtype=np.int16) + up
    return NoteArrays(onset, np.full(len(onset), STEP), pitch, np.full(len(onset), 64, np.int16), ())


def test_a_melody_of_forty_notes_has_thirty_two_passages_in_any_key() -> None:
    hashes, pitches = passages(notes_of(melody(0)))
    assert len(hashes) == 40 - 8
    moved, higher = passages(notes_of(melody(0), up=5, begin=7.0))
    assert (moved == hashes).all() and (higher - pitches == 5).all()
    doubled = notes_of([pitch for pitch in melody(0) for _ in range(2)])
    twice = NoteArrays(np.repeat(notes_of(melody(0)).onset, 2), *doubled_rest(doubled))
    assert (passages(twice)[0] == hashes).all()


def doubled_rest(notes: NoteArrays) -> tuple:
    return notes.duration, notes.pitch, notes.velocity, notes.meters


@pytest.mark.parametrize(("kept", "share"), [(40, 1.0), (24, 16 / 32), (20, 12 / 32)])
def test_the_share_is_that_of_the_piece_with_fewer_passages(kept: int, share: float) -> None:
    first = melody(1)
    other = [first[kept % 40] + 1, *melody(2, 59)]  # no step of `first` by chance
    pieces = {"a": notes_of(first), "b": notes_of(first[:kept] + other, up=-3)}  # n notes in a row: n - 8 passages
    pairs = compare_all(pieces, least=0.1)
    assert pairs == [NearPair("a", "b", round(share, 3), -3)]
    assert bool(compare_all(pieces)) == (share >= 0.4)


def test_other_rhythm_or_a_piece_too_short_to_tell_is_no_near_duplicate() -> None:
    slow = notes_of(melody(3))
    slow = NoteArrays(2 * slow.onset, slow.duration, slow.pitch, slow.velocity, ())
    assert compare_all({"a": notes_of(melody(3)), "b": slow}) == []
    assert compare_all({"a": notes_of(melody(3, 23)), "b": notes_of(melody(3, 23))}) == []  # 15 passages
    assert compare_all({"a": notes_of([60] * 90), "b": notes_of([62] * 90)}) == []


def test_near_duplicates_stand_on_one_side_and_are_named(
    tmp_path: Path, write_midi, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    from bench.cli import app

    for index in range(30):
        notes = [(STEP * place, STEP, pitch, 64) for place, pitch in enumerate(melody(index % 15, 60))]
        if index >= 15:  # again, a tone higher, with another end
            notes = [(onset, length, pitch + 2, 80) for onset, length, pitch, _ in notes[:50]]
        write_midi(tmp_path / f"{index:02d}.mid", notes)
    corpus = load_corpus(f"folder:{tmp_path}")
    side = {piece.id: piece.split for piece in corpus.pieces}
    assert all(side[f"{index:02d}.mid"] == side[f"{index + 15:02d}.mid"] for index in range(15))
    assert sorted(side.values()).count("test") == 4  # two of fifteen groups
    assert corpus.notes == ("15 pairs of near-duplicates, each on one side (`corpus check --near` names them)",)
    printed = CliRunner().invoke(app, ["corpus", "check", f"folder:{tmp_path}", "--near"]).output
    assert f"near: 00.mid ({side['00.mid']}) and 15.mid ({side['15.mid']}) share 100% of their passages" in printed
    assert "the second 2 semitones higher" in printed
    assert "15 pairs of near-duplicates, 0 across the split" in printed


def test_the_pairs_are_kept_by_content(tmp_path: Path, write_midi, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    for index, up in enumerate((0, 4)):
        write_midi(tmp_path / f"{index}.mid", [(STEP * n, STEP, pitch + up, 64) for n, pitch in enumerate(melody(7))])
    pieces = load_corpus(f"folder:{tmp_path}").pieces
    contents = {piece.id: piece.content for piece in pieces}
    monkeypatch.setattr("bench.data.near.read_all", lambda *_, **__: pytest.fail("read again"))
    assert near_duplicates(pieces, contents) == [NearPair("0.mid", "1.mid", 1.0, 4)]
