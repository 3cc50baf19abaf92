"""Arms compared on the same songs at the same seeds, seeds and songs both random: bits/token of held-out music."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from metrics.statistics.blocks import BlockModel, block_errors
from metrics.statistics.differences import Components, Difference, satterthwaite, simultaneous_interval
from metrics.statistics.intervals import without_interval
from metrics.statistics.simultaneous import Family

SongTotals = Mapping[str, Mapping[int, Mapping[str, tuple[float, float]]]]
"""Arm -> seed -> song -> (sum over the song, tokens it was summed over)."""


@dataclass(frozen=True)
class SongModel:
    """Ratios (sum over all songs / tokens of all songs) of arms at shared seeds, on songs drawn from more songs.

    The estimate of a difference is that of the printed ratios, averaged over seeds. With the ratio residual of an arm
    in seed s and song g, (sum_sg - ratio * tokens_sg) / mean tokens of a song, the difference of two arms' residuals
    splits by seed and by song, and the variance of the estimate is (MS_seed + MS_song) / (S G): that of the block model
    plus the variance of the song means over G. MS_seed is pooled over arms, as in the block model; MS_song belongs to
    the pair. Satterthwaite's degrees of freedom of that sum (`half_widths`). Subtracting MS_residual, as the exact
    two-way formula does, makes 7 to 18 % false calls where a component is near 0. Arms are corrected in one step
    (Dunnett against a baseline, Tukey for all pairs, at each comparison's own degrees as Games and Howell 1976 do), not
    by Holm's steps, so that interval and verdict never contradict each other. Windows of a song are no replicates: sum
    them first (`song_totals`).

    Build with `fit`. Sources: Baayen, Davidson and Bates (2008), doi 10.1016/j.jml.2007.12.005, for crossed random
    effects; Cochran (1977), Sampling Techniques, section 6, for the ratio residual; Satterthwaite (1946), doi
    10.2307/3002019.
    """

    block: BlockModel
    songs: tuple[str, ...]
    residuals: dict[str, dict[int, np.ndarray]]
    shares: np.ndarray
    note: str

    @classmethod
    def fit(cls, totals: SongTotals, scale: float = 1.0) -> SongModel:
        """The model of sums and tokens by song; `scale` multiplies every ratio (1 / log 2 turns nats into bits).

        Only songs that every arm has at every seed (a finite sum, and tokens) take part; `note` names how many are left
        out. Raises ValueError where there are none.
        """
        kept = {arm: {seed: _finite(songs) for seed, songs in rows.items() if songs} for arm, rows in totals.items()}
        kept = {arm: rows for arm, rows in kept.items() if rows}
        tables = [songs for rows in kept.values() for songs in rows.values()]
        if not tables:
            raise ValueError("song model: no arm has songs")
        shared = tuple(sorted(set.intersection(*(set(songs) for songs in tables))))
        if not shared:
            raise ValueError("song model: no song that every arm has at every seed")
        ratios: dict[str, dict[int, float]] = {}
        residuals: dict[str, dict[int, np.ndarray]] = {}
        tokens = np.zeros(len(shared))
        for arm, rows in kept.items():
            table_SG2 = np.array([[songs[g] for g in shared] for songs in rows.values()], dtype=np.float64)
            ratio_S, residual_SG = ratio_residuals(scale * table_SG2[..., 0], table_SG2[..., 1])
            ratios[arm] = dict(zip(rows, ratio_S.tolist(), strict=True))
            residuals[arm] = dict(zip(rows, residual_SG, strict=True))
            tokens += table_SG2[..., 1].sum(axis=0)
        block = BlockModel.fit(ratios)
        everything = {song for rows in totals.values() for songs in rows.values() for song in songs}
        left_out = len(everything) - len(shared)
        notes = [block.note, f"{left_out} songs left out that not every arm has at every seed" if left_out else ""]
        return cls(block, shared, residuals, tokens / tokens.sum(), "; ".join(filter(None, notes)))

    @property
    def arms(self) -> tuple[str, ...]:
        """Arms that have values, in the order given."""
        return self.block.arms

    @property
    def means(self) -> dict[str, float]:
        """Ratio of each arm, mean over its seeds: the figure that is printed."""
        return self.block.means

    @property
    def unequal_spread(self) -> str:
        """As in `BlockModel`."""
        return self.block.unequal_spread

    def against(self, baseline: str, level: float = 0.95) -> dict[str, Difference]:
        """arm - baseline for every other arm, as `BlockModel.against` with songs random too."""
        found = self.block.against(baseline, level)
        return {arm: self._with_songs(one, (arm,), (baseline,)) for arm, one in found.items()}

    def pairs(self, level: float = 0.95) -> dict[tuple[str, str], Difference]:
        """first - second for every two arms, as `BlockModel.pairs` with songs random too."""
        return {(a, b): self._with_songs(one, (a,), (b,)) for (a, b), one in self.block.pairs(level).items()}

    def contrast(
        self, first: Sequence[str], second: Sequence[str], *, comparisons: int = 1, level: float = 0.95
    ) -> Difference:
        """Mean of the arms `first` less mean of the arms `second`, as `BlockModel.contrast` with songs random too."""
        found = self.block.contrast(first, second, comparisons=comparisons, level=level)
        return self._with_songs(found, first, second)

    def _with_songs(self, of_seeds: Difference, first: Sequence[str], second: Sequence[str]) -> Difference:
        """The difference with the spread between songs added to that between seeds."""
        one, two = ([self.residuals[arm] for arm in side] for side in (first, second))
        shared = sorted(set.intersection(*(set(row) for row in one + two)))
        count, level = len(self.songs), of_seeds.interval.level
        reason = of_seeds.interval.reason or ("one song has no interval" if count < 2 else "")
        if reason:
            interval = without_interval(of_seeds.value, len(shared), level, reason)
            return replace(of_seeds, interval=interval, songs=count)
        residual_SG = np.array([sum(r[s] for r in one) / len(one) - sum(r[s] for r in two) / len(two) for s in shared])
        of_songs, rest = map(float, song_variances(residual_SG, self.shares))
        parts = (of_seeds.standard_error**2, of_songs / count)
        freedoms = (of_seeds.freedom, float(song_freedom(self.shares)))
        freedom = float(satterthwaite(parts, freedoms))
        half = float(half_widths(*parts, *freedoms, of_seeds.family, level))
        return replace(
            of_seeds,
            interval=simultaneous_interval(of_seeds.value, half, freedom, len(shared), level),
            standard_error=math.sqrt(sum(parts)),
            freedom=freedom,
            components=Components(
                max(0.0, of_seeds.components.seed - rest / count), max(0.0, of_songs - rest / len(shared)), rest
            ),
            songs=count,
        )


def _finite(songs: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    return {song: pair for song, pair in songs.items() if math.isfinite(pair[0]) and pair[1] > 0}


def ratio_residuals(sums_SG: np.ndarray, tokens_SG: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ratio of each seed, and the ratio residuals of one arm; the last two axes are seeds and songs.

    The mean of a seed's residuals over songs is its ratio less the mean ratio, so differences keep the printed figures.
    """
    ratio_S = sums_SG.sum(axis=-1) / tokens_SG.sum(axis=-1)
    mean = ratio_S.mean(axis=-1)[..., None, None]
    return ratio_S, (sums_SG - mean * tokens_SG) / tokens_SG.mean(axis=-1, keepdims=True)


def song_variances(residual_SG: np.ndarray, share_G: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variance of the song means (MS_song over seeds) and MS_residual; the last two axes are seeds and songs.

    `share_G`: each song's share of the tokens. A song's residual is taken from a ratio that the song itself is part of,
    so its square is too small by 1 - 2 share + sum of squared shares, 1 - 1/G where all are equal; it is divided by
    that (exact where the songs' ratios have one variance).
    """
    seeds, songs = residual_SG.shape[-2:]
    expected_G = 1 - 2 * share_G + (share_G**2).sum(axis=-1, keepdims=True)
    of_songs = (residual_SG.mean(axis=-2) ** 2 / expected_G).mean(axis=-1)
    left = (seeds - 1) * (songs - 1)
    rest = (block_errors(residual_SG) ** 2).sum(axis=(-2, -1)) / left if left else np.zeros_like(of_songs)
    return of_songs, rest


def song_freedom(share_G: np.ndarray) -> np.ndarray:
    """Degrees of freedom of the variance between songs: the effective number of songs, 1 / sum of squared shares of the
    tokens, less 1; G - 1 for songs of one length. Source: Kish (1965), Survey Sampling, section 11.7.
    """
    return 1 / (share_G**2).sum(axis=-1) - 1


def half_widths(
    of_seeds: ArrayLike, of_songs: ArrayLike, seed_freedom: float, song_freedom: ArrayLike, family: Family, level: float
) -> np.ndarray:
    """Half widths of intervals from the two variances of an estimate and their degrees of freedom, numbers or arrays.

    Satterthwaite's, but never narrower than with seeds alone: where few degrees between seeds happen to give a small
    variance, his degrees rise as the standard error falls, and two arms at three seeds make 6 to 7.5 % false calls.
    """
    seed_part, song_part = (np.asarray(part, dtype=np.float64) for part in (of_seeds, of_songs))
    sizes = family.criticals(satterthwaite((seed_part, song_part), (seed_freedom, song_freedom)), level)
    least = family.critical(seed_freedom, level) * np.sqrt(seed_part)
    return np.asarray(np.maximum(sizes * np.sqrt(seed_part + song_part), least))


def song_totals(
    songs: np.ndarray | list[str], sums: np.ndarray | list[float], tokens: np.ndarray | list[float]
) -> dict[str, tuple[float, float]]:
    """Windows of one arm and seed added up by song: song -> (sum, tokens). Windows without tokens (NaN) stay out."""
    found: dict[str, tuple[float, float]] = {}
    for song, value, count in zip(songs, sums, tokens, strict=True):
        if math.isfinite(value) and count > 0:
            before = found.get(str(song), (0.0, 0.0))
            found[str(song)] = (before[0] + float(value), before[1] + float(count))
    return found
