"""The token grid: the steps on which REMI tokens place onsets, durations and velocities."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

STEPS_PER_BEAT: Final = 8  # onsets, and durations below 4 beats
LONG_STEPS_PER_BEAT: Final = 4  # durations from 4 to 12 beats
LONG_FROM_BEATS: Final = 4
LONGEST_BEATS: Final = 12
PITCH_BINS: Final = 128
VELOCITY_BINS: Final = 32
TIME_BINS: Final = LONG_FROM_BEATS * STEPS_PER_BEAT + (LONGEST_BEATS - LONG_FROM_BEATS) * LONG_STEPS_PER_BEAT + 1


def snap_beats(beats: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times in beats moved to the nearest grid position (1/8 beat)."""
    return np.rint(beats * STEPS_PER_BEAT) / STEPS_PER_BEAT


def time_bins(beats: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bin of a length of time: 0 is none, then eighths of a beat to 4 beats, quarters to 12; longer falls in the last
    bin."""
    short = np.rint(beats * STEPS_PER_BEAT)
    long = np.rint((beats - LONG_FROM_BEATS) * LONG_STEPS_PER_BEAT) + LONG_FROM_BEATS * STEPS_PER_BEAT
    return np.clip(np.where(beats < LONG_FROM_BEATS, short, long), 0, TIME_BINS - 1).astype(np.int64)


def duration_bins(beats: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bin of a note's duration: as `time_bins`, but at least one step, the shortest that a token can hold."""
    return np.maximum(time_bins(beats), 1)


def velocity_bins(velocity: NDArray[np.int16]) -> NDArray[np.int64]:
    """Bin 0..31 of a MIDI velocity; each of the 32 velocity tokens has a bin of its own."""
    return (velocity // (128 // VELOCITY_BINS)).astype(np.int64)


def bin_beats() -> NDArray[np.float64]:
    """Length in beats that each time bin stands for: shape (TIME_BINS,)."""
    short = np.arange(LONG_FROM_BEATS * STEPS_PER_BEAT) / STEPS_PER_BEAT
    steps = (LONGEST_BEATS - LONG_FROM_BEATS) * LONG_STEPS_PER_BEAT + 1
    return np.concatenate([short, LONG_FROM_BEATS + np.arange(steps) / LONG_STEPS_PER_BEAT])
