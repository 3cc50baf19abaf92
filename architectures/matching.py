"""Arms of equal size: solves width, and where needed the feed-forward's inner width, for a reference arm's size.

Everything else is kept: stem, number of mixers, embedding width, head width. The result names what was changed and the
mismatch that is left.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

from architectures.backbone import Backbone
from architectures.building import count_parameters, shapes_only
from architectures.catalog import ArmConfig
from architectures.config import BackboneConfig
from architectures.denoiser import DenoiserConfig, find_denoiser
from architectures.denoiser_network import measured_denoiser
from architectures.feed_forward import FeedForward
from architectures.registry import find_mixer, make_mixer

By = Literal["params", "flops"]
WIDTH_LIMIT = 8192
NEIGHBOURS = 3  # widths tried on either side of the nearest, since the heads' share moves in steps
Measure = Callable[[Any], float]


class MatchingError(ValueError):
    """Arms that cannot be made equal within the tolerance; the message is one line."""


class Step(NamedTuple):
    """Grid of sizes: width and feed-forward in these multiples, the latter changed by at most this share."""

    width: int
    hidden: int
    hidden_range: float


STEPS = (Step(8, 8, 0.15), Step(2, 8, 0.15), Step(2, 1, 0.25))
"""From the coarsest to the finest; the first that meets the tolerance is taken."""


@dataclass(frozen=True)
class MatchedArm:
    """An arm of solved size. flops: of one sequence of the given length, NaN without one; mismatch: relative to the
    target, signed; changed: what differs from the arm that was given, "" if nothing."""

    config: ArmConfig
    parameters: int
    flops: float
    mismatch: float
    changed: str


@lru_cache(maxsize=4096)
def measured(config: ArmConfig, length: int | None) -> tuple[int, float]:
    """Parameters, and FLOPs of one sequence of `length` tokens (NaN for None), without allocating the weights."""
    if isinstance(config, DenoiserConfig):
        return measured_denoiser(config, length)
    times = Counter(config.blocks.slots)
    slots = sorted(times, key=str)
    parts = _parts(replace(config, pattern="".join(map(str, slots))), length)
    more = [times[slot] - 1 for slot in slots]
    parameters = parts.parameters + sum(n * one for n, one in zip(more, parts.mixer_parameters, strict=True))
    return parameters, parts.flops + sum(n * one for n, one in zip(more, parts.mixer_flops, strict=True))


@dataclass(frozen=True)
class _Parts:
    """Parameters and FLOPs of a backbone that has each different mixer once, and of each of those mixers."""

    parameters: int
    mixer_parameters: tuple[int, ...]
    flops: float
    mixer_flops: tuple[float, ...]


@lru_cache(maxsize=4096)
def _parts(config: BackboneConfig, length: int | None) -> _Parts:
    """Each different mixer is built once; orders of the same mixers share that."""
    with shapes_only():
        backbone = Backbone(config)
    mixers = backbone.residual_mixers()
    mixer_parameters = tuple(count_parameters(mixer) for mixer in mixers)
    if not length:
        return _Parts(count_parameters(backbone), mixer_parameters, math.nan, (0.0,) * len(mixers))
    positions = length // config.stride
    mixer_flops = tuple(mixer.flops(positions).total for mixer in mixers)
    return _Parts(count_parameters(backbone), mixer_parameters, backbone.flops(length).total, mixer_flops)


def match(
    arms: Mapping[str, ArmConfig],
    *,
    reference: str,
    by: By = "params",
    length: int | None = None,
    tolerance: float = 0.01,
) -> dict[str, MatchedArm]:
    """Size every arm to the reference arm, which stays as it is.

    by: "params", or "flops" of one sequence of `length` tokens, forward, a multiply-add counted as two.
    tolerance: largest relative mismatch.
    Raises MatchingError when an arm cannot come within the tolerance or the request is incomplete.
    """
    if by not in ("params", "flops"):
        raise MatchingError(f"match: by={by!r}; allowed: params, flops")
    if by == "flops" and not length:
        raise MatchingError("match: by='flops' needs a length in tokens")
    if reference not in arms:
        raise MatchingError(f"match: no reference arm {reference!r}; arms: {', '.join(arms)}")

    def measure(config: ArmConfig) -> float:
        parameters, flops = measured(config, length)
        return float(parameters) if by == "params" else flops

    for name, config in arms.items():
        if math.isnan(measure(config)):
            raise MatchingError(f"match: the FLOPs of arm {name} are not known; allowed: by='params'")
    goal = measure(arms[reference])
    matched = {}
    for name, config in arms.items():
        solved = config if name == reference else _solved(name, config, goal, measure, tolerance)
        mismatch = measure(solved) / goal - 1.0
        if abs(mismatch) > tolerance:
            what = "parameters" if by == "params" else f"FLOPs at {length} tokens"
            raise MatchingError(
                f"match: arm {name} cannot reach {goal:.4g} {what} within {tolerance:.2%}; "
                f"nearest is {measure(solved):.4g} ({_size_words(solved)})"
            )
        parameters, flops = measured(solved, length)
        matched[name] = MatchedArm(solved, parameters, flops, mismatch, _changes(config, solved))
    return matched


def _solved(name: str, config: ArmConfig, goal: float, measure: Measure, tolerance: float) -> ArmConfig:
    """The nearest configuration of either kind."""
    if isinstance(config, BackboneConfig):
        return _solve(config, goal, measure, tolerance)
    if abs(measure(config) - goal) <= tolerance * goal:
        return config
    found = find_denoiser(config.name)
    if found.size is None:
        raise MatchingError(
            f"match: arm {name} has {measure(config):.4g} where {goal:.4g} are asked for, and denoiser {config.name} "
            f'declares no size to solve; add @register_denoiser("{config.name}", size="..."), '
            f"one of: {', '.join(found.sizes) or 'none'}"
        )
    solved = _nearest_size(config, found.size, found.multiple, goal, measure)
    if found.fine is None or abs(measure(solved) - goal) <= tolerance * goal:
        return solved
    return _nearest_size(solved, found.fine, 1, goal, measure)


def _nearest_size(config: DenoiserConfig, size: str, multiple: int, goal: float, measure: Measure) -> DenoiserConfig:
    """The configuration whose `size`, in these multiples, comes nearest to the goal."""

    def with_units(units: int) -> DenoiserConfig | None:
        candidate = config.with_size(size, multiple * units)
        try:
            measured(candidate, None)
        except ValueError:  # a size that its constructor refuses
            return None
        return candidate

    start = dict(config.sizes).get(size)
    units = start // multiple if isinstance(start, int) else 1
    middle = _last_below(with_units, measure, goal, 1, max(1, WIDTH_LIMIT // multiple), units)
    near = range(max(1, middle - NEIGHBOURS), middle + 2 + NEIGHBOURS)
    return min((one for n in near if (one := with_units(n))), key=lambda one: abs(measure(one) - goal), default=config)


def _size_words(config: ArmConfig) -> str:
    if isinstance(config, BackboneConfig):
        return f"width {config.width}, {len(config.blocks)} mixers"
    size = find_denoiser(config.name).size
    return f"{size} {dict(config.sizes).get(size or '')}"


def _solve(config: BackboneConfig, goal: float, measure: Measure, tolerance: float) -> BackboneConfig:
    """The nearest configuration, from the coarsest change to the finest; stops at the first within tolerance."""

    def error(candidate: BackboneConfig) -> float:
        return abs(measure(candidate) - goal)

    best = config
    for step in STEPS:
        if error(best) <= tolerance * goal:
            return best
        candidates = [best]
        widths = partial(_with_units, config, step.width)
        middle = _last_below(widths, measure, goal, 1, WIDTH_LIMIT // step.width, best.width // step.width)
        for units in range(max(1, middle - NEIGHBOURS), middle + 2 + NEIGHBOURS):
            candidate = _with_units(config, step.width, units)
            if candidate:
                candidates += [candidate, *_tune_hidden(candidate, measure, goal, step)]
        near = [candidate for candidate in candidates if error(candidate) <= tolerance * goal]
        best = min(near, key=_moved_hidden) if near else min(candidates, key=error)
    return best


def _last_below(
    make: Callable[[int], ArmConfig | None], measure: Measure, goal: float, low: int, high: int, start: int
) -> int:
    """The largest k in low..high whose candidate is not over the goal, else low: in growing steps away from `start`,
    near which it mostly lies, then by bisection. None marks a k too small to be built."""

    def fits(k: int) -> bool:
        candidate = make(k)
        return candidate is None or measure(candidate) <= goal

    start, step = min(max(start, low), high), 1
    if fits(start):
        low = start
        while low + step <= high and fits(low + step):
            low, step = low + step, 2 * step
        high = min(high, low + step - 1)
    else:
        high = start - 1
        while high - step >= low and not fits(high - step):
            high, step = high - step - 1, 2 * step
        low = max(low, high - step)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _with_units(config: BackboneConfig, multiple: int, units: int) -> BackboneConfig | None:
    try:
        candidate = replace(config, width=multiple * units)
        measured(candidate, None)
    except ValueError:
        return None
    return candidate


def _tune_hidden(config: BackboneConfig, measure: Measure, goal: float, step: Step) -> list[BackboneConfig]:
    """The two configurations around the goal that differ in the feed-forward only, within its range."""
    base = _hidden(config)
    if base is None:
        return []
    low = max(1, math.ceil(base * (1 - step.hidden_range) / step.hidden))
    high = math.floor(base * (1 + step.hidden_range) / step.hidden)
    below = _last_below(
        lambda k: replace(config, hidden=k * step.hidden), measure, goal, low, high, base // step.hidden
    )
    return [replace(config, hidden=k * step.hidden) for k in (below, below + 1) if low <= k <= high]


def _moved_hidden(config: BackboneConfig) -> float:
    """Share by which the feed-forward's inner width differs from what follows from the width."""
    if config.hidden is None:
        return 0.0
    return abs(config.hidden / (_hidden(replace(config, hidden=None)) or config.hidden) - 1)


@lru_cache(maxsize=4096)
def _hidden(config: BackboneConfig) -> int | None:
    """Inner width of the first feed-forward whose pattern does not fix it, or None where there is none."""
    for slot in config.blocks.slots:
        if find_mixer(slot.mixer) is FeedForward and "hidden" not in dict(slot.options):
            with shapes_only():
                mixer = make_mixer(slot, config.width, {"hidden": config.hidden})
            return mixer.hidden if isinstance(mixer, FeedForward) else None
    return None


def _changes(before: ArmConfig, after: ArmConfig) -> str:
    if isinstance(before, DenoiserConfig) and isinstance(after, DenoiserConfig):
        old = dict(before.sizes)
        return ", ".join(f"{key} {old.get(key)} -> {value}" for key, value in after.sizes if old.get(key) != value)
    assert isinstance(before, BackboneConfig) and isinstance(after, BackboneConfig)  # matching keeps the kind
    parts = [f"width {before.width} -> {after.width}"] if before.width != after.width else []
    if before.hidden != after.hidden:
        base = _hidden(replace(after, hidden=before.hidden))
        parts.append(f"feed-forward {base} -> {after.hidden}")
    return ", ".join(parts)
