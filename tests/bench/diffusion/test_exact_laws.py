"""The law of every sampler on every schedule, whole and partly given rows, against its enumeration over states.

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

from bench.diffusion import AbsorbingDiffusion, MultiScaleDiffusion, generator_for
from bench.diffusion.schedule import SCHEDULES

STATES, LENGTH = 3, 3
MASK, PAD = 3, 4
DRAWS = 100_000
SAME, OTHER = 1e-3, 1e-6  # p-values: a law that fits, a law that is seen not to
TABLE = torch.randn(4**LENGTH, LENGTH, STATES + 2, generator=generator_for("table"), dtype=torch.float64)
TABLE[..., STATES:] += 3.0  # MASK and PAD are likely, and never drawn
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


def holds(
    sampler: str,
    law: Callable[[State], Law],
    other: Callable[[State], Law] | None = None,
    *,
    process: AbsorbingDiffusion | None = None,
    starts: Sequence[State] = STARTS,
    nfe: Sequence[int] | None = None,
    **settings: object,
) -> None:
    """Assert the law of each start, all drawn in one batch; that another law is seen; and the calls of each row."""
    rows_BL = torch.tensor(starts).repeat_interleave(DRAWS, dim=0)
    process = process or AbsorbingDiffusion(MASK, PAD)
    sample = process.fill(
        denoise, rows_BL, sampler=sampler, generator=generator_for(sampler, str(settings)), **settings
    )
    for index, start in enumerate(starts):
        part_BL = sample.tokens_BL[index * DRAWS : (index + 1) * DRAWS]
        assert p_value(part_BL, law(start)) > SAME
        if other is not None:
            assert p_value(part_BL, other(start)) < OTHER
    if nfe is not None:
        assert [set(sample.nfe[i * DRAWS : (i + 1) * DRAWS]) for i in range(len(starts))] == [{one} for one in nfe]


def of_schedule(schedule: str) -> AbsorbingDiffusion:
    return AbsorbingDiffusion(MASK, PAD, schedule=schedule)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sampler", ["ancestral", "cached"])
def test_the_reverse_process(sampler: str, schedule: str) -> None:
    holds(
        sampler,
        lambda start: reverse_law(start, hidden_shares(schedule, 3)),
        lambda start: reverse_law(start, hidden_shares("cosine" if schedule == "linear" else "linear", 3)),
        process=of_schedule(schedule), steps=3, nfe=(3, 3) if sampler == "ancestral" else None,
    )  # fmt: skip


def nucleus(state: State, *, temperature_first: bool) -> np.ndarray:
    """The prediction at temperature 0.6, cut to the most likely tokens that first reach 0.75."""
    p = prediction(state, 0.6)
    asked = p if temperature_first else prediction(state)
    order = np.argsort(-asked, axis=1)
    ordered = np.take_along_axis(asked, order, axis=1)
    before = np.take_along_axis(ordered.cumsum(axis=1) - ordered, np.argsort(order, axis=1), axis=1)
    cut = np.where(before < 0.75, p, 0.0)
    return cut / cut.sum(axis=1, keepdims=True)


def test_temperature_comes_before_the_nucleus() -> None:
    hidden = hidden_shares("linear", 2)
    holds(
        "cached",
        lambda start: reverse_law(start, hidden, lambda state: nucleus(state, temperature_first=True)),
        lambda start: reverse_law(start, hidden, lambda state: nucleus(state, temperature_first=False)),
        steps=2, temperature=0.6, top_p=0.75,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "together", "schedule"),
    [
        ({"per_call": 1}, (1, 1), "linear"),
        ({"per_call": 2}, (2, 2), "linear"),
        *(({"steps": 2}, (2, 1), schedule) for schedule in SCHEDULES),
    ],
)
def test_first_hitting(settings: dict[str, int], together: tuple[int, int], schedule: str) -> None:
    by_start = dict(zip(STARTS, together, strict=True))
    holds(
        "first-hitting",
        lambda start: first_hitting_law(start, by_start[start]),
        lambda start: first_hitting_law(start, 3 - by_start[start]),
        process=of_schedule(schedule), nfe=[-(-len(masked(one)) // k) for one, k in by_start.items()], **settings,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("schedule", "left"), [(None, (2, 0)), ("cosine", (2, 0)), ("linear", (1, 0)), ("geometric", (1, 0))]
)
def test_confidence_on_its_own_schedule(schedule: str | None, left: tuple[int, ...]) -> None:
    """The floors of 3 cos(pi/4) = 2.1 and 3/2, and a position kept for the last step; whatever the process's is."""
    process = of_schedule("linear" if schedule != "linear" else "cosine")
    settings = {} if schedule is None else {"schedule": schedule}
    holds(
        "confidence",
        lambda start: confidence_law(start, left if start == STARTS[0] else (1, 0), (4.5 / 2, 0.0)),
        lambda start: confidence_law(start, left if start == STARTS[0] else (1, 0), (0.0, 0.0)),
        process=process, steps=2, nfe=(2, 2), **settings,
    )  # fmt: skip


@pytest.mark.parametrize("temperature", [0.8, 0.0])
def test_confidence_is_annealed_from_noise_to_none(temperature: float) -> None:
    def law(start: State, noises: Sequence[float]) -> Law:
        left = range(len(masked(start)) - 1, -1, -1)
        return confidence_law(start, left, [temperature * noise for noise in noises[: len(left)]])

    holds(
        "confidence",
        lambda start: law(start, (2 / 3, 1 / 3, 0.0)),
        (lambda start: law(start, (1 / 3, 2 / 3, 1.0))) if temperature else None,
        steps=3, choice_temperature=temperature, nfe=(3, 2),
    )  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("remasking", ["cap", "rescale"])
def test_remasking(remasking: str, schedule: str) -> None:
    hidden, eta = hidden_shares(schedule, 3), 0.3
    most = [1.0, *(min(1.0, after / (1 - before)) for before, after in itertools.pairwise(hidden[1:]))]
    sigmas = [eta * one if remasking == "rescale" else min(eta, one) for one in most]
    holds(
        "remask",
        lambda start: remasking_law(start, hidden, sigmas),
        None if schedule == "geometric" else lambda start: reverse_law(start, hidden),  # 0.1 % masked: sigma is small
        process=of_schedule(schedule), steps=3, remasking=remasking, eta=eta,
    )  # fmt: skip


def test_the_loop_remasks_only_while_the_share_is_level() -> None:
    steps, eta = 6, 0.08  # level from t = 1/2 to 1/6, where sigma is at most 0.1/0.9
    holds(
        "remask",
        lambda start: remasking_law(start, loop_shares(steps), [0.0, 0.0, 0.0, eta, eta, 0.0]),
        lambda start: remasking_law(start, loop_shares(steps), [0.0, 0.0, 0.0, eta / 2, eta / 2, 0.0]),
        process=of_schedule("cosine"), steps=steps, remasking="loop", eta=eta,
    )  # fmt: skip


@pytest.mark.parametrize("sampler", ["ancestral", "cached"])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_multi_scale_process(sampler: str, temperature: float) -> None:
    tempered = temperature != 1.0
    holds(
        sampler,
        lambda start: multi_scale_law(start, 3, temperature),
        (lambda start: multi_scale_law(start, 3, temperature, tilt_tempered=True)) if tempered else None,
        process=MultiScaleDiffusion(MASK, PAD, [*POWERS, 1.0, 1.0]), steps=3, temperature=temperature,
        nfe=(3, 3) if sampler == "ancestral" else None,
    )  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_windows(schedule: str) -> None:
    """Windows 0-3 and 1-4 of four tokens: three steps for the first, one for the new token of the second."""

    def law(start: State, steps: int = 3) -> Law:
        found: Law = {}
        for first, chance in reverse_law(start[:LENGTH], hidden_shares(schedule, steps)).items():
            for second, share in reverse_law((*first[1:], start[LENGTH]), [1.0, 0.0]).items():
                found[first[0], *second] = found.get((first[0], *second), 0.0) + chance * share
        return found

    holds(
        "semi-autoregressive", law, lambda start: law(start, 1), starts=((MASK,) * 4, (2, MASK, MASK, MASK)),
        process=of_schedule(schedule), steps=3, window=3, overlap=1,
    )  # fmt: skip
