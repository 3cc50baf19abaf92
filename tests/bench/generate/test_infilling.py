"""What is given stays: templates, windows, and 50 real songs note for note."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import symusic

from bench.diffusion.constraints import ConstraintChoice, token_notes
from bench.generate import (
    DrawOptions,
    GenerateError,
    Song,
    Template,
    TrainedRun,
    accompaniment,
    bars_again,
    continuation,
    fill,
    load_run,
    load_song,
    types_again,
)
from bench.generate.filling import window_of
from bench.generate.writing import DRAWN_TRACK, song_score

GRAMMAR = ConstraintChoice(grammar=True)
Row = tuple[int, int, int, int]


@pytest.fixture(scope="module")
def run(run_folder: Path) -> TrainedRun:
    return load_run(run_folder)


def open_song(run: TrainedRun, song: str | Path) -> Song:
    return load_song(song, run.tokenizer, run.language)


def rows(score: Any, wanted: Any = None) -> list[Row]:
    """(time, duration, pitch, velocity) of the notes of all tracks but the drawn one; `wanted` picks notes by track."""
    found: list[Row] = []
    for index, track in enumerate(score.tracks):
        if track.name != DRAWN_TRACK:
            table = track.notes.numpy()
            keep = np.ones(len(table["time"]), bool) if wanted is None else wanted[index]
            columns = (table[key][keep].tolist() for key in ("time", "duration", "pitch", "velocity"))
            found += zip(*columns, strict=True)
    return sorted(found)


def written(song: Song, template: Template, tokens: np.ndarray) -> Any:
    """The score as a reader of the MIDI file finds it."""
    return symusic.Score.from_midi(song_score(song, template, tokens).dumps_midi())


def given_rows(song: Song, template: Template) -> list[Row]:
    return rows(song.score, [~removed for removed in template.removed])


def test_fifty_real_songs_keep_their_given_notes(run: TrainedRun, demo_music: Path) -> None:
    songs = sorted(demo_music.rglob("*.mid"))[:50]
    assert len(songs) == 50
    for index, path in enumerate(songs):
        song = open_song(run, path)
        first = song.bars // 3
        end = min(first + 2, song.bars)
        choice = GRAMMAR if index % 2 else ConstraintChoice()  # kept with and without a constraint
        template = bars_again(song, first, end)
        filled = fill(run, 1, DrawOptions(steps=4, constraint=choice, seed=index), template=template).tokens[0]
        assert (filled[~template.hidden] == song.tokens[~template.hidden]).all(), path.name
        score = written(song, template, filled)
        assert rows(score) == given_rows(song, template), path.name
        outside = [bar for track in range(len(song.score.tracks)) for bar in song.onset_bars(track)]
        assert len(rows(score)) == sum(not first <= bar < end for bar in outside), path.name
        drawn = [note for track in score.tracks if track.name == DRAWN_TRACK for note in track.notes]
        quarters = [note.time / score.ticks_per_quarter for note in drawn]
        assert all(4 * first <= onset < 4 * end for onset in quarters), path.name
        assert drawn or choice != GRAMMAR, path.name


@pytest.mark.parametrize("keep", [["Pitch", "Position"], ["Position", "Duration", "Velocity"]])
def test_tokens_kept_by_type_stay_and_the_others_keep_their_type(run: TrainedRun, keep: list[str]) -> None:
    song = open_song(run, "demo/lieder:schumann_op48_01")
    template = types_again(song, keep, 0, 8)
    filled = fill(run, 2, DrawOptions(steps=4), template=template).tokens
    types = np.array(song.language.types)
    assert (types[filled] == types[song.tokens]).all()
    assert set(types[song.tokens[template.hidden]]) == {"Pitch", "Velocity", "Duration", "Position"} - set(keep)
    before = token_notes(song.tokens, song.language)
    for row in filled:
        after = token_notes(row, song.language)
        assert (after.onset == before.onset).all()
        for name in keep:
            if name != "Position":
                assert (getattr(after, name.lower()) == getattr(before, name.lower())).all()
    assert (filled[0] != filled[1]).any()


def test_the_track_kept_is_played_to(run: TrainedRun) -> None:
    song = open_song(run, "demo/lieder:schubert_d911_01")
    (voice,) = song.tracks_named("singstimme")
    assert song.tracks_named("pianoforte") == [1, 2]
    assert song.tracks_named("2") == [2]
    template = accompaniment(song, ["Singstimme"], 4, 12)
    for choice in (GRAMMAR, ConstraintChoice()):
        filled = fill(run, 1, DrawOptions(steps=4, constraint=choice), template=template).tokens[0]
        notes = token_notes(filled, song.language)
        sung = song.track_notes(voice)
        assert sung <= set(zip(notes.onset.tolist(), notes.pitch.tolist(), strict=True))
        score = written(song, template, filled)
        assert rows(score) == given_rows(song, template)
    assert not template.removed[voice].any()
    assert template.removed[1].any()


@pytest.mark.parametrize(
    ("schedule", "counts"), [(None, [256, 236, 181, 97]), ("linear", [256, 192, 128, 64])]
)  # fmt: skip
def test_confidence_draws_on_its_own_schedule(run: TrainedRun, schedule: str | None, counts: list[int]) -> None:
    left: list[int] = []
    hook = run.backbone.register_forward_pre_hook(
        lambda module, given: left.append(int((given[0] == run.mask_id).sum()))
    )
    try:
        fill(run, 1, DrawOptions("confidence", steps=4, schedule=schedule))  # 256 cos(pi/8 i) where none is given
        assert left == counts
        left.clear()
        longer = fill(run, 1, DrawOptions("confidence", steps=4, schedule=schedule), length=384)
        assert left == [*counts, 128, 90 if schedule is None else 64]
        assert longer.nfe == [6]
    finally:
        hook.remove()


def test_calls_follow_what_is_hidden(run: TrainedRun) -> None:
    song = open_song(run, "demo/irish:Morrisons")
    template = bars_again(song, 1, 3, 32)  # 64 of 256 tokens
    for sampler, calls in (("first-hitting", 16), ("confidence", 16), ("ancestral", 16)):
        assert fill(run, 1, DrawOptions(sampler, steps=64), template=template).nfe == [calls]
    onward = continuation(song, 128, 0, 8)  # half a window given, then 128 new tokens
    assert fill(run, 1, DrawOptions("first-hitting", steps=64), template=onward).nfe[0] <= 32


def test_a_continuation_begins_with_the_bar_after_what_is_given(run: TrainedRun) -> None:
    song = open_song(run, "demo/irish:Morrisons")
    template = continuation(song, 400, 2, 6)  # longer than a window
    filled = fill(run, 2, DrawOptions(steps=8, constraint=GRAMMAR), template=template)
    starts = song.bar_starts
    given = song.tokens[starts[2] : starts[6]]
    assert filled.tokens.shape == (2, len(given) + 400)
    assert (filled.tokens[:, : len(given)] == given).all()
    score = written(song, template, filled.tokens[0])
    bars = np.concatenate([song.onset_bars(index) for index in range(len(song.score.tracks))])
    assert len(rows(score)) == np.sum((bars >= 2) & (bars < 6))
    new = next(track for track in score.tracks if track.name == DRAWN_TRACK)
    assert min(note.time for note in new.notes) >= 6 * 4 * score.ticks_per_quarter


def test_a_bar_can_get_another_number_of_tokens(run: TrainedRun) -> None:
    song = open_song(run, "demo/irish:Morrisons")
    template = bars_again(song, 1, 3, 7)
    assert template.hidden.sum() == 14
    filled = fill(run, 1, DrawOptions(steps=4, constraint=GRAMMAR), template=template).tokens[0]
    notes = token_notes(filled, song.language)
    assert len(set(notes.onset[(notes.onset >= 4) & (notes.onset < 12)].tolist())) == 2  # one position, two notes each
    assert rows(written(song, template, filled)) == given_rows(song, template)


def test_windows_cover_what_is_hidden_and_begin_with_a_bar() -> None:
    bars = np.array([0, 40, 80, 120, 160, 200, 240])  # last: the end of the row
    hidden = np.zeros(240, bool)
    hidden[90:100] = True
    assert window_of(hidden, bars, 100) == (40, 140, 140)  # in the middle
    hidden[:] = True
    hidden[bars[:-1]] = False
    assert window_of(hidden, bars, 100) == (0, 100, 80)
    hidden[:80] = False
    assert window_of(hidden, bars, 100) == (80, 180, 160)
    assert window_of(np.ones(240, bool), np.array([0, 240]), 100) == (0, 100, 100)
    late = np.arange(240) >= 200
    assert window_of(late, np.array([0, 240]), 100) == (150, 240, 240)


def test_bars_are_counted_as_in_a_slice(run: TrainedRun) -> None:
    song = open_song(run, "demo/irish:Morrisons")
    assert song.bar_range("2:5") == (2, 5)
    assert song.bar_range(":5") == (0, 5)
    assert song.bar_range("3:") == (3, song.bars)
    for words in ("5", "5:5", "0:9999", "a:b", "-1:3"):
        with pytest.raises(GenerateError, match="--bars"):
            song.bar_range(words)


def test_what_cannot_be_drawn_is_one_line(run: TrainedRun) -> None:
    song = open_song(run, "demo/irish:Morrisons")
    with pytest.raises(GenerateError, match="no such token type in this song; allowed: Duration, Pitch, Position"):
        types_again(song, ["Rhythm"], 0, 4)
    with pytest.raises(GenerateError, match="nothing is left to draw"):
        types_again(song, ["Pitch", "Position", "Velocity", "Duration"], 0, 4)
    with pytest.raises(GenerateError, match=r"no such track in Morrisons\.mid; allowed: "):
        accompaniment(song, ["MELODY"], 0, 4)
    with pytest.raises(GenerateError, match="--bar-tokens 0"):
        bars_again(song, 0, 1, 0)


def song_file(folder: Path, *tracks: Any, name: str = "song.mid") -> Path:
    score: Any = symusic.Score(480)
    for track in tracks:
        score.tracks.append(track)
    (folder / name).write_bytes(score.dumps_midi())
    return folder / name


def track_of(*pitches: int, drums: bool = False, name: str = "") -> Any:
    track: Any = symusic.Track(name, 0, drums)
    for index, pitch in enumerate(pitches):
        track.notes.append(symusic.Note(480 * index, 480, pitch, 64))
    return track


def test_songs_that_cannot_be_used_are_one_line(run: TrainedRun, tmp_path: Path) -> None:
    cases: dict[str, str | Path] = {
        "no notes": song_file(tmp_path, track_of(), name="a.mid"),
        "drums only": song_file(tmp_path, track_of(36, 38, drums=True), name="b.mid"),
        "no note between the pitches 21 and 109": song_file(tmp_path, track_of(1, 5, 120), name="c.mid"),
        "no such file; allowed: a MIDI file, or CORPUS:NAME": tmp_path / "absent.mid",
        "2 songs have it in their name": "demo/irish:morris",
    }
    (tmp_path / "text.mid").write_text("not music")
    cases["not a MIDI file"] = tmp_path / "text.mid"
    far = b"\xff\xff\xff\x7f\xff\x51\x03\x07\xa1\x20"  # a tempo 2^28 - 1 ticks later
    body = b"\0\x90\x3c\x50\x60\x3c\0" + far * 2 + b"\0\xff\x2f\0"
    (tmp_path / "far.mid").write_bytes(b"MThd\0\0\0\x06\0\0\0\1\1\xe0MTrk" + len(body).to_bytes(4, "big") + body)
    cases["too long to be written"] = tmp_path / "far.mid"
    for message, path in cases.items():
        with pytest.raises(GenerateError, match=message) as caught:
            open_song(run, path)
        assert "\n" not in str(caught.value)


def test_drums_and_pitches_out_of_range_stay_where_they_are(run: TrainedRun, tmp_path: Path) -> None:
    melody, drums = track_of(*[60, 62, 64, 65] * 8, name="MELODY"), track_of(*[36] * 32, drums=True)
    low = track_of(*[5] * 32, name="low")
    song = open_song(run, song_file(tmp_path, melody, drums, low))
    template = bars_again(song, 2, 4)
    score = written(song, template, fill(run, 1, DrawOptions(steps=2), template=template).tokens[0])
    kept = rows(score)
    assert sum(pitch == 36 for *_, pitch, _ in kept) == 32
    assert sum(pitch == 5 for *_, pitch, _ in kept) == 24  # those of the bars drawn anew give way


def test_notes_without_a_token_stay_where_others_are_drawn_by_type(run: TrainedRun, tmp_path: Path) -> None:
    song = open_song(run, song_file(tmp_path, track_of(*[60, 62, 64, 5] * 8)))
    template = types_again(song, ["Pitch", "Position"], 0, song.bars)
    kept = rows(written(song, template, song.tokens))
    assert [pitch for *_, pitch, _ in kept] == [5] * 8  # those with a token are on the track of what is drawn
