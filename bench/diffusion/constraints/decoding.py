"""Notes of a token row as a decoder gives them, each with the place of its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from bench.diffusion.constraints.language import TokenLanguage
from bench.diffusion.errors import DiffusionError

BAR_QUARTERS = 4  # without time-signature tokens every bar has four quarter notes


@dataclass(frozen=True)
class TokenNotes:
    """The whole notes of a row: `at` is the place of the Pitch token, which the two others follow, all (N,)."""

    at: np.ndarray  # int64
    onset: np.ndarray  # float64, quarter notes from the first bar
    duration: np.ndarray  # float64, quarter notes
    pitch: np.ndarray  # int64
    velocity: np.ndarray  # int64


def token_notes(tokens_L: np.ndarray, language: TokenLanguage) -> TokenNotes:
    """The notes that the tokens decode to, in the order of the tokens.

    A Pitch counts when the other two tokens of a note follow it in their order; tokens before the first Bar belong to
    the first bar.
    Raises DiffusionError for a language with Rest or TimeSig tokens, whose time is not counted in equal bars.
    """
    check_equal_bars(language)
    steps = int(language.position.max()) + 1  # positions a bar
    rows = []
    bar, position = -1, 0
    kinds = language.types
    loud, long = (language.note.index(name) for name in ("Velocity", "Duration"))  # places after the Pitch
    for place, token in enumerate(tokens_L):
        kind = kinds[token]
        if kind == "Bar":
            bar, position = bar + 1, 0
        elif kind == "Position":
            bar, position = max(bar, 0), int(language.position[token])
        elif kind == "Pitch" and place + 2 < len(tokens_L):
            velocity, duration = tokens_L[place + loud], tokens_L[place + long]
            if kinds[velocity] == "Velocity" and kinds[duration] == "Duration":
                onset = BAR_QUARTERS * (max(bar, 0) + position / steps)
                loudness = int(language.words[velocity].split("_")[1])
                length = float(duration_quarters(language.words[duration]))
                rows.append((place, onset, length, int(language.pitch[token]), loudness))
    columns = list(zip(*rows, strict=True)) or [()] * 5
    at, onsets, durations, pitches, velocities = columns
    return TokenNotes(
        np.array(at, np.int64),
        np.array(onsets, np.float64),
        np.array(durations, np.float64),
        np.array(pitches, np.int64),
        np.array(velocities, np.int64),
    )


def duration_quarters(word: str) -> Fraction:
    """`Duration_1.2.8` -> 1 + 2/8 quarter notes."""
    beats, part, whole = map(int, word.split("_")[1].split("."))
    return beats + Fraction(part, whole)


def check_equal_bars(language: TokenLanguage) -> None:
    """DiffusionError where time is not counted in bars of four quarter notes alone."""
    found = sorted({"Rest", "TimeSig"} & set(language.types))
    if found:
        raise DiffusionError(
            f"tokenizer: its {' and '.join(found)} tokens move the time of what follows; allowed: a tokenizer without "
            "rests and time signatures for infilling and for the constraint sounding"
        )
