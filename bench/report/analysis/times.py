"""Times and peaks of memory compared: ratios with simultaneous intervals over replicates in fresh processes, verdicts.

The replicates of a timing session are blocks (they share the state of the machine) and the logarithm of a process's
time, less what all arms share in a round, is the value: log time = arm + replicate + error, with one spread for all
arms; likewise of its peak of memory. Source: Kalibera and Jones (2013),
doi 10.1145/2464157.2464160.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bench.report.analysis.comparable import kernel_conflict
from bench.report.rows.rounds import replicate_times, replicates_of, rounds_of
from bench.report.rows.study import stated_margins
from bench.report.rows.summaries import Summaries, Summary
from metrics.cost.quantities import (
    PEAK_MEMORY_INFERENCE,
    PEAK_MEMORY_TRAINING,
    SAMPLE_LATENCY,
    STEP_LATENCY,
    STEP_LATENCY_GRAPH,
    TRAIN_STEP_LATENCY,
)
from metrics.quantities import Margin, quantity_of
from metrics.statistics.blocks import BlockModel
from metrics.statistics.differences import Difference
from metrics.statistics.intervals import Interval
from metrics.statistics.replicates import replicates_model, replicates_spread, sessions_difference
from metrics.statistics.rounds import rounds_ratio
from metrics.statistics.verdict import log_margin, verdict

TIMES = (STEP_LATENCY, STEP_LATENCY_GRAPH, TRAIN_STEP_LATENCY, SAMPLE_LATENCY)
"""Times of which a session takes replicates."""
MEMORY = (PEAK_MEMORY_INFERENCE, PEAK_MEMORY_TRAINING)
"""Peaks of which it takes them too; older results have them of one process."""
REPLICATED = (*TIMES, *MEMORY)
FASTER, SMALLER = {"better": "faster", "worse": "slower"}, {"better": "smaller", "worse": "larger"}
"""Words of a verdict -> those of one on a time, and on memory."""
CHEAPER = (FASTER["better"], SMALLER["better"])
ONE_PROCESS = "open (one process per arm): 3 replicates would decide"
"""Two processes of one model keep a difference for life, which no number of rounds shows."""
NOT_REPEATED = "open: measured in one process per arm"
"""Verdict on a cost of which a session takes no replicates, and on memory in older results."""
NO_RAW_TIMES = "open: the raw times of its replicates are not in the results folder"


@dataclass(frozen=True)
class Ratio:
    """A cost of one arm as a multiple of another's, measured taking turns.

    Parameters
    ----------
    interval
        Over replicates: covers together with those of all arms that are compared here; `n` counts replicates. With one
        process per arm: over its rounds, of this pair alone; `n` counts rounds.
    replicates
        Processes of each arm; 1 where the interval says nothing about the next process.
    words
        The verdict: "slower" or "faster", of memory "larger" or "smaller", "same within 2 %", "open: ..."; "" for a
        count.
    """

    interval: Interval
    replicates: int
    words: str

    @property
    def differs(self) -> bool:
        """Whether the two costs are called different."""
        return self.words.startswith((*FASTER.values(), *SMALLER.values()))


def step_metric(costs: Summaries) -> str:
    """What the time of a denoising step is read from: its replay as a CUDA graph where each arm that has a plain step
    has that, for a plain one may be a time of launches; else the plain step."""
    plain, replayed = (
        {one.arm for one in costs.where(metric=metric).measured()} for metric in (STEP_LATENCY, STEP_LATENCY_GRAPH)
    )
    return STEP_LATENCY_GRAPH if replayed and plain <= replayed else STEP_LATENCY


def took_turns(summary: Summary, base: Summary) -> bool:
    """Whether both were timed in the same sessions, so that their replicates and rounds pair."""
    return set(summary.sessions) == set(base.sessions) != {""}


def ratio_to(
    summary: Summary, base: Summary, summaries: Summaries, folder: Path | None, *, together: bool = False
) -> Ratio | None:
    """The ratio of two costs as one of those of all arms to `base`; None where they were not timed in turns or no raw
    samples are kept. `together`: arms on other kernels than the baseline's belong to the family too."""
    family = [one for one in _beside(summaries, base) if together or not kernel_conflict([*one.kernels, *base.kernels])]
    model = _model(folder, family) if folder and took_turns(summary, base) else None
    if model is None or not {summary.arm, base.arm} <= set(model.arms) or summary.arm == base.arm:
        return _within_processes(summary, base, folder)
    return _judged(_against(folder, tuple(family), base.arm)[summary.arm], base, folder)


def ratios_of_pairs(pairs: Sequence[tuple[Summary, Summary]], summaries: Summaries, folder: Path) -> list[Ratio | None]:
    """first / second of each pair of times of one setting, as one of the ratios of all pairs of arms in it."""
    found: list[Ratio | None] = []
    for first, second in pairs:
        model = _model(folder, _beside(summaries, second)) if took_turns(first, second) else None
        if model is None or not {first.arm, second.arm} <= set(model.arms):
            found.append(_within_processes(first, second, folder))
            continue
        all_pairs = _pairs(folder, tuple(_beside(summaries, second)))
        one = all_pairs.get((first.arm, second.arm))
        found.append(_judged(one or all_pairs[second.arm, first.arm].reversed(), second, folder))
    return found


def ratios_of_studies(pairs: Sequence[tuple[Summary, Summary]], folders: Sequence[Path]) -> list[Ratio | None]:
    """second / first of each pair of times of one metric and length, one of each study, judged together; None where
    either has no two replicates. Replicates of two studies share no state of the machine, so they do not pair."""
    first, second = ([replicate_times(folder, pair[side]) for pair in pairs] for side, folder in enumerate(folders))
    spreads = replicates_spread(first), replicates_spread(second)
    found: list[Ratio | None] = [None] * len(pairs)
    times = [[[time for time in one if time > 0] for one in both] for both in zip(first, second, strict=True)]
    repeated = [place for place, both in enumerate(times) if min(map(len, both)) > 1]
    for place in repeated:
        before, after = times[place]
        change = sessions_difference((before, after), spreads, comparisons=len(repeated))
        found[place] = _judged(change, pairs[place][0], folders[0])
    return found


def cheapest(summaries: Summaries, folder: Path | None) -> str | None:
    """The arm whose time or memory is less than that of each other, by the intervals of all pairs; None where one is
    open."""
    measured = sorted(summaries.measured(), key=lambda summary: summary.value)
    if folder is None or len(measured) < 2:
        return None
    first, others = measured[0], measured[1:]
    ratios = ratios_of_pairs([(first, other) for other in others], summaries, folder)
    return first.arm if all(ratio is not None and ratio.words.startswith(CHEAPER) for ratio in ratios) else None


def _beside(summaries: Summaries, base: Summary) -> list[Summary]:
    """One summary an arm of the same metric, length and setting, timed in the sessions of `base`."""
    rows = summaries.with_apart.where(metric=base.metric, length=base.length, setting=(base.setting,)).measured()
    arms: dict[str, Summary] = {}
    for one in rows:
        if took_turns(one, base):
            arms.setdefault(one.arm, one)
    return list(arms.values())


def _model(folder: Path | None, family: Sequence[Summary]) -> BlockModel | None:
    """The block model of log times; None where fewer than two arms have two replicates."""
    return _fitted(folder, tuple(family)) if folder is not None else None


@lru_cache(maxsize=1024)
def _fitted(folder: Path, family: tuple[Summary, ...]) -> BlockModel | None:
    return replicates_model({one.arm: replicates_of(folder, one) for one in family})


@lru_cache(maxsize=1024)
def _against(folder: Path | None, family: tuple[Summary, ...], baseline: str) -> dict[str, Difference]:
    """The differences of all arms from one, judged together; made once, for tables and figures show the same ones."""
    model = _model(folder, family)
    return model.against(baseline) if model else {}


@lru_cache(maxsize=1024)
def _pairs(folder: Path, family: tuple[Summary, ...]) -> dict[tuple[str, str], Difference]:
    """The differences of all pairs of arms, likewise."""
    model = _model(folder, family)
    return model.pairs() if model else {}


def _judged(difference: Difference, base: Summary, folder: Path | None) -> Ratio:
    """The ratio behind a difference of log times, with the verdict on it."""
    margin = _margin(base, folder)
    matters = None if margin is None else log_margin(margin.size if margin.relative else margin.size / base.value)
    found = verdict(difference, better="lower", margin=matters)
    text = re.sub(r"\bseed(s?)\b", r"replicate\1", found.text)
    if found.word == "same":
        text = f"same within {margin}"
    elif found.differs:
        text = text.replace(found.word, (SMALLER if base.metric in MEMORY else FASTER)[found.word], 1)
    return Ratio(difference.ratio(), difference.seeds, text)


def _margin(base: Summary, folder: Path | None) -> Margin | None:
    """The ratio from which two times count as different: the study's, else the default of the quantity."""
    stated = stated_margins(folder) if folder is not None else {}
    return stated.get(base.metric, quantity_of(base.metric).margin)


def _within_processes(summary: Summary, base: Summary, folder: Path | None) -> Ratio | None:
    """The ratio within the rounds of one process per arm, which decides nothing about times."""
    if folder is None or not took_turns(summary, base):
        return None
    first, second = rounds_of(folder, summary), rounds_of(folder, base)
    return Ratio(rounds_ratio(first, second), 1, one_process_words(summary.metric)) if first and second else None


def one_process_words(metric: str) -> str:
    """The verdict on a cost of one process per arm."""
    return ONE_PROCESS if metric in TIMES else NOT_REPEATED
