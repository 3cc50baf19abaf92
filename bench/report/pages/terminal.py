"""The table that a run prints at its end: a line an arm, quality and cost side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.report.analysis.aggregate import grammar_marks
from bench.report.rows.arms import REFERENCE_ORDER, arm_order
from bench.report.rows.frame import as_frame, study_name
from bench.report.rows.points import Point, Points, cost_points, quality_points, reference_points
from bench.report.tables.cost_table import joined, parameters_entry
from bench.report.tables.numbers import NOTHING, number
from bench.report.tables.quality_table import NO_MORE, OPEN, seeds_entry
from metrics.cost.quantities import BITS, FORWARD_GFLOPS, PEAK_MEMORY_INFERENCE, STEP_LATENCY
from metrics.music.attribute import OA_MEAN

if TYPE_CHECKING:
    from rich.table import Table

COST = ((STEP_LATENCY, "step ms"), (PEAK_MEMORY_INFERENCE, "mem GiB"), (FORWARD_GFLOPS, "GFLOPs"))
QUALITY = ((BITS, "bits/token"), (OA_MEAN, "OA mean"))
MARKS = {"no more": NO_MORE, "open": OPEN}


def summary_table(table: Any) -> Table:
    """A rich table that fits 80 columns: per arm its scores (mean over seeds ± half of the 95 % interval) and its
    cost at the longest length, reference rows below. Marks as in the report: † no more than the grammar, ‡ not
    settled."""
    from rich import box
    from rich.table import Table

    frame = as_frame(table)
    quality, references, cost = quality_points(frame), reference_points(frame), cost_points(frame)
    marks = grammar_marks(quality, references)
    longest = max(cost.lengths(), default=None)
    caption = _caption(set(marks.values()), quality, longest)
    result = Table(
        title=study_name(frame),
        caption=caption,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
        collapse_padding=True,
    )
    result.add_column("arm", no_wrap=True)
    result.add_column("reads")
    for heading in ("params", *(name for _, name in QUALITY), *(name for _, name in COST)):
        result.add_column(heading, justify="right")
    for arm in arm_order(frame):
        mine, spent = quality.where(arm=arm), cost.where(arm=arm, length=longest)
        state = {MARKS.get(mark, "") for (_, _, name), mark in marks.items() if name == arm}
        direction = joined(Points([*mine, *spent]), "direction").text
        result.add_row(
            " ".join([arm, *sorted(mark for mark in state if mark)]),
            _reads(direction),
            parameters_entry(Points([*mine, *spent])).text,
            *(_score(mine.first(metric=metric)) for metric, _ in QUALITY),
            *(_score(spent.first(metric=metric)) for metric, _ in COST),
        )
    _add_references(result, references)
    return result


def _reads(direction: str) -> str:
    """The direction of an arm's Mamba layers in one short word."""
    if "bidirectional" in direction:
        return "both"
    return "none" if direction.startswith(("no ", "none")) else direction.removeprefix("Mamba ")


def _score(point: Point | None) -> str:
    if point is None or not point.measured:
        return NOTHING
    text = number(point.value)
    if "memory" in point.metric or not point.high > point.low:
        return text
    return f"{text}±{number((point.high - point.low) / 2, 1)}"


def _add_references(result: Table, references: Points) -> None:
    found = []
    for arm in REFERENCE_ORDER:
        scores = [_score(references.first(arm=arm, metric=metric)) for metric, _ in QUALITY]
        if any(score != NOTHING for score in scores):
            found.append((arm, ["" if score == NOTHING else score for score in scores]))
    if found:
        result.add_section()
    for arm, scores in found:
        result.add_row(f"({arm})", "", "", *scores, *("" for _ in COST), style="dim")


def _caption(states: set[str], quality: Points, longest: int | None) -> str:
    words = []
    if quality:
        words.append(
            f"scores: mean over {seeds_entry(quality).text} seeds ± half of the 95 % interval; in brackets: references"
        )
    if longest is not None:
        words.append(f"cost: at {longest} tokens ± half of the 95 % interval of its timed calls")
    if "no more" in states:
        words.append(f"{NO_MORE} learned no more than the grammar of tokens")
    if "open" in states:
        words.append(f"{OPEN} below the grammar baseline on average, not settled by these seeds")
    return "\n".join(words)
