"""What must be equal for quality figures to stand in one table."""

from __future__ import annotations

from bench.report.points import Point

Group = tuple[str, int | None, str, int | None]


def quality_group(point: Point) -> Group:
    """Corpus, length, sampler and T of a point."""
    return point.corpus, point.length, point.sampler, point.sample_steps


def group_words(group: Group) -> str:
    """A group in words: `corpus demo/lieder, L = 512, cached sampler, T = 128`."""
    corpus, length, sampler, steps = group
    words = [f"corpus {corpus}"] if corpus else []
    words += [] if length is None else [f"L = {length}"]
    words += [f"{sampler} sampler"] if sampler else []
    words += [] if steps is None else [f"T = {steps}"]
    return ", ".join(words)
