"""The look all figures share: paper sizes, fonts that stay readable at column width, files without a date in them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.errors import UserError, quoted
from bench.files import write_atomically
from bench.glyphs import labels_of, plain_text, shortened
from bench.report.figures.data import figure_csv
from bench.report.presentation import NumberStyle
from bench.report.rows.arms import Look, looks_of
from bench.report.rows.summaries import Summaries

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL import Image

DOUBLE_COLUMN_IN = 7.0
FORMATS = ("png", "pdf", "svg")
PNG_DOTS_PER_INCH = 200
LEGEND_LETTERS = 48
"""Of a name in a legend; a longer one loses its middle."""
MOST_ALONE = 6
"""Entries of a legend that may each have the whole width; names of more are cut so that two or three stand beside each
other."""
KEY_IN = 0.48
"""Inches of an entry beside its name."""
LETTER_IN = 0.055
"""Inches that a letter of a legend takes, about."""
POINTS_PER_INCH = 72
TITLE_SHARE = 0.65
"""Of the width of a panel, what its title may take."""
PLAIN_NUMBER = re.compile(r"[-−]?\d[\d.]*(?![\w])")
LEGEND_ROWS = 3
"""Rows of a legend for which figures have room; with more of them a figure becomes higher."""
WHITE_EDGE: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.4}
"""Keeps markers apart where they meet."""


class NothingToShow(UserError):
    """The table holds no row that a figure could draw; the message names the rows it needs."""


def is_narrow(width: float) -> bool:
    """Whether a figure of this width in inches is laid out for one column."""
    return width < 4.5


@contextmanager
def figure_style(width: float) -> Iterator[None]:
    """Fonts and lines for a figure of `width` inches; pyplot's state is as before afterwards."""
    import matplotlib

    matplotlib.use("Agg")
    import seaborn as sns

    size = 7.0 if is_narrow(width) else 8.0
    settings: Any = {
        "font.size": size,
        "axes.titlesize": size,
        "axes.labelsize": size,
        "xtick.labelsize": size - 1,
        "ytick.labelsize": size - 1,
        "legend.fontsize": size - 0.5,
        "axes.linewidth": 0.6,
        "lines.linewidth": 1.2,
        "lines.markersize": 4.2,
        "grid.linewidth": 0.4,
        "grid.color": "#dddddd",
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "legend.frameon": False,
        "figure.dpi": 100,
    }
    with sns.axes_style("ticks"), plain_text(), matplotlib.rc_context(settings):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches, laid out so that no text is cut; it belongs to no global list."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panels(figure: Figure, count: int, columns: int, **options: Any) -> list[Axes]:
    """`count` axes in rows of `columns`; places left over stay empty."""
    axes = list(figure.subplots(-(-count // columns), columns, squeeze=False, **options).flat)
    for axis in axes[count:]:
        axis.set_axis_off()
    return axes[:count]


def panel_grid(
    width: float, count: int, columns: int, row_in: float, legend_in: float = 0.35, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A new figure of `count` tidy panels in rows of `columns`, each row `row_in` inches high, and its axes."""
    figure = new_figure(width, -(-count // columns) * row_in + legend_in)
    axes = panels(figure, count, columns, **options)
    for axis in axes:
        tidy_axes(axis)
    return figure, axes


def tidy_axes(axis: Axes) -> None:
    """No box, a faint grid behind the points."""
    axis.spines["top"].set_visible(False)
    axis.spines["right"].set_visible(False)
    axis.grid(True, zorder=0)
    axis.set_axisbelow(True)


def panel_title(axis: Axes, words: str, width: float, columns: int = 1, **place: Any) -> None:
    """Set the title of one of `columns` panels beside each other in a figure of `width` inches, cut to their width;
    `place` as in `Axes.set_title`."""
    axis.set_title(shortened(words, max(int(TITLE_SHARE * width / columns / LETTER_IN), 12)), **place)


def drawn_arms(frame: pd.DataFrame, summaries: Summaries) -> dict[str, Look]:
    """The arms that have summaries, in the order of legends, with the look of each."""
    return {arm: look for arm, look in looks_of(frame).items() if summaries.where(arm=arm)}


def arm_handles(arms: Mapping[str, Look], *, lines: bool = True) -> list[Any]:
    """Legend entries of arms: colour and marker, and dashes where they are drawn as lines."""
    from matplotlib.lines import Line2D

    style = WHITE_EDGE if lines else {"linestyle": "none"}
    return [Line2D([], [], **(look.line | style | {"label": arm})) for arm, look in arms.items()]


def legend_below(figure: Figure, handles: Iterable[Any]) -> None:
    """One legend for the whole figure under its panels, in as many columns as its width holds; the figure becomes
    higher by the rows for which it has no room."""
    handles = list(handles)
    if not handles:
        return
    from rich.cells import cell_len

    beside = 1 if len(handles) <= MOST_ALONE else 2 if is_narrow(figure.get_figwidth()) else 3
    most = min(LEGEND_LETTERS, int((figure.get_figwidth() / beside - KEY_IN - 0.12) / LETTER_IN))
    labels = labels_of([handle.get_label() for handle in handles], most)
    for handle, label in zip(handles, labels, strict=True):
        handle.set_label(label)
    widths = [max(LETTER_IN * cell_len(label), _legend_text_in(label)) + KEY_IN for label in labels]
    rows = next(
        rows
        for rows in range(1, len(handles) + 1)
        if _legend_width(widths, rows) <= figure.get_figwidth() or rows == len(handles)
    )
    columns = -(-len(handles) // rows)
    row_in = 0.153 if is_narrow(figure.get_figwidth()) else 0.177
    figure.set_figheight(figure.get_figheight() + row_in * max(rows - LEGEND_ROWS, 0))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=2.4, columnspacing=1.2)


def _legend_text_in(label: str) -> float:
    """Inches that a name takes in a legend."""
    import matplotlib
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=matplotlib.rcParams["legend.fontsize"])
    points, _, _ = text_to_path.get_text_width_height_descent(label, font, ismath=False)
    return float(points) / POINTS_PER_INCH


def _legend_width(widths: list[float], rows: int) -> float:
    """Inches that a legend of these entries needs in so few columns that they have at most `rows` entries: matplotlib
    makes them as equal as can be, the first ones longer."""
    columns = -(-len(widths) // rows)
    shorter, longer = divmod(len(widths), columns)
    ends = [place * shorter + min(place, longer) for place in range(columns + 1)]
    return sum(max(widths[start:end]) for start, end in pairwise(ends))


def render(figure: Figure, kind: str = "png") -> bytes:
    """The figure as the bytes of a PNG, PDF or SVG file, without a date, so that equal results give equal files."""
    if kind not in FORMATS:
        raise UserError(f"figure format {quoted(kind)}: allowed are {', '.join(FORMATS)}")
    undated = {"pdf": {"CreationDate": None, "ModDate": None}, "svg": {"Date": None}, "png": {"Software": None}}[kind]
    import matplotlib
    from PIL import Image

    buffer = io.BytesIO()
    with plain_text(), matplotlib.rc_context({"svg.hashsalt": "smdim-bench", "pdf.fonttype": 42}):
        if kind != "png":
            figure.savefig(buffer, format=kind, dpi=PNG_DOTS_PER_INCH, metadata=undated)
            return buffer.getvalue()
        # as `savefig` does, but drawn once: that draws everything a second time to lay it out
        figure.set_dpi(PNG_DOTS_PER_INCH)
        canvas: Any = figure.canvas
        canvas.draw()
        drawn = Image.fromarray(np.asarray(canvas.buffer_rgba()))
    dots = (PNG_DOTS_PER_INCH, PNG_DOTS_PER_INCH)
    _in_few_colours(drawn).save(buffer, format="png", dpi=dots)
    return buffer.getvalue()


def _in_few_colours(drawn: Image.Image) -> Image.Image:
    """The image with a palette of 256 colours, in a third of the bytes: what is drawn flat keeps its colour exactly;
    as it is where something is transparent."""
    from PIL.Image import Dither, Quantize

    if drawn.getchannel("A").getextrema() != (255, 255):
        return drawn
    return drawn.convert("RGB").quantize(256, method=Quantize.MEDIANCUT, dither=Dither.NONE)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write the figure to `path`, and its data as CSV beside it, each whole or not at all; the ending is the format.
    Raises UserError for an unknown ending."""
    write_atomically(path, render(figure, path.suffix.removeprefix(".").lower()))
    write_atomically(path.with_suffix(".csv"), figure_csv(figure))
    return path


def write_numbers(figure: Figure, numbers: NumberStyle) -> None:
    """Set the numbers at the axes and in the panels of a figure in a style of their own."""
    if numbers == NumberStyle():
        return
    from matplotlib.ticker import FixedFormatter, Formatter

    class Styled(Formatter):
        """Another formatter's numbers in the style."""

        def __init__(self, inner: Formatter) -> None:
            self.inner = inner

        def set_axis(self, axis: Any) -> None:
            super().set_axis(axis)
            self.inner.set_axis(axis)

        def set_locs(self, locs: Any) -> None:
            self.inner.set_locs(locs)

        def get_offset(self) -> str:
            return numbers.text(self.inner.get_offset())

        def __call__(self, x: float, pos: int | None = None) -> str:
            return numbers.text(self.inner(x, pos))

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            inner = axis.get_major_formatter()
            if not isinstance(inner, FixedFormatter) or all(map(PLAIN_NUMBER.fullmatch, inner.seq)):
                axis.set_major_formatter(Styled(inner))
        for text in axes.texts:
            if PLAIN_NUMBER.match(text.get_text()):
                text.set_text(numbers.text(text.get_text()))
