"""Quality against the number of network calls that the sampler makes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.analysis.references import CEILING, reference_summary
from bench.report.analysis.samplers import base_arm, network_calls, varies_sampler
from bench.report.figures.figure import figure
from bench.report.figures.marks import reference_handles, reference_line
from bench.report.figures.style import NothingToShow, arm_handles, is_narrow, legend_below, panel_grid
from bench.report.rows.arms import Look, arm_order, looks, looks_of
from bench.report.rows.frame import QUALITY
from bench.report.rows.summaries import Summaries, Summary, quality_summaries, reference_summaries
from metrics.headlines import SAMPLED
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@figure(
    "nfe",
    "Quality against network calls",
    needs=QUALITY,
    panels=[SAMPLED],
    caption="Mean over seeds. Grey line: real against real music.",
)
def nfe_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """Scores against network calls a piece, a line an arm (a sampler, where the study varies it); seeds as small
    dots."""
    summaries = quality_summaries(frame).where(metric=SAMPLED).measured()
    summaries = Summaries(one for one in summaries if network_calls(one))
    if len(summaries.distinct("sample_steps")) < 2:
        raise NothingToShow("nfe figure: every arm was sampled with one number of steps T; vary sample.steps")
    references = reference_summaries(frame)
    lines = _lines(summaries, frame)
    metrics = [metric for metric in SAMPLED if summaries.where(metric=metric)]
    drawn, axes = panel_grid(width, len(metrics), min(len(metrics), 1 if is_narrow(width) else 3), 1.9)
    for axis, metric in zip(axes, metrics, strict=True):
        for _, look, line in lines:
            _draw_line(axis, line.where(metric=metric), look)
        ceiling = reference_summary(references, CEILING, metric, summaries[0].corpus, summaries[0].length)
        if ceiling is not None:
            reference_line(axis, ceiling.value, name=CEILING)
        axis.set_xscale("log", base=2)
        axis.set_xlabel("network calls a piece (NFE)")
        axis.set_title(quantity_of(metric).heading)
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    handles = arm_handles({name: look for name, look, _ in lines})
    legend_below(drawn, [*handles, *reference_handles(references, [CEILING])])
    return drawn


def _lines(summaries: Summaries, frame: pd.DataFrame) -> list[tuple[str, Look, Summaries]]:
    """Name, look and summaries of each line: an arm, or an arm and sampler."""
    by_sampler = varies_sampler(summaries)
    order = list(dict.fromkeys(base_arm(one) for arm in arm_order(frame) for one in summaries.where(arm=arm)))
    several = len(order) > 1

    def name(summary: Summary) -> str:
        if not by_sampler:
            return summary.arm
        return f"{base_arm(summary)}, {summary.sampler}" if several else summary.sampler

    groups = sorted(summaries.groups(name), key=lambda group: order.index(base_arm(group[1][0])))
    found = looks([name for name, _ in groups]) | looks_of(frame)
    lines = []
    for title, rows in groups:
        parts = rows.groups(lambda summary: (summary.corpus, summary.length, summary.sampler))
        lines += [(title, found[title], line) for _, line in parts]
    return lines


def _draw_line(axis: Axes, summaries: Summaries, look: Look) -> None:
    ordered = sorted(summaries, key=lambda summary: network_calls(summary) or 0)
    xs = [network_calls(one) or 0 for one in ordered]
    axis.plot(xs, [one.value for one in ordered], **look.line)
    for x, summary in zip(xs, ordered, strict=True):
        if len(summary.values) > 1:
            axis.plot([x] * len(summary.values), summary.values, marker=".", markersize=2, linestyle="", **look.ink)
