"""Arms of equal size: solves width, and where needed the feed-forward's inner width and the depth, for a target.

Everything else stays as it is: stem, number of mixers, embedding width, head width. What was changed and what
mismatch is left stand in the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Literal

import torch

from architectures.backbone import Backbone, count_parameters
from architectures.config import BackboneConfig, BackboneError
from architectures.feed_forward import FeedForward

By = Literal["params", "flops"]
WIDTH_MULTIPLES = (8, 2)  # the second only where nothing of the first, with the feed-forward moved, is near enough
WIDTH_LIMIT = 8192
HIDDEN_MULTIPLE = 8
HIDDEN_RANGE = 0.15  # further, and the arm's feed-forward would no longer be the same kind of thing
DEPTH_LIMIT = 256

Measure = Callable[[BackboneConfig], float]


class MatchingError(ValueError):
    """Arms that cannot be made equal within the tolerance; the message is one line."""


@dataclass(frozen=True)
class MatchedArm:
    """An arm of solved size. flops: of one sequence of the length asked for, NaN without one; mismatch: relative
    to the target, signed; changed: what differs from the arm as it came, "" if nothing."""

    config: BackboneConfig
    parameters: int
    flops: float
    mismatch: float
    changed: str


@lru_cache(maxsize=4096)
def measured(config: BackboneConfig, length: int | None) -> tuple[int, float]:
    """Parameters, and FLOPs of one sequence of `length` tokens (NaN for None), without allocating the weights."""
    with torch.device("meta"):
        backbone = Backbone(config)
    return count_parameters(backbone), backbone.flops(length).total if length else math.nan


def match(
    arms: Mapping[str, BackboneConfig],
    *,
    by: By = "params",
    reference: str | None = None,
    target: float | None = None,
    length: int | None = None,
    tolerance: float = 0.01,
    vary_depth: bool = False,
) -> dict[str, MatchedArm]:
    """Size every arm to the reference arm, which stays as it is, or to `target` parameters or FLOPs.

    by: "params", or "flops" of one sequence of `length` tokens, forward, a multiply-add counted as two.
    tolerance: largest relative mismatch. vary_depth: move the number of blocks first, so that widths stay near
    what they were, and the width after that.
    Raises MatchingError when an arm cannot come within the tolerance or the request is incomplete.
    """
    if by not in ("params", "flops"):
        raise MatchingError(f"match: by={by!r}; allowed: params, flops")
    if by == "flops" and not length:
        raise MatchingError("match: by='flops' needs a length in tokens")
    if (reference is None) == (target is None):
        raise MatchingError("match: give either a reference arm or a target")
    if reference is not None and reference not in arms:
        raise MatchingError(f"match: no reference arm {reference!r}; arms: {', '.join(arms)}")

    def measure(config: BackboneConfig) -> float:
        parameters, flops = measured(config, length)
        return float(parameters) if by == "params" else flops

    goal = measure(arms[reference]) if reference is not None else float(target or 0.0)
    matched = {}
    for name, config in arms.items():
        solved = config if name == reference else _solve(config, goal, measure, tolerance, vary_depth)
        mismatch = measure(solved) / goal - 1.0 if goal > 0 else math.inf
        if abs(mismatch) > tolerance:
            what = "parameters" if by == "params" else f"FLOPs at {length} tokens"
            raise MatchingError(
                f"match: arm {name} cannot reach {goal:.4g} {what} within {tolerance:.2%}; "
                f"nearest is {measure(solved):.4g} (width {solved.width}, {len(solved.blocks)} mixers)"
            )
        parameters, flops = measured(solved, length)
        matched[name] = MatchedArm(solved, parameters, flops, mismatch, _changes(config, solved))
    return matched


def _solve(config: BackboneConfig, goal: float, measure: Measure, tolerance: float, vary_depth: bool) -> BackboneConfig:
    """The nearest configuration, from the coarsest change to the finest; stops at the first within tolerance."""

    def error(candidate: BackboneConfig) -> float:
        return abs(measure(candidate) - goal)

    best = config
    if vary_depth and error(best) > tolerance * goal:
        best = config = min(_nearest(lambda k: _with_depth(config, k), measure, goal, 1, DEPTH_LIMIT), key=error)
    for multiple in WIDTH_MULTIPLES:
        if error(best) <= tolerance * goal:
            break
        pair = _nearest(partial(_with_units, config, multiple), measure, goal, 1, WIDTH_LIMIT // multiple)
        best = min([best, *pair], key=error)
        if error(best) > tolerance * goal:
            best = min(
                [best, *(tuned for candidate in pair for tuned in _tune_hidden(candidate, measure, goal))], key=error
            )
    return best


def _nearest(
    make: Callable[[int], BackboneConfig | None], measure: Measure, goal: float, low: int, high: int
) -> list[BackboneConfig]:
    """The two candidates around the goal, by bisection over k; `make` grows with k, None marks a k that cannot be."""

    def below(k: int) -> bool:
        candidate = make(k)
        return candidate is None or measure(candidate) <= goal

    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if below(middle) else (low, middle - 1)
    around = (make(low), make(low + 1))
    return [candidate for candidate in around if candidate is not None]


def _with_units(config: BackboneConfig, multiple: int, units: int) -> BackboneConfig | None:
    try:
        candidate = replace(config, width=multiple * units)
        measured(candidate, None)
    except ValueError:
        return None
    return candidate


def _with_depth(config: BackboneConfig, repeats: int) -> BackboneConfig | None:
    try:
        return replace(config, pattern=str(config.blocks.repeated(repeats)))
    except BackboneError:
        return None


def _tune_hidden(config: BackboneConfig, measure: Measure, goal: float) -> list[BackboneConfig]:
    base = _hidden(config)
    if base is None:
        return []
    low = math.ceil(base * (1 - HIDDEN_RANGE) / HIDDEN_MULTIPLE)
    high = math.floor(base * (1 + HIDDEN_RANGE) / HIDDEN_MULTIPLE)
    found = _nearest(lambda k: replace(config, hidden=k * HIDDEN_MULTIPLE), measure, goal, low, high - 1)
    return [candidate for candidate in found if low <= (candidate.hidden or 0) / HIDDEN_MULTIPLE <= high]


def _hidden(config: BackboneConfig) -> int | None:
    """Inner width of the first feed-forward whose pattern does not fix it, or None where there is none."""
    with torch.device("meta"):
        backbone = Backbone(config)
    for slot, mixer in zip(config.blocks.slots, backbone.mixers(), strict=True):
        if isinstance(mixer, FeedForward) and "hidden" not in dict(slot.options):
            return mixer.hidden
    return None


def _changes(before: BackboneConfig, after: BackboneConfig) -> str:
    parts = [
        f"{name} {getattr(before, name)} -> {getattr(after, name)}"
        for name in ("pattern", "width")
        if getattr(before, name) != getattr(after, name)
    ]
    if before.hidden != after.hidden:
        base = _hidden(replace(after, hidden=before.hidden))
        parts.append(f"feed-forward {base} -> {after.hidden}")
    return ", ".join(parts)
