"""The chart of a profile: a bar a mixer, its colours the kinds of operators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.files import write_atomically
from bench.report.figures import render
from bench.report.figures.style import DOUBLE_COLUMN_IN, figure_style, new_figure

if TYPE_CHECKING:
    from bench.measure.efficiency_profile import StepProfile

KIND_COLOURS = {
    "matmul": "#0072B2",
    "attention": "#D55E00",
    "scan": "#009E73",
    "convolution": "#CC79A7",
    "element-wise": "#E69F00",
    "movement": "#999999",
}


def save_chart(found: StepProfile, path: Path, title: str) -> None:
    """Write the chart as PNG."""
    from bench.cli.profile import shares

    parts, kinds, table = shares(found)
    with figure_style(DOUBLE_COLUMN_IN):
        figure = new_figure(DOUBLE_COLUMN_IN, 0.9 + 0.3 * len(parts))
        axis = figure.subplots()
        starts = dict.fromkeys(parts, 0.0)
        for kind in kinds:
            widths = [100 * table.get((part, kind), 0.0) for part in parts]
            axis.barh(parts, widths, left=list(starts.values()), color=KIND_COLOURS.get(kind, "#000000"), label=kind)
            starts = {part: starts[part] + width for part, width in zip(parts, widths, strict=True)}
        axis.invert_yaxis()
        axis.set_xlabel("share of a denoising step [%]")
        axis.set_title(title, loc="left")
        axis.legend(ncols=3, loc="lower right")
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        write_atomically(path, render(figure))
