"""Where small labels go so that they cover neither markers nor each other."""

from __future__ import annotations

from collections.abc import Sequence

Box = tuple[float, float, float, float]
"""Left, bottom, right, top."""
GAP = 3.5
"""Distance of a label from the middle of its marker, in points, at each side."""
MARKER = 6.0
OUTSIDE = 100.0
"""How much worse a place past the edge is than one that covers the same area of something else."""


def place_labels(
    points: Sequence[tuple[float, float]], size: tuple[float, float], room: tuple[float, float]
) -> list[tuple[float, float]]:
    """For each point the lower left corner of its label, seen from the point; everything in points of 1/72 inch.

    `size` is that of a label, `room` the panel that all points lie in. Each label in turn takes, of eight places
    around its point, the first that covers least of the markers, of earlier labels and of what lies past the edge.
    """
    width, height = size
    right, left, middle = GAP, -GAP - width, -width / 2
    above, below, beside = GAP, -GAP - height, -height / 2
    places = [(right, above), (left, above), (right, below), (left, below)]
    places += [(right + 1, beside), (left - 1, beside), (middle, above + 1), (middle, below - 1)]
    taken: list[Box] = [_around(x, y, MARKER, MARKER) for x, y in points]
    chosen = []
    for x, y in points:
        boxes = [(x + dx, y + dy, x + dx + width, y + dy + height) for dx, dy in places]
        costs = [sum(_shared(box, other) for other in taken) + OUTSIDE * _outside(box, room) for box in boxes]
        best = min(range(len(places)), key=costs.__getitem__)
        chosen.append(places[best])
        taken.append(boxes[best])
    return chosen


def _around(x: float, y: float, width: float, height: float) -> Box:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _shared(one: Box, other: Box) -> float:
    """Area that two boxes share."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    along = min(one[3], other[3]) - max(one[1], other[1])
    return across * along if across > 0 and along > 0 else 0.0


def _outside(box: Box, room: tuple[float, float]) -> float:
    whole = (box[2] - box[0]) * (box[3] - box[1])
    return whole - _shared(box, (0.0, 0.0, *room))
