"""Forest plot: difference of each arm from the baseline in each primary score, with its verdict and what matters."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.glyphs import labels_of
from bench.report.analysis.comparisons import Compared, Comparison, compared
from bench.report.figures.axes import limits_around
from bench.report.figures.data import state_data
from bench.report.figures.figure import figure
from bench.report.figures.marks import BAND, REFERENCE_COLOUR
from bench.report.figures.style import NothingToShow, is_narrow, legend_below, panel_grid, panel_title
from bench.report.rows.arms import Look, looks_of
from bench.report.rows.frame import QUALITY
from bench.report.rows.study import baseline_arm
from bench.report.rows.summaries import distinct_words
from metrics.headlines import PRIMARY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_IN, HEAD_IN = 0.19, 0.75
"""Inches of an arm, and of the axis and title of a panel."""
MOST_LETTERS = {True: 20, False: 30}
"""Of an arm's name, in one column and in two."""
LONGEST_LABEL = 40
"""Letters of an axis' label in one line."""
MOST_PANELS = {True: 2, False: 4}
"""In one column and in two."""
FULL, PALE, HOLLOW = 1.0, 0.35, 0.0
"""How full the marker of a difference is that is called, of the same within what matters, of an open one."""
WIDEST = 6.0
"""Half the width of a panel, as a multiple of the farthest difference or of what matters; intervals are cut there."""


@figure(
    "forest",
    "Differences from the baseline",
    needs=QUALITY,
    panels=[PRIMARY],
    caption="Difference of each arm from the baseline with the simultaneous 95 % interval behind its verdict; left is "
    "lower. Grey band: differences of less than matters. Full marker: better or worse; pale: the same within what "
    "matters; hollow: open. An interval that leaves the panel ends in an arrow; a marker without one has too few "
    "seeds. An arm without a marker is not compared there: it was not measured, has another arm's training, or a "
    "figure of another kind.",
)
def forest_figure(frame: pd.DataFrame, folder: Path, width: float) -> Figure:
    """A panel for each primary score and setting (of many settings the first), a row for each arm but the baseline."""
    baseline = baseline_arm(folder, frame)
    found = [(one, rows) for one in compared(frame, folder) if (rows := _known(one.against(one.baseline(baseline))))]
    if not found:
        raise NothingToShow(f"forest figure: no arm was measured beside {baseline or 'a baseline'} in a primary score")
    looks = looks_of(frame)
    arms = [arm for arm in looks if any(row.arm == arm for _, rows in found for row in rows)]
    if len(found) > MOST_PANELS[is_narrow(width)]:
        found = [(one, rows) for one, rows in found if one.group == found[0][0].group]
    columns = 1 if is_narrow(width) else min(len(found), 2)
    drawn, axes = panel_grid(width, len(found), columns, ROW_IN * len(arms) + HEAD_IN, 0.35, sharey=True)
    titles = distinct_words(one.group for one, _ in found)
    for place, (axis, (one, rows)) in enumerate(zip(axes, found, strict=True)):
        own = one.baseline(baseline)
        _panel(axis, one, {row.arm: row for row in rows}, {arm: looks[arm] for arm in arms}, own)
        axis.tick_params(labelleft=place % columns == 0)
        (shown,) = labels_of([own], MOST_LETTERS[is_narrow(width)])
        parts = f"{one.quantity.heading},", f"less {shown}"
        axis.set_xlabel((" " if len("".join(parts)) < LONGEST_LABEL else "\n").join(parts))
        if len(titles) > 1:
            panel_title(axis, titles[one.group], width, columns)
    names = labels_of(arms, MOST_LETTERS[is_narrow(width)])
    axes[0].set_yticks(range(len(arms)), names)
    axes[0].set_ylim(len(arms) - 0.4, -0.6)
    legend_below(drawn, _key())
    return drawn


def _known(rows: list[Comparison]) -> list[Comparison]:
    return [row for row in rows if row.difference is not None and math.isfinite(row.difference.value)]


def _panel(axis: Axes, one: Compared, rows: dict[str, Comparison], arms: dict[str, Look], baseline: str) -> None:
    """Differences of one score; the scale holds every difference and the band of what matters."""
    margin = one.margin(baseline)
    differences = [row.difference for row in rows.values() if row.difference]
    values = [one.value for one in differences]
    reach = max([abs(value) for value in values] + [margin or 0.0]) or 1.0
    ends = [end for one in differences for end in (one.interval.low, one.interval.high) if abs(end) <= WIDEST * reach]
    low, high = limits_around([0.0, *values, *ends], 0.08, reach)
    low, high = min(low, -1.15 * (margin or 0.0)), max(high, 1.15 * (margin or 0.0))
    if margin is not None:
        axis.axvspan(-margin, margin, **BAND)
        state_data(axis, baseline, "matters", None, None, -margin, margin)
    axis.axvline(0, color=REFERENCE_COLOUR, linewidth=0.9, zorder=1)
    for place, (arm, look) in enumerate(arms.items()):
        if arm in rows:
            _row(axis, place, rows[arm], look, (low, high))
    axis.set_xlim(low, high)
    axis.grid(False, axis="y")
    axis.locator_params(axis="x", nbins=4)


def _row(axis: Axes, place: int, row: Comparison, look: Look, limits: tuple[float, float]) -> None:
    assert row.difference is not None
    interval, value = row.difference.interval, row.difference.value
    state_data(axis, look.name, row.verdict.word, value, place, interval.low, interval.high)
    if math.isfinite(interval.low) and math.isfinite(interval.high):
        ends = [max(interval.low, limits[0]), min(interval.high, limits[1])]
        axis.hlines([place], ends[0], ends[1], color=look.colour, linewidth=1.2, zorder=2)
        for end, cut, sign in ((ends[0], interval.low < limits[0], "<"), (ends[1], interval.high > limits[1], ">")):
            if cut:
                axis.plot([end], [place], marker=sign, markersize=3, color=look.colour, clip_on=False, zorder=3)
    full = FULL if row.verdict.differs else PALE if row.verdict.word == "same" else HOLLOW
    axis.plot([value], [place], zorder=4, marker=look.marker, **_face(look.colour, full))


def _face(colour: str, full: float) -> dict[str, Any]:
    """Colours of a marker whose fullness stands for a verdict."""
    from matplotlib.colors import to_rgb

    face = tuple(1 - full * (1 - part) for part in to_rgb(colour))
    return {"color": colour, "markerfacecolor": face, "markersize": 5, "linestyle": "none"}


def _key() -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    words = {"better or worse": FULL, "same": PALE, "open": HOLLOW}
    marks = [Line2D([], [], marker="o", label=word, **_face(REFERENCE_COLOUR, full)) for word, full in words.items()]
    return [*marks, Patch(color=BAND["color"], alpha=BAND["alpha"], linewidth=0, label="less than matters")]
