"""Growth of cost with length against the baseline: the ratio at each length and where the two cost the same."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.analysis.comparable import EXACT, first_setting
from bench.report.analysis.growth import cost_ratio, meeting, round_ratios
from bench.report.analysis.patterns import patterns_of
from bench.report.figures.axes import MOST_TICKS, length_axis, limits_around
from bench.report.figures.data import state_moved
from bench.report.figures.families import FAMILY_TICKS, MOST_LINES, draw_faint, family_grid
from bench.report.figures.figure import figure
from bench.report.figures.marks import FEWEST_SAMPLES, MANY_ARMS, Spread, draw_spreads, reference_line, shift_of
from bench.report.figures.style import NothingToShow, arm_handles, drawn_arms, is_narrow, legend_below, panel_grid
from bench.report.rows.arms import Look
from bench.report.rows.frame import EFFICIENCY
from bench.report.rows.study import baseline_arm
from bench.report.rows.summaries import Summaries, Summary, cost_summaries
from metrics.headlines import GROWING
from metrics.quantities import quantity_of
from metrics.statistics.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@figure(
    "scaling",
    "Cost relative to the baseline",
    needs=EFFICIENCY,
    panels=[GROWING],
    caption="Multiple of the baseline arm's cost at each length, with 95 % intervals over rounds where the arms took "
    "turns (cut at the edge; fewer than five rounds are small dots); below 1 is cheaper. A thin white diamond "
    "marks the length at which both cost the same. More than eight arms are drawn by family, faint lines being "
    "the arms of the others.",
)
def scaling_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """A panel for each metric at which the baseline and another arm were measured at two lengths."""
    baseline = baseline_arm(folder, frame)
    summaries = first_setting(cost_summaries(frame).where(metric=GROWING).measured())
    metrics = [metric for metric in GROWING if _are_lines(summaries.where(metric=metric), baseline)]
    if not metrics:
        raise NothingToShow(f"scaling figure: no arm was measured beside {baseline or 'a baseline'} at two lengths")
    arms = {arm: look for arm, look in drawn_arms(frame, summaries).items() if arm != baseline}
    labels = {metric: quantity_of(metric).short for metric in metrics}
    if len(arms) > MOST_LINES:

        def panel(axis: Axes, metric: str, shown: dict[str, Look], others: list[str]) -> None:
            rows = summaries.where(metric=metric)
            lines = [ratios_by_length(rows, arm, baseline, folder) for arm in others]
            draw_faint(axis, [[(summary.length or 0, ratio.value) for summary, ratio in line] for line in lines])
            _ratio_panel(axis, rows, shown, baseline, folder, FAMILY_TICKS)

        labels = {metric: f"{label} [{baseline} = 1]" for metric, label in labels.items()}
        return family_grid(labels, arms, patterns_of(frame), panel, width, one_scale=False)
    most, row_in, ticks = (2, 1.5, 4) if is_narrow(width) else (3, 1.8, MOST_TICKS)
    drawn, axes = panel_grid(width, len(metrics), min(len(metrics), most), row_in)
    for axis, (metric, label) in zip(axes, labels.items(), strict=True):
        _ratio_panel(axis, summaries.where(metric=metric), arms, baseline, folder, ticks)
        axis.set_title(label)
    drawn.supylabel(f"multiple of {baseline}", fontsize="medium")
    legend_below(drawn, arm_handles(arms))
    return drawn


def _are_lines(summaries: Summaries, baseline: str) -> bool:
    at = set(summaries.where(arm=baseline).lengths())
    return any(
        len(at & set(summaries.where(arm=arm).lengths())) > 1 for arm in summaries.distinct("arm") if arm != baseline
    )


def _ratio_panel(
    axis: Axes, summaries: Summaries, arms: dict[str, Look], baseline: str, folder: Path, ticks: int
) -> None:
    """The ratios of these arms; room for each of them and the line at 1, long intervals are cut at the edge."""
    shown, lengths, exact = [1.0], summaries.lengths(), summaries[0].metric in EXACT
    for place, (arm, look) in enumerate(arms.items()):
        shift = 1.0 if exact else shift_of(place, len(arms), lengths)
        known = ratios_by_length(summaries, arm, baseline, folder)
        if not known:
            continue
        values = [ratio.value for _, ratio in known]
        shown += values
        xs = [(summary.length or 0) * shift for summary, _ in known]
        axis.plot(xs, values, zorder=3, **look.line)
        state_moved(axis, look.name, times=shift)
        spreads = []
        for x, (summary, ratio) in zip(xs, known, strict=True) if not exact else ():
            dots = round_ratios(summary, summaries, baseline, folder) if ratio.n < FEWEST_SAMPLES else []
            spreads.append(Spread(x, ratio.value, ratio.low, ratio.high, dots or None))
        draw_spreads(axis, spreads, look, thin=len(arms) >= MANY_ARMS)
        met = meeting(summaries, arm, baseline, folder)
        if met is not None and not math.isnan(met.length):
            axis.plot([met.length], [1], marker="d", markersize=6, color=look.colour, markerfacecolor="white", zorder=4)
    reference_line(axis, 1)
    length_axis(axis, lengths, ticks)
    low, high = limits_around(shown, 0.2, 0.1)
    axis.set_ylim(max(0.0, low), high)


def ratios_by_length(
    summaries: Summaries, arm: str, baseline: str, folder: Path | None
) -> list[tuple[Summary, Interval]]:
    """The arm's summaries with their ratios to the baseline, from short to long, as far as they can be compared."""
    ratios = [(one, cost_ratio(one, summaries, baseline, folder)) for one in summaries.where(arm=arm).by_length()]
    return [(summary, ratio.interval) for summary, ratio in ratios if ratio is not None]
