"""FLOPs and calls of a piece against its length, from formulas: a panel a process, with the exponents of growth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from bench.report.claims.pieces import FIT, exponent
from bench.report.figures.axes import few_decade_ticks, length_axis
from bench.report.figures.style import DOUBLE_COLUMN_IN, arm_handles, figure_style, is_narrow, legend_below, panel_grid
from bench.report.rows.arms import Look, looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE, STRIDE = "2 M", 1
CAPTION = (
    f"FLOPs of a piece by formula at {SIZE} parameters and stride {STRIDE}, a panel a process, and network calls of "
    f"each. In titles: exponents in length from {FIT[0]} to {FIT[1]} tokens, in the order of the legend."
)


def pieces_figure(rows: pd.DataFrame, processes: Mapping[str, str], *, width: float = DOUBLE_COLUMN_IN) -> Figure:
    """A panel of FLOPs for each process, a line an arm; a last one of calls, a line a process.

    `rows` and `processes` as of `bench.measure.piece_map`.
    """
    chosen = rows[(rows["size"] == SIZE) & (rows["stride"] == STRIDE) & (rows["length"] <= FIT[1])]
    chosen = chosen.assign(tflops=chosen["gflops"] / 1000)
    found = looks([*chosen["arm"].unique(), *processes])
    arms = {name: look for name, look in found.items() if name not in processes}
    ways = {name: found[name] for name in processes}
    with figure_style(width):
        columns = 2 if is_narrow(width) else 3
        drawn, axes = panel_grid(width, len(processes) + 1, columns, 1.75 if is_narrow(width) else 1.9)
        for axis, process in zip(axes, processes, strict=False):
            mine = chosen[chosen["process"] == process]
            _lines(axis, mine, "arm", "tflops", arms)
            axis.set_title(f"{process}\n{_exponents(mine, 'arm', 'tflops')}")
            axis.set_ylabel("TFLOPs a piece")
        one = chosen[chosen["arm"] == chosen["arm"].iloc[0]]
        _lines(axes[-1], one, "process", "calls", ways)
        axes[-1].set_title(f"calls\n{_exponents(one, 'process', 'calls')}")
        axes[-1].set_ylabel("calls a piece")
        for axis in axes:
            length_axis(axis, sorted(chosen["length"].unique()), 2 if is_narrow(width) else 3)
        legend_below(drawn, [*arm_handles(arms), *arm_handles(ways)])
    return drawn


def _lines(axis: Axes, rows: pd.DataFrame, by: str, column: str, found: Mapping[str, Look]) -> None:
    for name, line in rows.groupby(by, sort=False):
        axis.plot(line["length"], line[column], markersize=3, **found[str(name)].line)
    axis.set_yscale("log")
    few_decade_ticks(axis)


def _exponents(rows: pd.DataFrame, by: str, column: str) -> str:
    return ", ".join(f"{abs(exponent(line, column)):.2f}" for _, line in rows.groupby(by, sort=False))
