"""The law of every sampler on every schedule, whole and partly given rows, against its enumeration over states."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from sampler_laws import (
    DRAWS,
    LENGTH,
    MASK,
    OTHER,
    PAD,
    POWERS,
    SAME,
    STARTS,
    Law,
    State,
    confidence_law,
    denoise,
    first_hitting_law,
    hidden_shares,
    loop_shares,
    masked,
    multi_scale_law,
    p_value,
    prediction,
    remasking_law,
    reverse_law,
)

from bench.diffusion import AbsorbingDiffusion, MultiScaleDiffusion, generator_for
from bench.diffusion.schedule import SCHEDULES


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
