"""Notes: what is read from a file, what is cut, where bars lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import symusic

import metrics
from metrics import Notes, NotesError, read_notes


def score_of(*tracks: tuple[bool, list[tuple[int, int, int, int]]], signatures: list[tuple[int, int, int]] = ()):
    """A score of 480 ticks a beat; tracks are (is_drum, [(time, duration, pitch, velocity)])."""
    score = symusic.Score(480)
    for is_drum, notes in tracks:
        track = symusic.Track("t", 0, is_drum)
        for note in notes:
            track.notes.append(symusic.Note(*note))
        score.tracks.append(track)
    for signature in signatures:
        score.time_signatures.append(symusic.TimeSignature(*signature))
    return score


def test_tracks_are_merged_in_beats_and_sorted_by_onset_and_pitch():
    score = score_of((False, [(480, 240, 60, 80)]), (False, [(480, 960, 55, 90), (0, 120, 72, 100)]))
    notes = read_notes(score)
    assert notes.onset.tolist() == [0, 1, 1]
    assert notes.duration.tolist() == [0.25, 2, 0.5]
    assert notes.pitch.tolist() == [72, 55, 60]
    assert notes.velocity.tolist() == [100, 90, 80]


def test_drums_are_read_apart_and_never_mixed():
    score = score_of((False, [(0, 480, 60, 80)]), (True, [(0, 480, 36, 80), (480, 480, 38, 80)]))
    assert read_notes(score).pitch.tolist() == [60]
    assert read_notes(score, drums=True).pitch.tolist() == [36, 38]


def test_an_overlap_of_one_pitch_is_cut_at_the_later_onset_but_what_is_held_stays():
    notes = Notes.from_arrays([0, 1, 0], [4, 1, 3], [60, 60, 64])
    assert notes.onset.tolist() == [0, 0, 1]
    assert notes.pitch.tolist() == [60, 64, 60]
    assert notes.duration.tolist() == [1, 3, 1]
    assert notes.releases.tolist() == [4, 3, 2]


def test_of_notes_with_one_onset_and_pitch_the_longest_is_kept_and_empty_ones_are_dropped():
    notes = Notes.from_arrays([0, 0, 2], [1, 2, 0], [60, 60, 60], [10, 20, 30])
    assert (notes.duration.tolist(), notes.velocity.tolist()) == ([2.0], [20])


def test_bars_follow_the_time_signatures_of_the_whole_file():
    score = score_of((False, [(0, 480 * 13, 60, 80)]), signatures=[(0, 3, 4), (480 * 6, 6, 8), (480 * 9, 4, 4)])
    assert read_notes(score).bar_starts().tolist() == [0, 3, 6, 9, 13]


def test_bars_are_of_four_beats_where_nothing_is_said_and_before_the_first_signature():
    assert Notes.from_arrays([0], [9], [60]).bar_starts().tolist() == [0, 4, 8, 12]
    late = Notes.from_arrays([0], [10], [60], meters=((4.0, 3.0),))
    assert late.bar_starts().tolist() == [0, 4, 7, 10]
    assert late.with_bars(5).bar_starts().tolist() == [0, 5, 10]


def test_no_notes_make_one_empty_bar():
    empty = Notes.from_arrays([], [], [])
    assert (len(empty), empty.end_beats, empty.bar_starts().tolist()) == (0, 0, [0, 4])


def test_content_hash_is_of_the_notes_and_not_of_the_name():
    first = Notes.from_arrays([0, 1], [1, 1], [60, 62], name="a")
    same = Notes.from_arrays([1, 0], [1, 1], [62, 60], name="b")
    other = Notes.from_arrays([0, 1], [1, 1], [60, 63], name="a")
    assert first.content_hash == same.content_hash != other.content_hash


def test_arrays_that_are_no_notes_are_refused_in_one_line():
    with pytest.raises(NotesError, match=r"piece.*one length"):
        Notes.from_arrays([0, 1], [1], [60], name="piece")
    with pytest.raises(NotesError, match=r"pitch must lie in 0\.\.127, got 60\.\.200"):
        Notes.from_arrays([0, 1], [1, 1], [60, 200])
    with pytest.raises(NotesError, match="finite"):
        Notes.from_arrays([0, np.nan], [1, 1], [60, 61])


def test_a_broken_file_and_an_absent_one_are_named(tmp_path: Path):
    broken = tmp_path / "broken.mid"
    broken.write_bytes(b"MThd nothing")
    for path, word in ((broken, "truncated inside the header"), (tmp_path / "absent.mid", "no such file")):
        with pytest.raises(NotesError, match=word) as caught:
            read_notes(path)
        assert "\n" not in str(caught.value)


def test_a_folder_is_read_whole_and_what_cannot_be_read_is_counted(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    score_of((False, [(0, 480, 60, 80)])).dump_midi(tmp_path / "sub" / "good.mid")
    (tmp_path / "bad.MID").write_bytes(b"")
    (tmp_path / "words.txt").write_text("no music")
    pieces, skipped = metrics.read_folder(tmp_path)
    assert [piece.name for piece in pieces] == [str(Path("sub") / "good.mid")]
    assert [path.name for path, _ in skipped] == ["bad.MID"]
    with pytest.raises(NotesError, match="no such folder"):
        metrics.read_folder(tmp_path / "absent")


def test_abc_is_read_like_midi(tmp_path: Path):
    (tmp_path / "tune.abc").write_text("X:1\nT:Scale\nM:4/4\nL:1/4\nK:C\nC D E F|\n")
    assert read_notes(tmp_path / "tune.abc").pitch.tolist() == [60, 62, 64, 65]
