"""Transposition: the same piece in another key, as more training data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from bench.training.batches import Batches
from bench.training.errors import TrainingError

PIANO_LOW, PIANO_HIGH = 21, 108  # MIDI pitches of a piano's lowest A and highest C
PITCH_WORD = "Pitch_"


class Transposition:
    """Moves the Pitch tokens of each row by one random interval of at most `semitones`, up or down.

    Of the intervals that keep every note of the row inside the piano's range and inside the vocabulary each is
    equally likely; a row that already leaves the range stays as it is.
    """

    def __init__(
        self, vocabulary: Sequence[str], semitones: int, *, low: int = PIANO_LOW, high: int = PIANO_HIGH
    ) -> None:
        pitch_of_token = {i: int(w[len(PITCH_WORD) :]) for i, w in enumerate(vocabulary) if w.startswith(PITCH_WORD)}
        if not pitch_of_token:
            raise TrainingError(f"train.transpose_semitones: the vocabulary has no {PITCH_WORD}<number> tokens")
        self.semitones = semitones
        self.low, self.high = max(low, min(pitch_of_token.values())), min(high, max(pitch_of_token.values()))
        self.pitch_V = np.full(len(vocabulary), -1, dtype=np.int64)
        self.pitch_V[list(pitch_of_token)] = list(pitch_of_token.values())
        self.token_of_pitch = np.full(128, -1, dtype=np.int64)
        self.token_of_pitch[list(pitch_of_token.values())] = list(pitch_of_token)

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
