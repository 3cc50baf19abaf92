"""Arms that differ in the sampler alone: their common name, their network calls, one of them per training."""

from __future__ import annotations

import pandas as pd

from bench.report.rows.frame import made_once
from bench.report.rows.summaries import Group, Summaries, Summary, quality_summaries

OWN_SETTINGS = ("reveal=", "inner=")
"""Beginnings of the words of an arm's name that are of a sampler alone."""


def base_arm(summary: Summary) -> str:
    """The arm's name without what the summary names anyway: `smdim sampler=cached steps=8` -> `smdim`."""
    return _without_sampler(summary.arm, summary) if _is_sampled(summary) else summary.arm


def with_own_settings(summary: Summary) -> str:
    """The arm's name without sampler and T, but with the sampler's own settings: `mamba block-8 reveal=2`."""
    words = (f"sampler={summary.sampler}", f"steps={summary.sample_steps}")
    return " ".join(word for word in summary.arm.split(" ") if not _is_sampled(summary) or word not in words)


def _without_sampler(name: str, summary: Summary) -> str:
    words = (f"sampler={summary.sampler}", f"steps={summary.sample_steps}")
    return " ".join(word for word in name.split(" ") if word not in words and not word.startswith(OWN_SETTINGS))


def _study_arm(summary: Summary) -> str:
    """The arm's name in its study, whatever its label."""
    return summary.study_arm or summary.arm


def _is_sampled(summary: Summary) -> bool:
    """Whether the study names the arm by its sampler."""
    return _without_sampler(_study_arm(summary), summary) != _study_arm(summary)


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
        first.setdefault(_without_sampler(_study_arm(summary), summary), summary)
    own_name = {summary.arm: base_arm(summary) for summary in first.values()}
    kept = frame[(frame["kind"] != "quality") | frame["arm"].isin(list(own_name))]
    return kept.assign(arm=kept["arm"].replace(own_name))


def network_calls(summary: Summary) -> float | None:
    """Network calls a piece (NFE) of a summary: the middle of its range over seeds; None where not recorded."""
    ends = [float(part) for part in summary.nfe.split("-") if part]
    return sum(ends) / len(ends) if ends else None
