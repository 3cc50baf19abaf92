"""Arms that differ in the sampler alone: their common name, their network calls, one of them per training."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.report.presentation import read_axes
from bench.report.rows.frame import made_once
from bench.report.rows.summaries import Group, Summaries, Summary, quality_summaries
from bench.study.source import axis_word

AXES = ("sample.sampler", "sample.steps")
OWN_AXES = ("sample.reveal", "sample.inner")
"""Axes of a study that decide how the model of a training is sampled: those that a summary names anyway, and settings
of a sampler's own."""


def base_arm(summary: Summary) -> str:
    """The arm's name without its sampler and the sampler's settings: `smdim sampler=cached steps=8` -> `smdim`."""
    return _without(summary.arm, summary, AXES + OWN_AXES)


def with_own_settings(summary: Summary) -> str:
    """The arm's name without sampler and T, but with the sampler's own settings: `mamba block-8 reveal=2`."""
    return _without(summary.arm, summary, AXES)


def _without(name: str, summary: Summary, axes: Sequence[str]) -> str:
    """An arm's name without the words that these axes of the study put into it."""
    words = name.split(" ")
    for key, value in read_axes(summary.axes).items():
        if key in axes and (word := axis_word(key, value)) in words:
            words.remove(word)
    return " ".join(words)


def _study_arm(summary: Summary) -> str:
    """The arm's name in its study, whatever its label."""
    return summary.study_arm or summary.arm


def _is_sampled(summary: Summary) -> bool:
    """Whether the study names the arm by its sampler."""
    return any(key in AXES + OWN_AXES for key in read_axes(summary.axes))


def varies_sampler(summaries: Summaries) -> bool:
    """Whether some arm was sampled in more than one way, as an axis of the study."""
    return any(map(_is_sampled, summaries))


def varies_process(summaries: Summaries) -> bool:
    """Whether arms were trained for several processes."""
    return len({one.process for one in summaries}) > 1


def varies_sampler_alone(summaries: Summaries) -> bool:
    """Whether the ways of sampling are what is compared: they differ, and the processes do not."""
    return varies_sampler(summaries) and not varies_process(summaries)


def any_sampler(summary: Summary) -> Group:
    """Corpus and length of a summary as a group that holds every sampler and T."""
    return summary.corpus, summary.length, "", None


def most_calls(frame: pd.DataFrame) -> str:
    """The arm that was sampled with the most network calls; "" where none is recorded."""
    called = [one for one in quality_summaries(frame).measured() if network_calls(one)]
    return max(called, key=lambda one: network_calls(one) or 0.0).arm if called else ""


def one_a_training(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with one way of sampling for each arm, under the arm's own name, for figures of training alone. A study
    that does not vary the sampler is returned as it is."""
    return made_once(frame, "one a training", lambda: _one_a_training(frame))


def _one_a_training(frame: pd.DataFrame) -> pd.DataFrame:
    summaries = quality_summaries(frame)
    if not varies_sampler(summaries):
        return frame
    first: dict[str, Summary] = {}
    for summary in summaries:
        first.setdefault(_without(_study_arm(summary), summary, AXES + OWN_AXES), summary)
    own_name = {summary.arm: base_arm(summary) for summary in first.values()}
    kept = frame[(frame["kind"] != "quality") | frame["arm"].isin(list(own_name))]
    return kept.assign(arm=kept["arm"].replace(own_name))


def network_calls(summary: Summary) -> float | None:
    """Network calls a piece (NFE) of a summary: the middle of its range over seeds; None where not recorded."""
    ends = [float(part) for part in summary.nfe.split("-") if part]
    return sum(ends) / len(ends) if ends else None
