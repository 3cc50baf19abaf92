"""Simulation of the verdicts on arms: false calls, coverage, power and "same within d", as a table with its limits.

    python tools/simulate_comparisons.py results/reference/comparisons      # 10,000 tables a setting, a few minutes

All tables of a setting are computed at once with the array functions of `metrics.statistics`; the tests hold them
against `BlockModel` and `SongModel` table by table.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metrics.statistics.blocks import block_variance, widest_arm
from metrics.statistics.simultaneous import Family, Kind
from metrics.statistics.songs import half_widths, ratio_residuals, song_freedom, song_variances

TABLES = 10_000
CHUNK = 1_000  # tables in memory at once
SONGS = 25
LIMITS = {"false call": 0.06, "coverage": 0.93, "called at 3 sd": 0.60, "called at 5 sd": 0.95, "same at d": 0.05}
AT_LEAST = {"coverage", "called at 3 sd", "called at 5 sd"}


@dataclass(frozen=True)
class Setting:
    """Simulated tables of equal arms.

    `songs`: 0 for a block of arms and seeds alone. Standard deviations: `seed` of arm x seed, `song` of arm x song,
    `noise` of arm x seed x song, `lengths` of the logarithm of a song's tokens (0.7: mostly 100 to 1,600).
    `wide_first`, `wide_last`: times by which the errors of the first arm (the baseline) or of the last arm exceed the
    others'.
    """

    arms: int
    seeds: int
    errors: str = "normal"
    songs: int = 0
    seed: float = 1.0
    song: float = 0.0
    noise: float = 0.0
    lengths: float = 0.7
    wide_first: float = 1.0
    wide_last: float = 1.0

    @property
    def components(self) -> str:
        """For the table."""
        parts = {"seed": self.seed, "song": self.song, "noise": self.noise} if self.songs else {"seed": self.seed}
        wide = {"baseline": self.wide_first, "one arm": self.wide_last}
        found = [f"{name} {value:g}" for name, value in parts.items()]
        found += ["songs of one length"] if self.songs and not self.lengths else []
        return ", ".join(found + [f"{name} x {value:g}" for name, value in wide.items() if value != 1])


class Tables(NamedTuple):
    """Values N A S; for songs also the residuals N A S G."""

    values: np.ndarray
    residuals: np.ndarray | None = None
    shares: np.ndarray | None = None  # of the tokens, N G


class Intervals(NamedTuple):
    """Estimates and half widths, N C, of the comparisons of one family."""

    value: np.ndarray
    half: np.ndarray

    def missing(self, truth: float = 0.0) -> np.ndarray:
        """Whether each interval lies beside `truth`."""
        return np.abs(self.value - truth) > self.half


def errors(kind: str, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Independent errors of mean 0 and standard deviation 1."""
    if kind == "normal":
        return generator.standard_normal(shape)
    if kind == "exponential":
        return generator.exponential(size=shape) - 1
    if kind == "lognormal":  # logarithms of standard deviation 1: skewness 6.2
        spread = math.sqrt((math.e - 1) * math.e)
        return (np.exp(generator.standard_normal(shape)) - math.exp(0.5)) / spread
    raise ValueError(f"errors = {kind!r}; allowed: normal, exponential, lognormal")


def draw(setting: Setting, tables: int, generator: np.random.Generator) -> Tables:
    """Tables of equal arms; seeds and songs have luck of their own, which all arms share."""
    n, arms, seeds, songs = tables, setting.arms, setting.seeds, setting.songs
    error_NAS = setting.seed * errors(setting.errors, generator, (n, arms, seeds))
    error_NAS[:, 0] *= setting.wide_first
    error_NAS[:, -1] *= setting.wide_last
    value_NAS = error_NAS + generator.standard_normal((n, 1, seeds))
    if not songs:
        return Tables(value_NAS)
    sum_NASG, token_NASG = song_sums(setting, value_NAS, generator)
    token_NG = token_NASG[:, 0, 0]
    return Tables(*ratio_residuals(sum_NASG, token_NASG), token_NG / token_NG.sum(axis=-1, keepdims=True))


def song_sums(setting: Setting, value_NAS: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sums and tokens of songs, N A S G, around the values."""
    n, arms, seeds = value_NAS.shape
    song_NAG = setting.song * errors(setting.errors, generator, (n, arms, setting.songs))
    noise_NASG = setting.noise * errors(setting.errors, generator, (n, arms, seeds, setting.songs))
    luck_NG = generator.standard_normal((n, 1, 1, setting.songs))
    token_NG = np.exp(6 + setting.lengths * generator.standard_normal((n, 1, 1, setting.songs))).round()
    rate_NASG = 10 + value_NAS[..., None] + song_NAG[:, :, None] + noise_NASG + luck_NG
    return rate_NASG * token_NG, np.broadcast_to(token_NG, rate_NASG.shape)


def intervals(tables: Tables, kind: Kind, level: float = 0.95) -> Intervals:
    """Simultaneous intervals of all differences of a family: arms against the first, or all pairs."""
    arms, seeds = tables.values.shape[1:]
    chosen = [(arm, 0) for arm in range(1, arms)] if kind == "baseline" else list(combinations(range(arms), 2))
    one, two = (np.array(side) for side in zip(*chosen, strict=True))
    mean_NA = tables.values.mean(axis=2)
    freedom = (arms - 1) * (seeds - 1)
    family = Family.together(kind, arms, freedom, level)
    of_seeds_N1 = 2 * block_variance(tables.values)[:, None] / seeds
    if tables.residuals is None or tables.shares is None:
        half_NC = family.critical(freedom, level) * np.sqrt(of_seeds_N1)
    else:
        songs = [song_variances(tables.residuals[:, a] - tables.residuals[:, b], tables.shares)[0] for a, b in chosen]
        of_songs_NC = np.stack(songs, axis=1) / tables.shares.shape[-1]
        half_NC = half_widths(of_seeds_N1, of_songs_NC, freedom, song_freedom(tables.shares)[:, None], family, level)
    return Intervals(mean_NA[:, one] - mean_NA[:, two], half_NC)


def shares(setting: Setting, tables: int, seed: int) -> dict[str, float]:
    """Share of tables with a false call in either family, shares of power and of "same", over `tables` tables."""
    generator = np.random.default_rng(seed)
    found: list[dict[str, Any]] = []
    for start in range(0, tables, CHUNK):
        drawn = draw(setting, min(CHUNK, tables - start), generator)
        base, pairs = intervals(drawn, "baseline"), intervals(drawn, "pairs")
        false_base, false_pairs = base.missing().any(axis=1), pairs.missing().any(axis=1)
        one = {
            "false call against the baseline": false_base,
            "false call in all pairs": false_pairs,
            "false call in either": false_base | false_pairs,
            "coverage against the baseline": ~false_base,
            "coverage of all pairs": ~false_pairs,
        }
        spread = setting.seed if setting.seed else 1.0
        for size in (3, 5):  # the first of the other arms lies higher by so many standard deviations of arm x seed
            one[f"called at {size} sd"] = base.value[:, 0] + size * spread > base.half[:, 0]
        for size in (2, 3, 4, 6, 10):  # that arm lies higher by d itself
            high = base.value[:, 0] + base.half[:, 0] + size * spread < size * spread
            low = base.value[:, 0] - base.half[:, 0] + size * spread > -size * spread
            holds = base.value[:, 0] - base.half[:, 0] + size * spread <= 0
            one[f"same at d = {size} sd"] = high & low & holds
        if setting.arms > 2 and setting.seeds > 2:
            one["an arm flagged for its spread"] = widest_arm(drawn.values)[1]
        found.append(one)
    return {name: float(np.concatenate([one[name] for one in found]).mean()) for name in found[0]}


def settings() -> Iterator[Setting]:
    """Every setting of the committed table."""
    for kind, arms, seeds in product(("normal", "exponential", "lognormal"), (4, 9), (3, 5)):
        plain = Setting(arms, seeds, kind)
        songs = replace(plain, songs=SONGS, noise=1.0)
        yield plain
        yield songs
        yield replace(songs, song=2.0)
        yield replace(songs, seed=0.0, song=1.0)
        yield replace(songs, seed=0.0)
    for arms, seeds in product((4, 9), (3, 5)):
        yield Setting(arms, seeds, wide_first=3.0)
        yield Setting(arms, seeds, wide_last=3.0)
        yield Setting(arms, seeds, songs=SONGS, noise=1.0, song=2.0, lengths=0.0)
    yield Setting(2, 3)
    yield Setting(2, 3, songs=SONGS, noise=1.0)
    yield Setting(2, 3, songs=SONGS, noise=1.0, song=2.0)
    yield Setting(2, 3, songs=SONGS, noise=1.0, song=2.0, lengths=0.0)


def rows(tables: int) -> Iterator[dict[str, Any]]:
    """One row a setting and share, with its limit where it has one."""
    for number, setting in enumerate(settings()):
        for question, share in shares(setting, tables, number).items():
            limit = limit_of(question, setting)
            met = limit is None or (share >= limit if _at_least(question) else share <= limit)
            yield {
                "question": question,
                "arms": setting.arms,
                "seeds": setting.seeds,
                "songs": setting.songs,
                "errors": setting.errors,
                "components": setting.components,
                "tables": tables,
                "share": round(share, 4),
                "limit": "" if limit is None else limit,
                "met": "" if limit is None else "yes" if met else "no",
            }


def limit_of(question: str, setting: Setting) -> float | None:
    """The limit that a share is held to: of 4 and 9 arms that spread alike.

    The power is that of 4 arms at 3 seeds with normal errors and no songs.
    """
    if setting.arms == 2 or setting.wide_first != 1 or setting.wide_last != 1:
        return None
    if question.startswith("called") and setting != Setting(4, 3):
        return None
    return next((limit for words, limit in LIMITS.items() if question.startswith(words)), None)


def _at_least(question: str) -> bool:
    return any(question.startswith(words) for words in AT_LEAST)


def page(found: list[dict[str, Any]], tables: int) -> str:
    """The README of the folder: for every limit the worst setting, and what happens where one arm spreads widely."""
    lines = [
        "# Simulated comparisons",
        "",
        f"{tables:,} tables a setting; all settings and shares are in [table.csv](table.csv), made by",
        "`python tools/simulate_comparisons.py results/reference/comparisons`. Arms are equal except where a",
        "difference is named; sd is that of arm x seed. Errors are normal, exponential or lognormal (skewness",
        "6.2). With songs, 25 of them are drawn anew for each table, of unequal length except where named.",
        "A share of 0.05 is known to within 0.004.",
        "",
        "| question | limit | settings | worst | in |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    held = [row for row in found if row["limit"] != ""]
    for question in dict.fromkeys(row["question"] for row in held):
        mine = [row for row in held if row["question"] == question]
        worst = (min if _at_least(question) else max)(mine, key=lambda row: row["share"])
        sign = "at least" if _at_least(question) else "at most"
        lines.append(
            f"| {question} | {sign} {worst['limit']:g} | {len(mine)} | {worst['share']:.3f} | {_where(worst)} |"
        )
    lines += [
        "",
        "Without a limit: two arms, and one arm whose errors are three times as wide as the others', for which the",
        "pooled spread does not hold. Flagged: the share of tables in which the flag names an arm, equal ones too.",
        "",
        "| setting | false call in either | flagged |",
        "| --- | ---: | ---: |",
    ]
    shown = [row for row in found if row["limit"] == "" or (row["errors"], row["components"]) == ("normal", "seed 1")]
    flags = {_where(row): f"{row['share']:.3f}" for row in shown if row["question"].endswith("flagged for its spread")}
    for row in shown:
        if row["question"] == "false call in either":
            lines.append(f"| {_where(row)} | {row['share']:.3f} | {flags.get(_where(row), '-')} |")
    return "\n".join(lines) + "\n"


def _where(row: dict[str, Any]) -> str:
    return f"{row['arms']} arms, {row['seeds']} seeds, {row['songs']} songs, {row['errors']}: {row['components']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tables", type=int, default=TABLES)
    options = parser.parse_args()
    found = list(rows(options.tables))
    options.folder.mkdir(parents=True, exist_ok=True)
    with (options.folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, found[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    (options.folder / "README.md").write_text(page(found, options.tables), encoding="utf-8")


if __name__ == "__main__":
    main()
