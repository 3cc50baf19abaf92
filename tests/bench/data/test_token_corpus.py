"""Tokens of a corpus: the words of a known tune, sides without shared pieces, windows, crops, and back to notes."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data import TokenCorpus, TokenizerSettings, load_corpus, tokenising, tokenize
from bench.data.pieces import CorpusError
from bench.data.windows import window_starts
from bench.data.worker import Answer

SIDES = ("train", "validation", "test")


def test_the_vocabulary_is_the_documented_one(lieder: TokenCorpus) -> None:
    assert lieder.vocab_size == 222  # 4 special, Bar, 89 pitches, 32 velocities, 64 durations, 32 positions
    assert [lieder.pad_id, lieder.mask_id, lieder.bar_id] == [0, 3, 4]
    names = lieder.type_names
    assert names == ["PAD", "BOS", "EOS", "MASK", "Bar", "Pitch", "Velocity", "Duration", "Position"]
    assert np.bincount(lieder.type_of_token).tolist() == [1, 1, 1, 1, 1, 89, 32, 64, 32]


def test_a_known_tune_has_known_words(scales: TokenCorpus) -> None:
    first = next(index for index, piece in enumerate(scales.pieces_in_order) if piece.id == "3.mid")
    tokens = scales.all_tokens[scales.offsets[first] : scales.offsets[first + 1]]
    words = [scales.vocabulary[token] for token in tokens]
    assert words[:5] == ["Bar_None", "Position_0", "Pitch_53", "Velocity_63", "Duration_1.0.8"]
    assert words[5:9] == ["Position_8", "Pitch_54", "Velocity_63", "Duration_1.0.8"]
    assert words.count("Bar_None") == 11
    assert len(words) == 11 * (1 + 4 * 4)


def test_no_piece_stands_on_two_sides(lieder: TokenCorpus) -> None:
    on_side = {split: {piece.id for piece in lieder.stream(split).pieces} for split in SIDES}
    assert [len(on_side[split]) for split in SIDES] == [263, 33, 34]
    assert len(set.union(*on_side.values())) == 330
    assert sum(len(lieder.stream(split).tokens) for split in SIDES) == len(lieder.all_tokens)


def test_the_record_names_every_piece_and_its_side(scales: TokenCorpus) -> None:
    record = json.loads(json.dumps(scales.record()))
    assert sorted(name for side in record["pieces"].values() for name in side) == [
        f"{index}.mid" for index in range(10)
    ]
    assert record["pieces"]["test"] == [piece.id for piece in scales.corpus.of_split("test")]
    assert record["split_rule"] == "by hash of the piece, 80/10/10, copies and near-duplicates together"
    assert TokenizerSettings(**record["settings"]) == scales.settings


def test_windows_hold_every_token_of_their_side_and_no_other(lieder: TokenCorpus) -> None:
    pieces = lieder.pieces("validation")
    windows = lieder.windows("validation", 256)
    covered = [np.zeros(len(piece), dtype=bool) for piece in pieces]
    for row, piece, start, count in zip(windows.tokens, windows.piece, windows.start, windows.count, strict=True):
        assert row[:count].tolist() == pieces[piece][start : start + count].tolist()
        assert (row[count:] == lieder.pad_id).all()
        covered[piece][start : start + count] = True
    assert all(part.all() for part in covered)
    assert (windows.tokens[:, 0] == lieder.bar_id).all()


def test_windows_begin_at_bars_of_their_piece(scales: TokenCorpus) -> None:
    # a bar has 17 tokens, so 40 tokens hold two bars and each window starts two bars after the one before
    windows = scales.windows("train", 40)
    first = windows.piece == 0
    bars = len(scales.pieces("train")[0]) // 17
    begun = list(range(0, bars - 1, 2)) + ([bars - 1] if bars % 2 else [])
    assert windows.start[first].tolist() == [17 * bar for bar in begun]
    assert np.flatnonzero(windows.tokens[0] == scales.bar_id).tolist() == [0, 17, 34]


def test_window_starts_by_hand() -> None:
    bars = np.array([0, 6, 13, 30])
    assert window_starts(bars, 40, 10) == [0, 6, 13, 23, 30]  # 23: the bar at 13 is longer than a window
    assert window_starts(bars, 10, 10) == [0]


def test_windows_refuse_what_makes_no_sense(scales: TokenCorpus) -> None:
    with pytest.raises(ValueError, match="length >= 1"):
        scales.windows("train", 0)
    with pytest.raises(ValueError, match="train, validation, test"):
        scales.windows("dev", 64)


def test_windows_are_memory_mapped_and_found_again(scales: TokenCorpus) -> None:
    windows = scales.windows("train", 64)
    assert isinstance(windows.tokens, np.memmap)
    files = sorted(path.name for path in scales.folder.glob("windows-train-64-*"))
    assert scales.windows("train", 64).tokens.tolist() == windows.tokens.tolist()
    assert sorted(path.name for path in scales.folder.glob("windows-train-64-*")) == files
    damaged = next(scales.folder.glob("windows-train-64-*.npy"))
    damaged.write_bytes(damaged.read_bytes()[:-2])
    assert scales.windows("train", 64).tokens.shape == windows.tokens.shape


def notes_of(score: object) -> list[tuple[float, float, int, int]]:
    tpq = score.ticks_per_quarter  # type: ignore[attr-defined]
    notes = [note for track in score.tracks for note in track.notes]  # type: ignore[attr-defined]
    return sorted((note.time / tpq, note.duration / tpq, note.pitch, note.velocity) for note in notes)


def test_a_window_decodes_to_its_bars_of_the_piece(lieder: TokenCorpus) -> None:
    windows = lieder.windows("test", 512)
    row = int(np.flatnonzero((windows.piece == 1) & (windows.start > 0))[0])
    piece = lieder.pieces("test")[1]
    whole = notes_of(lieder.decode(piece))
    begin = 4.0 * int((piece[: windows.start[row]] == lieder.bar_id).sum())
    found = notes_of(lieder.decode(windows.tokens[row]))
    expected = sorted((onset - begin, *rest) for onset, *rest in whole if onset >= begin)
    assert len(found) > 50
    # the last position of a window may be cut inside a chord
    settled = [note for note in found if note[0] < found[-1][0]]
    assert settled == [note for note in expected if note[0] < found[-1][0]]


def test_incomplete_notes_and_marks_are_left_out(scales: TokenCorpus) -> None:
    ids = {word: index for index, word in enumerate(scales.vocabulary)}
    words = "Position_8 Pitch_60 Velocity_63 Duration_1.0.8 PAD_None MASK_None Pitch_61 Velocity_63 Bar_None"
    words += " Position_0 Pitch_62 Velocity_63 Duration_0.4.8 Pitch_63"
    score = scales.decode([ids[word] for word in words.split()])
    assert notes_of(score) == [(1.0, 1.0, 60, 63), (4.0, 0.5, 62, 63)]
    with pytest.raises(ValueError, match="token 222 is not in the vocabulary"):
        scales.decode([222])


def test_a_decoded_file_can_be_read_again(scales: TokenCorpus, tmp_path: Path) -> None:
    import symusic

    path = tmp_path / "piece.mid"
    scales.decode_to_file(scales.pieces("test")[0], path)
    assert notes_of(symusic.Score(path)) == notes_of(scales.decode(scales.pieces("test")[0]))


NOTES = st.lists(
    st.tuples(st.integers(0, 400), st.integers(1, 120), st.integers(0, 127), st.integers(1, 127)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(NOTES)
def test_tokens_to_notes_to_tokens_is_stable(notes: list[tuple[int, int, int, int]]) -> None:
    import symusic

    from bench.data.remi import decode, encode

    score = symusic.Score(24)
    track = symusic.Track("", 0, False)
    for onset, duration, pitch, velocity in notes:
        track.notes.append(symusic.Note(onset, duration, pitch, velocity))
    score.tracks.append(track)
    chosen = TokenizerSettings()
    tokens = encode(score, chosen)
    assert len(tokens) == 0 or encode(decode(tokens, chosen), chosen).tolist() == tokens.tolist()


def test_settings_are_strict_and_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="use_bpe"):
        TokenizerSettings(use_bpe=True)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"pitch_low \(61\) must not be above pitch_high \(60\)"):
        TokenizerSettings(pitch_low=61, pitch_high=60)
    with pytest.raises(ValueError, match="follow each other from 0"):
        TokenizerSettings(beat_resolutions=((0, 4, 8), (5, 8, 4)))


def test_settings_change_tokens_and_the_fingerprint(scales: TokenCorpus) -> None:
    wide = TokenizerSettings(pitch_low=55, pitch_high=127, tempos=True)
    other = tokenize(scales.corpus, wide)
    assert other.fingerprint != scales.fingerprint
    assert "Tempo" in other.type_names
    pitches = [word for word in other.vocabulary if word.startswith("Pitch_")]
    assert (pitches[0], pitches[-1], len(pitches)) == ("Pitch_55", "Pitch_127", 73)


def test_pieces_without_a_note_in_range_are_skipped_with_the_reason(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    write_midi(tmp_path / "low.mid", [(0.0, 1.0, 5, 64)])
    write_midi(tmp_path / "middle.mid", [(0.0, 1.0, 60, 64)])
    tokens = tokenize(load_corpus(f"folder:{tmp_path}"))
    assert [(item.id, item.reason) for item in tokens.skipped] == [("low.mid", "no notes within pitches 21..109")]
    assert [piece.id for piece in tokens.pieces_in_order] == ["middle.mid"]


def test_a_corpus_without_any_token_is_an_error(scales: TokenCorpus, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(tokenising, "read_all", lambda jobs, **_: [Answer(reason="no notes") for _ in jobs])
    with pytest.raises(CorpusError, match=r"no piece of corpus folder:.* gives tokens: no notes"):
        tokenize(scales.corpus, cache=tmp_path)
