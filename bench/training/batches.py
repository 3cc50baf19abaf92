"""Sources of training batches: fixed windows, or crops at random starts, each transposed where that is set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import torch

from bench.diffusion.constraints.language import TokenLanguage
from bench.diffusion.regularisers import Regulariser, RegulariserChoice
from bench.training.errors import TrainingError
from bench.training.settings import TrainSettings

if TYPE_CHECKING:
    from bench.data import TokenCorpus

PIANO_LOW, PIANO_HIGH = 21, 108  # MIDI pitches of a piano's lowest A and highest C


@runtime_checkable
class Batches(Protocol):
    """A source of training data; whatever it draws, it draws from the generator it is given."""

    length: int  # tokens a sequence
    size: int  # windows, or pieces, there are to draw from
    fingerprint: str  # equal for equal data

    def batch(self, generator: torch.Generator, batch_size: int) -> np.ndarray:
        """`batch_size` sequences, (B, length) int64."""
        ...


class WindowBatches:
    """Rows of a fixed array of windows (n, L), drawn without repetition inside a batch."""

    def __init__(self, tokens: np.ndarray) -> None:
        if tokens.ndim != 2 or not np.issubdtype(tokens.dtype, np.integer):
            raise TrainingError(
                f"training data: {tokens.dtype} of shape {tokens.shape}; allowed: integers of shape (windows, length)"
            )
        self.tokens, (self.size, self.length) = tokens, tokens.shape
        self.fingerprint = fingerprint(tokens)

    def batch(self, generator: torch.Generator, batch_size: int) -> np.ndarray:
        """See Batches.batch. Raises TrainingError where there are fewer windows than the batch has rows."""
        check_enough(self.size, batch_size, "windows")
        rows = torch.randperm(self.size, generator=generator)[:batch_size].numpy()
        return self.tokens[rows].astype(np.int64)


class CropBatches:
    """Crops of `length` tokens at random starts of a stream of pieces, every start equally likely.

    tokens_N holds all pieces end to end, piece i at offsets[i]..offsets[i+1]. A crop never crosses the edge of a
    piece: one that reaches its end is filled with PAD on the right. A piece of at most `length` tokens is one crop, as
    it is one window of the evaluation; a longer one is cropped from its first token and from any other that `starts_N`
    (bool) allows, Bar tokens for example; None: from any. Where that leaves more than `length` tokens between
    starts, further ones stand `length` apart, so every token is in some crop.

    This is a window of a piece cut into consecutive windows at a random phase: the share of crops with PAD is about
    that of evaluation windows, and how far they are filled is as evenly spread.
    """

    def __init__(
        self, tokens_N: np.ndarray, offsets: np.ndarray, length: int, *, pad_id: int, starts_N: np.ndarray | None = None
    ) -> None:
        if length < 1:
            raise TrainingError(f"length: crops of {length} tokens; allowed: 1 or more")
        self.tokens_N, self.length, self.pad_id = tokens_N, length, pad_id
        offsets = np.asarray(offsets, dtype=np.int64)
        sizes = np.diff(offsets)
        offsets, self.ends = offsets[:-1][sizes > 0], offsets[1:][sizes > 0]
        self.size = len(offsets)
        allowed = np.ones(len(tokens_N), dtype=bool) if starts_N is None else np.array(starts_N, dtype=bool)
        for start, end in zip(offsets, self.ends, strict=True):
            if end - start <= length:
                allowed[start:end] = False
            allowed[start] = True
        starts = np.flatnonzero(allowed)
        gaps = np.diff(starts, append=len(tokens_N))
        inside = [np.arange(starts[i] + length, starts[i] + gaps[i], length) for i in np.flatnonzero(gaps > length)]
        self.starts = np.sort(np.concatenate((starts, *inside)))
        self.fingerprint = fingerprint(tokens_N, offsets, self.starts)

    def batch(self, generator: torch.Generator, batch_size: int) -> np.ndarray:
        """See Batches.batch. Raises TrainingError where there are fewer starts than the batch has rows."""
        check_enough(len(self.starts), batch_size, "crops")
        starts = self.starts[torch.randint(len(self.starts), (batch_size,), generator=generator).numpy()]
        ends = self.ends[np.searchsorted(self.ends, starts, side="right")]
        crops_BL = np.full((batch_size, self.length), self.pad_id, dtype=np.int64)
        for row, (start, end) in enumerate(zip(starts, np.minimum(ends, starts + self.length), strict=True)):
            crops_BL[row, : end - start] = self.tokens_N[start:end]
        return crops_BL


class Transposition:
    """A move of the Pitch tokens of each row by one random interval of at most `semitones`, up or down.

    Of the intervals that keep every note of the row inside the piano's range and inside the vocabulary each is
    equally likely; a row that already leaves the range stays as it is.
    """

    def __init__(self, vocabulary: Sequence[str], semitones: int) -> None:
        language = TokenLanguage(vocabulary, {})
        tokens, self.pitch_V = language.ids("Pitch"), language.pitch
        if not len(tokens):
            raise TrainingError("train.transpose_semitones: the vocabulary has no Pitch_<number> tokens")
        pitches = self.pitch_V[tokens]
        self.semitones = semitones
        self.low, self.high = max(PIANO_LOW, int(pitches.min())), min(PIANO_HIGH, int(pitches.max()))
        self.token_of_pitch = np.full(128, -1, dtype=np.int64)
        self.token_of_pitch[pitches] = tokens

    def __call__(self, tokens_BL: np.ndarray, generator: torch.Generator) -> np.ndarray:
        """The transposed rows, (B, L) int64; the draw depends on the generator alone."""
        pitch_BL = self.pitch_V[tokens_BL]
        sounding_BL = pitch_BL >= 0
        lowest_B = np.where(sounding_BL, pitch_BL, self.high).min(axis=1)
        highest_B = np.where(sounding_BL, pitch_BL, self.low).max(axis=1)
        down_B = np.clip(lowest_B - self.low, 0, self.semitones)
        up_B = np.clip(self.high - highest_B, 0, self.semitones)
        outside_B = (lowest_B < self.low) | (highest_B > self.high)
        u_B = torch.rand(len(tokens_BL), generator=generator, dtype=torch.float64).numpy()
        shift_B = np.floor(u_B * (down_B + up_B + 1)).astype(np.int64) - down_B
        moved_BL = np.where(sounding_BL, pitch_BL + np.where(outside_B, 0, shift_B)[:, None], 0)
        return np.where(sounding_BL, self.token_of_pitch[moved_BL], tokens_BL)


class TransposedBatches:
    """Batches of another source, each row moved to a random key."""

    def __init__(self, source: Batches, transposition: Transposition) -> None:
        self.source, self.transposition = source, transposition
        self.length, self.size = source.length, source.size
        self.semitones = transposition.semitones
        self.fingerprint = f"{source.fingerprint}+{transposition.semitones}"

    def batch(self, generator: torch.Generator, batch_size: int) -> np.ndarray:
        """See Batches.batch."""
        return self.transposition(self.source.batch(generator, batch_size), generator)


def as_batches(data: Batches | np.ndarray) -> Batches:
    """`data` itself, or a plain array of windows (n, L) as WindowBatches."""
    return WindowBatches(data) if isinstance(data, np.ndarray) else data


def corpus_batches(tokens: TokenCorpus, length: int, settings: TrainSettings) -> Batches:
    """Batches of `length` tokens from the training pieces of `tokens`, cut and transposed as `settings` say.

    crops "bar": from any bar; "any": from any token; see CropBatches. "windows": the fixed windows. Raises
    TrainingError for transposition without Pitch tokens.
    """
    if settings.crops == "windows":
        source: Batches = WindowBatches(tokens.windows("train", length).tokens)
    else:
        stream = tokens.stream("train")
        starts_N = np.asarray(stream.tokens) == tokens.bar_id if settings.crops == "bar" else None
        source = CropBatches(stream.tokens, stream.offsets, length, pad_id=tokens.pad_id, starts_N=starts_N)
    if settings.transpose_semitones:
        return TransposedBatches(source, Transposition(tokens.vocabulary, settings.transpose_semitones))
    return source


def corpus_regulariser(tokens: TokenCorpus, settings: TrainSettings) -> Regulariser | None:
    """The soft constraints that `settings` ask for, with the pitch range of the training pieces; None for none."""
    from bench.data.music import training_pitch_limits

    choice = RegulariserChoice.parse(settings.regularisers)
    return choice.build(tokens.vocabulary, lambda: training_pitch_limits(tokens, "percentile"))


def check_enough(available: int, batch_size: int, noun: str) -> None:
    """Raise TrainingError where a batch cannot be filled."""
    if available < batch_size:
        raise TrainingError(
            f"training data: {available} {noun} for a batch of {batch_size}; "
            "allowed: at least a batch (shorten length, shrink batch, or take a larger corpus)"
        )


def fingerprint(*arrays: np.ndarray) -> str:
    """Sixteen hexadecimal digits that are equal for equal arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr((array.shape, str(array.dtype))).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]
