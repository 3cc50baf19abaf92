"""Training data: windows, crops, transposition."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from bench.data.windows import window_starts
from bench.diffusion import generator_for
from bench.training import TrainingError, TrainSettings
from bench.training.batches import CropBatches, TransposedBatches, Transposition, WindowBatches, corpus_batches


def test_windows_are_drawn_without_repetition_inside_a_batch() -> None:
    tokens = np.arange(40, dtype=np.uint16).reshape(10, 4)
    batches = WindowBatches(tokens)
    batch = batches.batch(generator_for(0), 10)
    assert batch.dtype == np.int64 and sorted(batch[:, 0].tolist()) == list(range(0, 40, 4))
    assert (batches.length, batches.size) == (4, 10)
    assert np.array_equal(batches.batch(generator_for(7), 3), batches.batch(generator_for(7), 3))


def test_crops_stay_inside_their_piece_and_every_start_is_as_likely() -> None:
    tokens = np.arange(15, dtype=np.uint16)  # pieces 0..9 and 10..14
    crops = CropBatches(tokens, np.array([0, 10, 15]), 4, pad_id=99)
    seen = np.concatenate([crops.batch(generator_for("crops", i), 8) for i in range(1000)])
    starts, counts = np.unique(seen[:, 0], return_counts=True)
    assert starts.tolist() == list(range(15))
    end = np.where(seen[:, :1] < 10, 10, 15)
    whole = seen[:, :1] + np.arange(4)
    assert np.array_equal(seen, np.where(whole < end, whole, 99))
    assert all(abs(count - 8000 / 15) < 4 * math.sqrt(8000 / 15) for count in counts)


@pytest.mark.parametrize("bar", [2, 5, 9])  # bars shorter than a crop, and longer ones
def test_every_token_is_in_a_crop_and_as_many_rows_hold_pad_as_in_evaluation(bar: int) -> None:
    sizes, length = [40, 3, 61, 8, 97, 33, 52, 74], 8
    ends = np.cumsum(sizes)
    is_bar = np.concatenate([np.arange(size) % bar == 0 for size in sizes])
    crops = CropBatches(np.arange(ends[-1]), np.array([0, *ends]), length, pad_id=-1, starts_N=is_bar)
    counts = np.minimum(crops.ends[np.searchsorted(crops.ends, crops.starts, side="right")] - crops.starts, length)
    assert {start + i for start, n in zip(crops.starts, counts, strict=True) for i in range(n)} == set(range(ends[-1]))
    own = np.searchsorted(ends, crops.starts, side="right")
    assert [int((own == piece).sum()) for piece in (1, 3)] == [1, 1]  # pieces of at most 8 tokens
    if bar > 2:
        return
    fills = [
        np.minimum(size - np.array(window_starts(np.arange(0, size, bar), size, length)), length) for size in sizes
    ]
    found, wanted = (counts < length).mean(), (np.concatenate(fills) < length).mean()
    assert (found, wanted) == (22 / 182, 6 / 50)  # 40 and 8 tokens are filled to the last
    assert set(counts[counts < length].tolist()) == {1, 2, 3, 4, 5, 6, 7}


def test_a_short_piece_is_one_crop_filled_with_pad() -> None:
    crops = CropBatches(np.array([1, 2, 3, 4, 5, 6]), np.array([0, 2, 2, 6]), 3, pad_id=0)
    rows = {tuple(row) for i in range(50) for row in crops.batch(generator_for(i), 3).tolist()}
    assert rows == {(1, 2, 0), (3, 4, 5), (4, 5, 6), (5, 6, 0), (6, 0, 0)} and crops.size == 2


def test_crops_begin_where_they_may() -> None:
    allowed = np.array([False, False, True, False, False, True, False, False])
    crops = CropBatches(np.arange(8), np.array([0, 8]), 4, pad_id=99, starts_N=allowed)
    rows = {tuple(row) for i in range(50) for row in crops.batch(generator_for(i), 3).tolist()}
    assert rows == {(0, 1, 2, 3), (2, 3, 4, 5), (5, 6, 7, 99)}


def corpus(pieces: list[list[int]]) -> SimpleNamespace:
    stream = SimpleNamespace(tokens=np.concatenate(pieces), offsets=np.cumsum([0, *map(len, pieces)]))
    return SimpleNamespace(
        stream=lambda split: stream,
        windows=lambda split, length: SimpleNamespace(tokens=stream.tokens[: 2 * length].reshape(2, length)),
        pad_id=0, bar_id=1, vocabulary=["PAD_None", "Bar_None", *(f"Pitch_{pitch}" for pitch in range(60, 70))],
    )  # fmt: skip


def test_corpus_batches_follow_the_settings() -> None:
    tokens = corpus([[1, 5, 5, 1, 6, 6, 1, 7], [1, 8]])

    def starts(**settings: object) -> set[tuple[int, ...]]:
        batches = corpus_batches(tokens, 4, TrainSettings(steps=1, **settings))
        return {tuple(row) for i in range(60) for row in batches.batch(generator_for(i), 2).tolist()}

    assert starts() == {(1, 5, 5, 1), (1, 6, 6, 1), (1, 7, 0, 0), (1, 8, 0, 0)}
    assert starts(crops="any") == {
        (1, 5, 5, 1), (5, 5, 1, 6), (5, 1, 6, 6), (1, 6, 6, 1), (6, 6, 1, 7), (6, 1, 7, 0), (1, 7, 0, 0), (7, 0, 0, 0),
        (1, 8, 0, 0),
    }  # fmt: skip
    assert starts(crops="windows") == {(1, 5, 5, 1), (6, 6, 1, 7)}
    moved = starts(transpose_semitones=1)
    assert {row for row in moved if row[2:] == (0, 0)} == {(1, 6, 0, 0), (1, 7, 0, 0), (1, 8, 0, 0), (1, 9, 0, 0)}


VOCABULARY = ["PAD_None", "Bar_None", *(f"Pitch_{pitch}" for pitch in range(0, 128)), "Velocity_3"]


def pitch_tokens(*pitches: int) -> list[int]:
    return [2 + pitch for pitch in pitches]


def test_transposition_keeps_intervals_and_everything_that_is_no_pitch() -> None:
    rows = np.array([[1, *pitch_tokens(60, 64, 67), 130, 0]] * 26_000)
    moved = Transposition(VOCABULARY, 6)(rows, generator_for("keys"))
    assert np.array_equal(moved[:, [0, 4, 5]], rows[:, [0, 4, 5]])
    shift = moved[:, 1:4] - rows[:, 1:4]
    assert (shift == shift[:, :1]).all()
    values, counts = np.unique(shift[:, 0], return_counts=True)
    assert values.tolist() == list(range(-6, 7)) and all(abs(count - 2000) < 4 * math.sqrt(2000) for count in counts)


def test_transposition_stays_on_the_piano_and_in_the_vocabulary() -> None:
    rows = np.array([pitch_tokens(22, 60), pitch_tokens(60, 107), pitch_tokens(21, 108), pitch_tokens(10, 60), [1, 1]])
    reached = {i: set() for i in range(5)}
    for seed in range(200):
        for i, row in enumerate(Transposition(VOCABULARY, 3)(rows, generator_for(seed))):
            reached[i].add(int(row[0] - rows[i][0]))
    assert reached == {0: {-1, 0, 1, 2, 3}, 1: {-3, -2, -1, 0, 1}, 2: {0}, 3: {0}, 4: {0}}
    narrow = Transposition(VOCABULARY[:2] + VOCABULARY[62:67], 3)  # pitches 60..64
    assert {int(narrow(np.array([[3]]), generator_for(seed))[0, 0]) for seed in range(100)} == {2, 3, 4, 5, 6}


def test_what_was_transposed_is_another_data_set() -> None:
    source = WindowBatches(np.full((4, 4), 62, dtype=np.uint16))
    moved = TransposedBatches(source, Transposition(VOCABULARY, 2))
    assert moved.fingerprint != source.fingerprint and (moved.length, moved.size) == (4, 4)
    assert np.array_equal(moved.batch(generator_for(1), 2), moved.batch(generator_for(1), 2))


def test_errors_name_what_is_wrong(run) -> None:
    with pytest.raises(TrainingError, match=r"3 windows for a batch of 4; allowed: at least a batch"):
        WindowBatches(np.zeros((3, 4), dtype=np.uint16)).batch(generator_for(0), 4)
    with pytest.raises(TrainingError, match="1 crops for a batch of 2"):
        CropBatches(np.zeros(4), np.array([0, 4]), 8, pad_id=0).batch(generator_for(0), 2)
    with pytest.raises(TrainingError, match="float64 of shape"):
        WindowBatches(np.zeros((3, 4)))
    with pytest.raises(TrainingError, match="crops of 0 tokens"):
        CropBatches(np.zeros(4), np.array([0, 4]), 0, pad_id=0)
    with pytest.raises(TrainingError, match="the vocabulary has no Pitch_"):
        Transposition(["PAD_None", "Bar_None"], 2)
    with pytest.raises(TrainingError, match="transpose_semitones: 2, but the batches are moved by up to 0"):
        run(transpose_semitones=2)
