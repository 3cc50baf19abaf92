"""Chord density: number of pitches that sound, or start, at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from metrics.music.grid import snap_beats
from metrics.music.notes import TICKS_PER_BEAT, Notes, by_piece, per_piece, song_numbers, with_notes
from metrics.music.resample import Scale, measured
from metrics.quantities import POSITIVE, SHARE, Section, music_metric, register
from metrics.result import MetricResult, missing

STATISTICS: Final = ("mean", "sd", "p95", "p99", "max", "over_4", "over_6", "over_8")
KINDS: Final = ("sounding", "onset")
SHARES: Final = frozenset({"over_4", "over_6", "over_8"})
LABELS: Final = {(kind, "mean"): f"Chord density, {kind}" for kind in KINDS}
CHORD_DENSITY: Final = {
    (kind, statistic): register(
        f"chord_density_{kind}_{statistic}",
        "1" if statistic in SHARES else "pitches",
        "nearest",
        bounds=SHARE if statistic in SHARES else POSITIVE,
        label=LABELS.get((kind, statistic), ""),
        definition=f"chord_density/{kind}/{statistic} v1",
        section=Section.CHORDS,
    )
    for kind in KINDS
    for statistic in STATISTICS
}
LEVELS: Final = 129  # 0..128 distinct pitches at once


def sounding_steps(notes: Notes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Instants (in 1e-10 beats, sorted) at which the number of sounding pitches changes, and the number from each one
    on.

    A note sounds on [onset, onset + held); overlapping notes of one pitch count once. Shapes (S,), (S,), the last
    number 0.
    """
    start = np.rint(notes.onset * TICKS_PER_BEAT).astype(np.int64)
    stop = np.rint(notes.releases * TICKS_PER_BEAT).astype(np.int64)
    times = np.concatenate([start, stop])
    pitch = np.concatenate([notes.pitch, notes.pitch])
    step = np.repeat(np.array([1, -1]), len(notes))
    order = np.lexsort((-step, times, pitch))  # of one pitch and instant a start comes before an end
    times, step = times[order], step[order]
    active = np.cumsum(step)  # every note ends, so the sum is back at 0 where the next pitch begins
    turns = (active == 0) | ((active == 1) & (step == 1))
    times, step = times[turns], np.where(active[turns] == 0, -1, 1)
    order = np.argsort(times, kind="stable")
    return times[order], np.cumsum(step[order])


@per_piece
def sounding_profile(notes: Notes) -> NDArray[np.float64]:
    """Beats during which exactly k distinct pitches sound, k = 0..128: shape (129,). k = 0 is left at 0."""
    times, level = sounding_steps(notes)
    beats = np.diff(times) / TICKS_PER_BEAT
    profile = np.bincount(np.clip(level[:-1], 0, LEVELS - 1), weights=beats, minlength=LEVELS).astype(np.float64)
    profile[0] = 0.0
    return profile


@per_piece
def onset_profile(notes: Notes) -> NDArray[np.float64]:
    """Onset times at which exactly k distinct pitches start, k = 0..128, after snapping to the token grid: shape
    (129,)."""
    steps = np.unique(np.rint(snap_beats(notes.onset) * 8).astype(np.int64) * 128 + notes.pitch)
    _, sizes = np.unique(steps // 128, return_counts=True)
    return np.bincount(sizes, minlength=LEVELS).astype(np.float64)


def profile_statistic(profile: NDArray[np.float64], statistic: str) -> NDArray[np.float64]:
    """A statistic of (..., 129) profiles: mean, sd, p95, p99, max, or over_k, the share of the weight above k."""
    level = np.arange(profile.shape[-1])
    with np.errstate(invalid="ignore"):
        share = profile / profile.sum(-1, keepdims=True)
    mean = share @ level
    if statistic == "mean":
        return mean
    if statistic == "sd":
        return np.sqrt(np.maximum(share @ level.astype(float) ** 2 - mean**2, 0))
    if statistic.startswith("over_"):
        return share[..., level > int(statistic.removeprefix("over_"))].sum(-1)
    if statistic == "max":
        return np.where(share > 0, level, 0).max(-1).astype(np.float64)
    target = float(statistic.removeprefix("p")) / 100
    return (np.cumsum(share, -1) < target - 1e-12).sum(-1).astype(np.float64)


@music_metric(*({"kind": kind, "statistic": statistic} for kind, statistic in CHORD_DENSITY))
def chord_density(
    generated: Sequence[Notes],
    kind: str = "sounding",
    statistic: str = "mean",
    *,
    reference: Sequence[Notes] = (),
    intervals: bool = True,
    seed: int = 0,
) -> MetricResult:
    """Distinct pitches at once, pooled over pieces.

    `sounding`: at each instant at which something sounds, weighted by time; the mean over one piece is jSymbolic's
    C-6 and muspy's `polyphony`. `onset`: at each distinct onset after snapping to the token grid (a rolled chord
    would otherwise read 1). `statistic`: mean, sd, p95, p99, max [pitches], over_4, over_6, over_8 (share of time or
    onsets with more than k pitches). Best near the held-out value. `parts`: mean_over_pieces,
    reference.
    """
    if kind not in KINDS or statistic not in STATISTICS:
        raise ValueError(
            f"chord density {kind!r} / {statistic!r} is unknown; allowed: {', '.join(KINDS)} / {', '.join(STATISTICS)}"
        )
    name = CHORD_DENSITY[kind, statistic]
    gen = with_notes(generated)
    if not gen:
        return missing(name, 0, "no generated piece has notes")
    profiles = _profiles(gen, kind)
    by_profile = profile_statistic(profiles, statistic)
    value = float(profile_statistic(profiles.sum(0), statistic))
    parts = {"mean_over_pieces": float(by_profile.mean())}
    held_out = with_notes(reference)
    if held_out:
        held_profiles = _profiles(held_out, kind)
        parts["reference"] = float(profile_statistic(held_profiles.sum(0), statistic))
    scale: Scale = "rate" if statistic in SHARES else "level" if statistic in ("p95", "p99") else "linear"
    intervals = intervals and statistic != "max"

    def redraw(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return profile_statistic(weights @ profiles, statistic)

    more: dict[str, Any] = {"intervals": intervals, "seed": seed, "values": by_piece(generated, by_profile)}
    return measured(name, value, [song_numbers(gen)], redraw, parts, scale=scale, **more)


def _profiles(pieces: Sequence[Notes], kind: str) -> NDArray[np.float64]:
    profile = sounding_profile if kind == "sounding" else onset_profile
    return np.array([profile(piece) for piece in pieces])
