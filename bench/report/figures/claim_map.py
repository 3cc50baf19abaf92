"""Map of a claim: its quantity over width, depth, stride and matching, with a dot where the claim holds."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.claims.mapped import Mapped
from bench.report.claims.verdict import accepted_words
from bench.report.figures.data import state_data
from bench.report.figures.style import DOUBLE_COLUMN_IN, WHITE_EDGE, figure_style, is_narrow, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def claim_map_figure(rows: pd.DataFrame, mapped: Mapped, *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """Heat maps of the quantity, widths across and mixers down, a column of panels a stride and a row a matching.
    The middle of the scale is 1 (equal to the baseline, or linear), lighter is below, darker above, so that it reads in
    grey too; hatched where the arms cannot be matched; a dot marks where the claim holds.

    `rows` as of `bench.measure.claim_map`.
    """
    strides, matchings = sorted(rows["stride"].unique()), list(dict.fromkeys(rows["matching"]))
    reach = float((rows[mapped.column] - 1).abs().max()) or 1.0
    with figure_style(width):
        figure = new_figure(width, (0.62 if is_narrow(width) else 0.95) * len(matchings) + 1.0)
        axes = figure.subplots(len(matchings), len(strides), squeeze=False, sharex=True, sharey=True)
        for line, matching in zip(axes, matchings, strict=True):
            for axis, stride in zip(line, strides, strict=True):
                chosen = rows[(rows["matching"] == matching) & (rows["stride"] == stride)]
                image = _panel(axis, chosen, mapped, reach, small=is_narrow(width))
            line[0].set_ylabel(matching)
        for axis, stride in zip(axes[0], strides, strict=True):
            axis.set_title(f"stride {stride}")
        figure.supxlabel("width", fontsize="medium")
        figure.supylabel("matching; mixers", fontsize="medium")
        figure.colorbar(image, ax=axes, location="top", shrink=0.6, aspect=40, label=_title(mapped, width))
    return figure


def _title(mapped: Mapped, width: float) -> str:
    against = "" if not mapped.claim.quantity.baseline else f", {mapped.claim.quantity.arm} over the baseline"
    words = f"{mapped.words}{against}; dot: {accepted_words(mapped.claim)}, as claimed"
    return textwrap.fill(words, 42 if is_narrow(width) else 100)


def _panel(axis: Axes, rows: pd.DataFrame, mapped: Mapped, reach: float, *, small: bool):  # type: ignore[no-untyped-def]
    """One heat map; returns what the colour bar needs."""
    values = rows.pivot(index="layers", columns="width", values=mapped.column)
    held = rows.assign(held=mapped.holds(rows)).pivot(index="layers", columns="width", values="held")
    axis.patch.set(facecolor="white", hatch="////", edgecolor="#999999", linewidth=0)
    for layers, of_width in values.iterrows():
        for at, value in of_width.items():
            state_data(axis, str(layers), "held" if held.at[layers, at] else "not held", str(at), float(value))
    image = axis.imshow(values, cmap="cividis_r", vmin=1 - reach, vmax=1 + reach, aspect="auto")
    down, across = held.to_numpy().nonzero()
    axis.plot(across, down, linestyle="none", marker="o", markersize=2 if small else 3.2, color="black", **WHITE_EDGE)
    shown = range(0, len(values.columns), 2 if small else 1)
    axis.set_xticks(list(shown), [str(values.columns[i]) for i in shown], rotation=90 if small else 45)
    lines = range(0, len(values.index), 2 if small else 1)
    axis.set_yticks(list(lines), [str(values.index[i]) for i in lines])
    axis.tick_params(length=1.5)
    return image
