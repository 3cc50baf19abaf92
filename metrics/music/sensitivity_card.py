"""Output of the sensitivity card: CSV, Markdown and a figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from metrics.music.corruptions import CORRUPTIONS
from metrics.music.sensitivity import VISIBLE, Response

MARKS: Final = {"moves": "must move for the worse", "stays": "must not", "blind": "cannot see"}
BRIGHTEST: Final = 8.0  # responses above are drawn alike


def card_csv(responses: Sequence[Response]) -> str:
    """Every response, one a line."""
    stream = io.StringIO()
    table = csv.DictWriter(stream, list(asdict(responses[0])), lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(response) for response in responses)
    return stream.getvalue()


def card_markdown(responses: Sequence[Response], about: str) -> str:
    """The card at the strongest level of each corruption, and the statements that failed."""
    names = list(dict.fromkeys(response.corruption for response in responses))
    strongest = {(r.metric, r.corruption): r for r in responses if r.level == CORRUPTIONS[r.corruption][1][-1]}
    metrics = list(dict.fromkeys(response.metric for response in responses))
    stated = [response for response in strongest.values() if response.holds is not None]
    failed = [response for response in stated if not response.holds]
    lines = [
        "# What each metric can see",
        "",
        about,
        "",
        "A figure is the change of the metric at the strongest level, divided by half the width of the untouched",
        "set's 95 % interval: at 1 the damage shows as much as another draw of pieces may. Stated beforehand: **M**",
        "must move for the worse (1 or more), **S** must stay (no change at all), **B** is blind (no change for the",
        "worse above 1); **!** marks a statement that failed.",
        "",
        "| corruption | strongest level |",
        "| --- | --- |",
        *(f"| {name} | {CORRUPTIONS[name][1][-1]:g} ({CORRUPTIONS[name][2]}) |" for name in names),
        "",
        f"| metric | {' | '.join(names)} |",
        f"| --- |{' ---: |' * len(names)}",
        *(f"| {metric} | {' | '.join(_cell(strongest[metric, name]) for name in names)} |" for metric in metrics),
        "",
        f"{len(stated) - len(failed)} of {len(stated)} statements hold.",
    ]
    if failed:
        lines += ["", "## Statements that failed", ""]
        lines += [
            f"- `{r.metric}` under {r.corruption}: {MARKS[r.expectation]}, but went from {r.untouched:.4g} to "
            f"{r.value:.4g}, {r.response:.2g} half widths"
            for r in failed
        ]
    return "\n".join(lines) + "\n"


def _cell(response: Response) -> str:
    size = response.response
    text = "n/a" if np.isnan(size) else "0" if size == 0 else f"{size:.1f}"
    return f"{text} {_mark(response)}".rstrip()


def _mark(response: Response) -> str:
    """Letter of what was stated beforehand, with `!` where it failed; empty where nothing was."""
    return response.expectation[:1].upper() + ("!" if response.holds is False else "")


def card_figure(responses: Sequence[Response], path: Path, title: str) -> None:
    """Heat map of responses, metrics down, corruptions and levels across; a frame marks what was stated and failed."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    metrics = list(dict.fromkeys(response.metric for response in responses))
    columns = list(dict.fromkeys((response.corruption, response.level) for response in responses))
    table = np.full((len(metrics), len(columns)), np.nan)
    for response in responses:
        place = metrics.index(response.metric), columns.index((response.corruption, response.level))
        table[place] = np.minimum(response.response, BRIGHTEST)
    figure, axes = pyplot.subplots(figsize=(9.5, 0.21 * len(metrics) + 2.2), layout="constrained")
    image = axes.imshow(np.sqrt(table), aspect="auto", cmap="viridis", vmin=0, vmax=np.sqrt(BRIGHTEST))
    names = [f"{name.replace('_', ' ')} {level:g}" for name, level in columns]
    axes.set_xticks(range(len(columns)), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(metrics)), metrics, fontsize=7)
    for response in responses:
        if response.expectation:
            place = columns.index((response.corruption, response.level)), metrics.index(response.metric)
            bright = table[place[1], place[0]] > BRIGHTEST / 3
            colour = "#ff5a36" if not response.holds else "black" if bright else "white"
            axes.text(*place, _mark(response), ha="center", va="center", fontsize=6, color=colour, weight="bold")
    for index, ((first, _), (second, _)) in enumerate(pairwise(columns)):
        if first != second:
            axes.axvline(index + 0.5, color="white", linewidth=1.5)
    bar = figure.colorbar(image, ax=axes, shrink=0.4, pad=0.01)
    ticks = [0.0, 0.25, VISIBLE, 2.0, 4.0, BRIGHTEST]
    bar.set_ticks([float(np.sqrt(tick)) for tick in ticks], labels=[f"{tick:g}" for tick in ticks])
    bar.set_label("change / half width of the interval")
    axes.set_title(f"{title}\nM must move, S must stay, B is blind; ! failed", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
