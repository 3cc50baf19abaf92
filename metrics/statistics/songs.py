"""Arms compared on the same songs at the same seeds, seeds and songs both random: bits/token of held-out music."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from metrics.statistics.blocks import BlockModel
from metrics.statistics.differences import Components, Difference, satterthwaite, simultaneous_interval

SongTotals = Mapping[str, Mapping[int, Mapping[str, tuple[float, float]]]]
"""Arm -> seed -> song -> (sum over the song, tokens it was summed over)."""


@dataclass(frozen=True)
class SongModel:
    """Ratios (sum over all songs / tokens of all songs) of arms at shared seeds, on songs drawn from more songs.

    The estimate of a difference is that of the printed ratios, averaged over seeds. With the ratio residual of an arm
    in seed s and song g, (sum_sg - ratio * tokens_sg) / mean tokens of a song, the difference of two arms' residuals
    splits by seed and by song, and the variance of the estimate is (MS_seed + MS_song) / (S G): that of the block model
    plus the variance of the song means over G. MS_seed is pooled over arms, as in the block model; MS_song belongs to
    the pair. Satterthwaite's degrees of freedom of that sum. Subtracting MS_residual, as the exact two-way formula
    does, makes 7 to 18 % false calls where a component is near 0. Arms are corrected in one step (Dunnett against a
    baseline, Tukey for all pairs, at each comparison's own degrees as Games and Howell 1976 do), so that interval and
    verdict never contradict each other. Windows of a song are no replicates: sum them first (`song_totals`).

    Build with `fit`. Sources: Baayen, Davidson and Bates (2008), doi 10.1016/j.jml.2007.12.005, for crossed random
    effects; Cochran (1977), Sampling Techniques, section 6, for the ratio residual; Satterthwaite (1946), doi
    10.2307/3002019.
    """

    block: BlockModel
    songs: tuple[str, ...]
    residuals: dict[str, dict[int, np.ndarray]]
    note: str

    @classmethod
    def fit(cls, totals: SongTotals, scale: float = 1.0) -> SongModel:
        """The model of sums and tokens by song; `scale` multiplies every ratio (1 / log 2 turns nats into bits).

        Only songs that every arm has at every seed take part; `note` names how many are left out. Raises ValueError
        where there are none, or a song without tokens.
        """
        kept = {arm: {seed: songs for seed, songs in rows.items() if songs} for arm, rows in totals.items()}
        kept = {arm: rows for arm, rows in kept.items() if rows}
        tables = [songs for rows in kept.values() for songs in rows.values()]
        if not tables:
            raise ValueError("song model: no arm has songs")
        shared = tuple(sorted(set.intersection(*(set(songs) for songs in tables))))
        if not shared:
            raise ValueError("song model: no song that every arm has at every seed")
        ratios: dict[str, dict[int, float]] = {}
        residuals: dict[str, dict[int, np.ndarray]] = {}
        for arm, rows in kept.items():
            arrays = {seed: np.array([songs[g] for g in shared], dtype=np.float64) for seed, songs in rows.items()}
            if not all((array[:, 1] > 0).all() for array in arrays.values()):
                raise ValueError(f"song model: a song of {arm} has no tokens")
            sums = {seed: array.sum(axis=0) for seed, array in arrays.items()}
            ratios[arm] = {seed: scale * float(one[0] / one[1]) for seed, one in sums.items()}
            mean = float(np.mean(list(ratios[arm].values())))
            residuals[arm] = {
                seed: (scale * array[:, 0] - mean * array[:, 1]) / array[:, 1].mean() for seed, array in arrays.items()
            }
        block = BlockModel.fit(ratios)
        everything = set().union(*(set(songs) for songs in tables))
        left_out = len(everything) - len(shared)
        notes = [block.note, f"{left_out} songs left out that not every arm has at every seed" if left_out else ""]
        return cls(block, shared, residuals, "; ".join(filter(None, notes)))

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
        return {arm: self._with_songs(one) for arm, one in self.block.against(baseline, level).items()}

    def pairs(self, level: float = 0.95) -> dict[tuple[str, str], Difference]:
        """first - second for every two arms, as `BlockModel.pairs` with songs random too."""
        return {names: self._with_songs(one) for names, one in self.block.pairs(level).items()}

    def _with_songs(self, of_seeds: Difference) -> Difference:
        """The difference with the spread between songs added to that between seeds."""
        one, two = self.residuals[of_seeds.first], self.residuals[of_seeds.second]
        shared = [seed for seed in one if seed in two]
        count, level = len(self.songs), of_seeds.interval.level
        reason = of_seeds.interval.reason or ("one song has no interval" if count < 2 else "")
        error = freedom = math.nan
        components = of_seeds.components
        if not reason:
            residual_SG = np.array([one[seed] - two[seed] for seed in shared])
            by_song, by_seed = residual_SG.mean(axis=0), residual_SG.mean(axis=1)
            of_songs = float(by_song.var(ddof=1))
            rest_SG = residual_SG - by_song - by_seed[:, None] + residual_SG.mean()
            left = (len(shared) - 1) * (count - 1)
            rest = float((rest_SG**2).sum()) / left if left else 0.0
            parts = (of_seeds.standard_error**2, of_songs / count)
            error = math.sqrt(sum(parts))
            freedom = satterthwaite(parts, (of_seeds.freedom, count - 1))
            components = Components(
                max(0.0, of_seeds.components.seed - rest / count), max(0.0, of_songs - rest / len(shared)), rest
            )
        interval = simultaneous_interval(of_seeds.value, error, freedom, of_seeds.family, len(shared), level, reason)
        return replace(
            of_seeds,
            interval=interval,
            standard_error=error,
            freedom=freedom,
            components=components,
            songs=count,
        )


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
