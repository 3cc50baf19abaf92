"""Laws of the samplers of an absorbing process, by enumeration over states.

The denoiser is a table of arbitrary logits, so that no two orders of reveals and no two rates have the same law.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pytest
import torch
from scipy import stats

from bench.diffusion import generator_for
from bench.diffusion.samplers import samplers_for

STATES, LENGTH = 3, 3
MASK, PAD = 3, 4
DRAWS = 100_000
SAME, OTHER = 1e-3, 1e-6  # p-values: a law that fits, a law that is seen not to
TABLE = torch.randn(4**LENGTH, LENGTH, STATES + 2, generator=generator_for("table"), dtype=torch.float64)
TABLE[..., STATES:] += 3.0  # MASK and PAD are likely, and never drawn
PLAIN = [name for name in samplers_for("linear") if name != "block-approximate"]
"""Samplers that call any denoiser on whole rows."""
STARTS = ((MASK, MASK, MASK), (MASK, 1, MASK))
POWERS = np.array([4.0, 1.0, 0.4])

State = tuple[int, ...]
Law = dict[State, float]
Options = list[dict[int, float]]  # for each position, the chance of each token after a step


def denoise(tokens_BL: torch.Tensor) -> torch.Tensor:
    return TABLE[tokens_BL @ (4 ** torch.arange(LENGTH - 1, -1, -1))]


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def logits_of(state: State) -> np.ndarray:
    """(L, states), without MASK and PAD."""
    return TABLE.numpy()[np.ravel_multi_index(state, (STATES + 1,) * LENGTH), :, :STATES]


@cache
def prediction(state: State, temperature: float = 1.0) -> np.ndarray:
    """p(token) at each position of a state, (L, states)."""
    return softmax(logits_of(state) / temperature)


def masked(state: State) -> list[int]:
    return [position for position, token in enumerate(state) if token == MASK]


def after_step(law: Law, options: Callable[[State], Options]) -> Law:
    """The law after a step in which positions move independently, given the state."""
    after: Law = {}
    for state, chance in law.items():
        for choice in itertools.product(*(option.items() for option in options(state))):
            key = tuple(token for token, _ in choice)
            after[key] = after.get(key, 0.0) + chance * math.prod(p for _, p in choice)
    return after


def after_call(law: Law, sets: Callable[[State], list[tuple[int, ...]]]) -> Law:
    """The law after a call that reveals one of these equally likely sets of positions, each position drawn alone."""
    after: Law = {}
    for state, chance in law.items():
        p, choices = prediction(state), sets(state)
        for positions in choices:
            for tokens in itertools.product(range(STATES), repeat=len(positions)):
                key = list(state)
                for position, token in zip(positions, tokens, strict=True):
                    key[position] = token
                share = math.prod(p[position, token] for position, token in zip(positions, tokens, strict=True))
                after[tuple(key)] = after.get(tuple(key), 0.0) + chance * float(share) / len(choices)
    return after


def hidden_shares(schedule: str, steps: int) -> list[float]:
    """The masked share at t = 1, 1 - 1/T, ..., 0."""
    times = [step / steps for step in range(steps, -1, -1)]
    if schedule == "linear":
        return times
    if schedule == "cosine":
        return [math.sin(math.pi / 2 * time) for time in times]
    visible = [math.exp(-(1e-5 ** (1 - time)) * 20**time) for time in times]
    return [(visible[-1] - one) / (visible[-1] - visible[0]) for one in visible]


def loop_shares(steps: int) -> list[float]:
    """The masked share of the loop of remasking at t = 1, 1 - 1/T, ..., 0."""
    times = [step / steps for step in range(steps, -1, -1)]
    return [1 - 2 * (1 - t) if t > 0.55 else 2 * t if t < 0.05 else 0.1 for t in times]


def reverse_law(start: State, hidden: Sequence[float], p_of: Callable[[State], np.ndarray] = prediction) -> Law:
    """Ancestral sampling from and to these masked shares, one after each step."""
    return remasking_law(start, hidden, [0.0] * (len(hidden) - 1), p_of)


def remasking_law(
    start: State, hidden: Sequence[float], sigmas: Sequence[float], p_of: Callable[[State], np.ndarray] = prediction
) -> Law:
    """The same with a rate sigma in each step at which drawn tokens are masked again."""
    law: Law = {start: 1.0}
    for (before, after), sigma in zip(itertools.pairwise(hidden), sigmas, strict=True):
        reveal = ((1 - after) - (1 - sigma) * (1 - before)) / before

        def options(state: State, reveal: float = reveal, sigma: float = sigma) -> Options:
            found: Options = []
            for position, token in enumerate(state):
                if token == MASK:
                    p = p_of(state)[position]
                    found.append({x: float(p[x] * reveal) for x in range(STATES)} | {MASK: 1 - reveal})
                else:
                    again = sigma if start[position] == MASK else 0.0
                    found.append({token: 1 - again, MASK: again})
            return found

        law = after_step(law, options)
    return law


def first_hitting_law(start: State, together: int) -> Law:
    """Sets of `together` masked positions, each as likely as any other."""
    law: Law = {start: 1.0}
    for first in range(0, len(masked(start)), together):
        size = min(together, len(masked(start)) - first)
        law = after_call(law, lambda state, size=size: list(itertools.combinations(masked(state), size)))
    return law


def confidence_law(start: State, left: Sequence[int], noises: Sequence[float]) -> Law:
    """All masked positions drawn; those kept are the first of log p + noise x Gumbel: a Plackett-Luce choice with
    weights p^(1/noise), without noise the most probable."""
    law: Law = {start: 1.0}
    for count, noise in zip(left, noises, strict=True):
        after: Law = {}
        for state, chance in law.items():
            places, p = masked(state), prediction(state)
            for tokens in itertools.product(range(STATES), repeat=len(places)):
                sure = {place: float(np.log(p[place, token])) for place, token in zip(places, tokens, strict=True)}
                joint = chance * math.exp(sum(sure.values()))
                for kept, share in kept_sets(sure, max(len(places) - count, 0), noise):
                    shown = {place: token for place, token in zip(places, tokens, strict=True) if place in kept}
                    key = tuple(shown.get(place, token) for place, token in enumerate(state))
                    after[key] = after.get(key, 0.0) + joint * share
        law = after
    return law


def kept_sets(sure: dict[int, float], count: int, noise: float) -> list[tuple[frozenset[int], float]]:
    if noise == 0 or count == len(sure):
        return [(frozenset(sorted(sure, key=lambda place: -sure[place])[:count]), 1.0)]
    found: dict[frozenset[int], float] = {}
    for order in itertools.permutations(sure, count):
        rest, chance = dict(sure), 1.0
        for place in order:
            chance *= math.exp(rest[place] / noise) / sum(math.exp(one / noise) for one in rest.values())
            del rest[place]
        found[frozenset(order)] = found.get(frozenset(order), 0.0) + chance
    return list(found.items())


def multi_scale_law(start: State, steps: int, temperature: float = 1.0, *, tilt_tempered: bool = False) -> Law:
    """The state-dependent process: token i becomes visible with p_i (1 - (s/t)^w_i), p tilted by t^w."""
    law: Law = {start: 1.0}
    for step in range(steps, 0, -1):
        tilt = POWERS * math.log(step / steps) / (temperature if tilt_tempered else 1.0)
        reveal = 1 - ((step - 1) / step) ** POWERS

        def options(state: State, tilt: np.ndarray = tilt, reveal: np.ndarray = reveal) -> Options:
            p = softmax(logits_of(state) / temperature + tilt) * reveal
            moves = [{x: float(row[x]) for x in range(STATES)} | {MASK: 1 - float(row.sum())} for row in p]
            return [move if token == MASK else {token: 1.0} for token, move in zip(state, moves, strict=True)]

        law = after_step(law, options)
    return law


def p_value(rows_BL: torch.Tensor, law: Law) -> float:
    """Chi-square of rows against a law; 0 where a row is impossible. Cells below 5 expected rows are one."""
    length, total = rows_BL.shape[1], len(rows_BL)
    cells = list(itertools.product(range(STATES), repeat=length))
    expected = np.array([law.get(cell, 0.0) for cell in cells]) * total
    assert expected.sum() == pytest.approx(total)
    if int(rows_BL.max()) >= STATES:
        return 0.0
    counts = np.bincount(rows_BL.numpy() @ (STATES ** np.arange(length)[::-1]), minlength=len(cells))
    if counts[expected < 1e-9 * total].any():
        return 0.0
    many, few = expected >= 5, (expected >= 1e-9 * total) & (expected < 5)
    observed, wanted = counts[many], expected[many]
    if expected[few].sum() >= 5:
        observed, wanted = np.append(observed, counts[few].sum()), np.append(wanted, expected[few].sum())
    return float(stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue)
