"""Arms that differ in the sampler alone: which they are, their number of network calls, one row per training."""

from __future__ import annotations

import pandas as pd

from bench.report.rows.points import Point, Points, quality_points


def base_arm(point: Point) -> str:
    """The arm's name without what the point names anyway: `smdim sampler=cached steps=8` -> `smdim`."""
    words = (f"sampler={point.sampler}", f"steps={point.sample_steps}")
    return " ".join(word for word in point.arm.split(" ") if word not in words)


def varies_sampler(points: Points) -> bool:
    """Whether some arm was sampled in more than one way, as an axis of the study."""
    return any(base_arm(point) != point.arm for point in points)


def one_a_training(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with one way of sampling for each arm, under the arm's own name: what training alone decides is
    shown once. A study that does not vary the sampler comes back as it is."""
    points = quality_points(frame)
    if not varies_sampler(points):
        return frame
    first: dict[str, str] = {}
    for point in points:
        first.setdefault(base_arm(point), point.arm)
    own_name = {arm: base for base, arm in first.items()}
    kept = frame[(frame["kind"] != "quality") | frame["arm"].isin(list(own_name))]
    return kept.assign(arm=kept["arm"].replace(own_name))


def network_calls(point: Point) -> float | None:
    """Network calls a piece (NFE) of a point: the middle of its range over seeds; None where not recorded."""
    ends = [float(part) for part in point.nfe.split("-") if part]
    return sum(ends) / len(ends) if ends else None
