"""What a drawn figure shows: faults of its layout, and its data."""

from __future__ import annotations

import csv
import itertools

from bench.glyphs import plain_text
from bench.report.figures.data import figure_csv

SINGLE_COLUMN_IN = 3.3


def layout_faults(figure) -> list[str]:
    """What is cut by the figure's edge or lies on something else: panels with their texts, legends, words of the
    figure, tick labels, texts within a panel."""
    renderer = figure.canvas.get_renderer()
    with plain_text():
        figure.draw_without_rendering()
    words = [text for text in figure.texts if text.get_text()]
    parts = [axes for axes in figure.axes if axes.axison] + list(figure.legends) + words
    boxes = [part.get_tightbbox(renderer) for part in parts]
    faults = []
    within = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    for part, box in [*zip(parts, boxes, strict=True), *((one, one.get_tightbbox(renderer)) for one in within)]:
        if box.x0 < -1 or box.y0 < -1 or box.x1 > figure.bbox.x1 + 1 or box.y1 > figure.bbox.y1 + 1:
            faults.append(f"past the edge: {part}")
    for (first, one), (second, other) in itertools.combinations(zip(parts, boxes, strict=True), 2):
        if _overlap(one, other):
            faults.append(f"overlap: {first} and {second}")
    for axes in (part for part in parts if hasattr(part, "xaxis")):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            labels = [tick.label1 for tick in ticks if low <= tick.get_loc() <= high]
            shown = [label for label in labels if label.get_visible() and label.get_text() and not label.get_rotation()]
            faults += _overlaps(renderer, sorted(shown, key=lambda label: label.get_position()), pairwise=True)
        faults += _overlaps(renderer, axes.texts)
    return faults


def _overlaps(renderer, texts, *, pairwise: bool = False) -> list[str]:
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts]
    pairs = itertools.pairwise(boxes) if pairwise else itertools.combinations(boxes, 2)
    return [f"{first} and {second} overlap" for (first, one), (second, other) in pairs if _overlap(one, other)]


def _overlap(one, other) -> bool:
    return min(one.x1, other.x1) - max(one.x0, other.x0) > 1 and min(one.y1, other.y1) - max(one.y0, other.y0) > 1


def read_csv(figure) -> list[dict[str, str]]:
    return list(csv.DictReader(figure_csv(figure).splitlines()))
