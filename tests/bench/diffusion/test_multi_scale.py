"""The state-dependent process on small chains: its bound by brute force over trajectories, and its sampler's law."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from bench.diffusion import AbsorbingDiffusion, DiffusionError, generator_for
from bench.diffusion.elbo import elbo_bits_per_token
from bench.diffusion.losses import elbo_weight, loss_weight
from bench.diffusion.multi_scale import MultiScaleDiffusion
from bench.diffusion.noised import Noised
from bench.diffusion.token_powers import POWERS, power_names, token_powers

STATES, LENGTH, STEPS = 3, 3, 3
MASK, PAD = 3, 4
POWERS_OF_STATES = [4.0, 1.0, 0.4]
SEQUENCES = np.array(list(itertools.product(range(STATES), repeat=LENGTH)))


def process(**options: object) -> MultiScaleDiffusion:
    return MultiScaleDiffusion(MASK, PAD, [*POWERS_OF_STATES, 1.0, 1.0], **{"steps": STEPS, "loss": "elbo"} | options)


@pytest.fixture(scope="module")
def table() -> torch.Tensor:
    """Logits of an arbitrary denoiser: one for each partly masked sequence."""
    return torch.randn(4**LENGTH, LENGTH, 5, generator=generator_for("denoiser"))


def denoiser(table: torch.Tensor):
    return lambda tokens: table[tokens @ torch.tensor([16, 4, 1])]


def prediction(table: torch.Tensor, tokens: tuple[int, ...], time: float) -> np.ndarray:
    """mu (L, states): the softmax of logits + w log t over what may be drawn."""
    logits = table[np.dot(tokens, [16, 4, 1])][:, :STATES].double().numpy() + np.array(POWERS_OF_STATES) * math.log(
        time
    )
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def model_step(table: torch.Tensor, before: tuple[int, ...], step: int) -> list[dict[int, float]]:
    """For each position the chance of each state after the step from t = step / T, by the class's own words."""
    mu, powers = prediction(table, before, step / STEPS), np.array(POWERS_OF_STATES)
    reveal = 1 - ((step - 1) / step) ** powers
    options = []
    for position, token in enumerate(before):
        if token != MASK:
            options.append({token: 1.0})
            continue
        chances = {state: float(mu[position, state] * reveal[state]) for state in range(STATES)}
        options.append(chances | {MASK: 1 - sum(chances.values())})
    return options


def elbo_by_trajectories(table: torch.Tensor, clean: np.ndarray) -> float:
    """E_q[log p(x_0..x_T) - log q(x_1..x_T | x_0)], nats, over every step at which each token may be masked."""
    total = 0.0
    for masked_at in itertools.product(range(1, STEPS + 1), repeat=LENGTH):
        powers = np.array(POWERS_OF_STATES)[clean]
        chance = np.prod([(m / STEPS) ** w - ((m - 1) / STEPS) ** w for m, w in zip(masked_at, powers, strict=True)])
        log_model = 0.0
        for step in range(STEPS, 0, -1):
            before = tuple(MASK if m <= step else int(x) for m, x in zip(masked_at, clean, strict=True))
            after = tuple(MASK if m <= step - 1 else int(x) for m, x in zip(masked_at, clean, strict=True))
            log_model += sum(math.log(o[a]) for o, a in zip(model_step(table, before, step), after, strict=True))
        total += chance * (log_model - math.log(chance))
    return total


def enumerated_loss(diffusion: AbsorbingDiffusion, denoise, clean: np.ndarray, hidden) -> float:
    """The expectation of `elbo_bits_per_token` over times and masks; nats a sequence."""
    total = 0.0
    for step, mask in itertools.product(range(1, diffusion.steps + 1), itertools.product([False, True], repeat=LENGTH)):
        masked, time = torch.tensor([mask]), torch.tensor([step / diffusion.steps], dtype=torch.float64)
        if not any(mask):
            continue
        shares = hidden(step / diffusion.steps)
        chance = np.prod([h if m else 1 - h for h, m in zip(shares, mask, strict=True)])
        x0 = torch.from_numpy(clean)[None]
        noised = Noised(
            tokens_BL=x0.masked_fill(masked, MASK), clean_BL=x0, masked_BL=masked, time_B=time,
            weight_B=loss_weight(diffusion.loss_name, time, diffusion.schedule, diffusion.steps),
            elbo_weight_B=elbo_weight(time, diffusion.schedule, diffusion.steps),
            normaliser=LENGTH, token_count=LENGTH, masked_count=int(masked.sum()),
        )  # fmt: skip
        bits = diffusion.loss_of(denoise, noised).elbo_bits_per_token.item()
        total += chance / diffusion.steps * bits * LENGTH * math.log(2)
    return total


def own_shares(clean: np.ndarray):
    return lambda time: time ** np.array(POWERS_OF_STATES)[clean]


def law(table: torch.Tensor) -> np.ndarray:
    """Exact law of the sampler over SEQUENCES."""
    states = {(MASK,) * LENGTH: 1.0}
    for step in range(STEPS, 0, -1):
        after: dict[tuple[int, ...], float] = {}
        for before, chance in states.items():
            options = model_step(table, before, step)
            for choice in itertools.product(*(option.items() for option in options)):
                key = tuple(token for token, _ in choice)
                after[key] = after.get(key, 0.0) + chance * math.prod(p for _, p in choice)
        states = after
    return np.array([states[tuple(row)] for row in SEQUENCES.tolist()])


def test_the_loss_is_the_elbo_of_every_trajectory(table: torch.Tensor) -> None:
    for clean in SEQUENCES[[0, 5, 7, 13, 22, 26]]:
        found = enumerated_loss(process(), denoiser(table), clean, own_shares(clean))
        assert found == pytest.approx(-elbo_by_trajectories(table, clean), rel=1e-5)


def test_the_bound_is_above_the_likelihood_of_the_sampler(table: torch.Tensor) -> None:
    exact = -np.log(law(table))
    assert np.exp(-exact).sum() == pytest.approx(1)
    bounds = np.array([enumerated_loss(process(), denoiser(table), c, own_shares(c)) for c in SEQUENCES])
    assert (bounds > exact).all() and (bounds - exact).mean() < 0.5 * exact.mean()


def test_the_estimate_agrees_with_the_enumeration(table: torch.Tensor) -> None:
    windows = np.repeat(SEQUENCES, 30, axis=0)
    bits = elbo_bits_per_token(denoiser(table), windows, process(), draws=8)
    exact = np.mean([enumerated_loss(process(), denoiser(table), c, own_shares(c)) for c in SEQUENCES])
    exact /= LENGTH * math.log(2)
    assert bits.low < exact < bits.high and bits.high - bits.low < 0.1 * exact


def test_padding_does_not_count() -> None:
    windows = np.array([[0, 1, 2], [2, 2, 0]])
    padded = np.concatenate([windows, np.full((2, 5), PAD)], axis=1)
    diffusion = process(steps=1)  # everything that counts is hidden: no chance is left
    flat = [elbo_bits_per_token(lambda x: torch.zeros(*x.shape, 5), rows, diffusion) for rows in (windows, padded)]
    assert flat[0].value == pytest.approx(math.log2(3), rel=1e-6) and flat[1].value == pytest.approx(
        math.log2(3), rel=1e-6
    )


@pytest.mark.parametrize("steps", [1, 4, None])
def test_for_one_token_the_exact_logits_reach_the_entropy(steps: int | None) -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    diffusion = process(steps=steps, loss="mdlm" if steps is None else "elbo")
    logits = torch.cat((probabilities.log(), torch.tensor([5.0, 5.0])))
    if steps is None:  # a grid that is fine where t^(w - 1) is steep
        u = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
        time, weight = u**5, 5 * u**4 / 20_000
    else:
        time, weight = torch.arange(1, steps + 1, dtype=torch.float64) / steps, torch.full((steps,), 1 / steps)
    total = 0.0
    for state, power in enumerate(POWERS_OF_STATES):
        clean = torch.full((len(time), 1), state)
        terms = diffusion.terms(logits.expand(len(time), 1, 5), clean, clean == state, time)
        total += float(probabilities[state] * (weight * time**power * terms.divergence_N).sum())
    entropy = -float((probabilities * probabilities.log()).sum())
    assert total == pytest.approx(entropy, rel=2e-3 if steps is None else 1e-5)


def test_the_plain_elbo_with_these_masks_bounds_nothing() -> None:
    """Masks that come late say what is hidden: with the plain weights the exact posterior 'needs' less than a bit."""
    powers = torch.tensor([8.0, 0.1])
    time = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    posterior = time[:, None] ** powers / (time[:, None] ** powers).sum(dim=1, keepdim=True)  # two tokens, 1/2 each
    plain = (0.5 * time[:, None] ** powers / time[:, None] * -posterior.log2()).sum(dim=1).mean()
    own = 0.5 * time[:, None] ** powers / time[:, None] * (
        -powers * posterior.log2() + ((posterior @ powers.double())[:, None] - powers) / math.log(2)
    )  # fmt: skip
    assert plain < 0.3 < 1.0 == pytest.approx(own.sum(dim=1).mean().item(), abs=0.01)


@pytest.mark.parametrize("loss", ["elbo", "reweighted_elbo", "mdlm"])
def test_equal_powers_are_the_uniform_process(loss: str) -> None:
    steps = None if loss == "mdlm" else 20
    network = torch.nn.Embedding(9, 9)
    torch.nn.init.normal_(network.weight, generator=generator_for("weights"))
    x0 = torch.randint(0, 7, (16, 40), generator=generator_for("tokens"))
    one = MultiScaleDiffusion(7, 8, [1.0] * 9, steps=steps, loss=loss).loss(network, x0, generator_for("noise"))
    other = AbsorbingDiffusion(7, 8, steps=steps, loss=loss).loss(network, x0, generator_for("noise"))
    for name in ("loss", "elbo_bits_per_token", "masked_cross_entropy"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=2e-5, atol=0)
    assert one.masked_count == other.masked_count


def test_many_steps_are_continuous_time_and_gradients_are_finite() -> None:
    x0 = torch.randint(0, 7, (64, 40), generator=generator_for("tokens"))
    powers = [8.0, 5.0, 3.0, 1.5, 1.0, 0.6, 0.5, 1.0, 1.0]
    logits = torch.randn(9, generator=generator_for("logits"), requires_grad=True)
    masked = torch.rand(x0.shape, generator=generator_for("mask")) < 0.5
    time = torch.linspace(0.05, 1, 64, dtype=torch.float64).mul(20_000).round() / 20_000
    terms = [
        MultiScaleDiffusion(7, 8, powers, steps=steps, loss=loss).terms(logits.expand(*x0.shape, 9), x0, masked, time)
        for steps, loss in ((20_000, "elbo"), (None, "mdlm"))
    ]
    torch.testing.assert_close(terms[0].divergence_N.mean(), terms[1].divergence_N.mean(), rtol=5e-3, atol=0)
    first = MultiScaleDiffusion(7, 8, powers, steps=4, loss="elbo").terms(
        logits.expand(*x0.shape, 9), x0, masked, torch.full((64,), 0.25, dtype=torch.float64)
    )
    (gradient,) = torch.autograd.grad(first.divergence_N.sum(), logits)
    assert torch.isfinite(gradient).all() and torch.allclose(first.divergence_N, 4 * first.nll_N)


def test_powers_by_type_and_metrical_level() -> None:
    words = [
        "PAD_None",
        "Bar_None",
        "Pitch_60",
        "Position_0",
        "Position_8",
        "Position_4",
        "Position_3",
        "Duration_1.0.8",
    ]
    assert power_names(words, 8) == [
        "PAD", "Bar", "Pitch", "Position/bar", "Position/beat", "Position/half", "Position/other", "Duration",
    ]  # fmt: skip
    assert power_names(["Position_3", "Position_4"], 3) == ["Position/beat", "Position/other"]
    powers = token_powers(words, 8)
    assert powers[1] > powers[3] > powers[4] > powers[5] > powers[6] > powers[2] > powers[0] == 1.0 > powers[7]
    changed = token_powers(words, 8, {"Position": 2.0, "Pitch": 9.0})
    assert changed[3:7] == [2.0] * 4 and changed[2] == 9.0 and changed[1] == POWERS["Bar"]


def test_errors_name_the_setting() -> None:
    for call, message in (
        (lambda: token_powers([], 8, {"Note": 1.0}), "powers: 'Note' is no token type; allowed: Bar, TimeSig"),
        (lambda: token_powers([], 8, {"Bar": 0.0}), "powers.Bar: 0.0 is not allowed"),
        (lambda: MultiScaleDiffusion(3, 4, [1.0, -1.0]), "powers: one number above 0"),
        (
            lambda: process().sample(
                lambda x: x, length=2, count=1, generator=generator_for(0), sampler="first-hitting"
            ),
            "sampler: 'first-hitting' does not follow a multi-scale schedule; allowed: ancestral, cached",
        ),
    ):
        with pytest.raises(DiffusionError, match=message):
            call()


@pytest.mark.parametrize("power", [1.0, 0.05, 0.01])
@pytest.mark.parametrize("steps", [1, 4])
def test_a_power_near_zero_leaves_the_bound_above_the_true_figure(power: float, steps: int) -> None:
    """Uniform over four tokens, which costs 2 bits whatever is visible."""
    process = MultiScaleDiffusion(1, 0, [1.0, 1.0] + [power] * 4, steps=steps)
    windows = np.array([[2, 3, 4, 5]] * 8)
    found = elbo_bits_per_token(lambda x: torch.zeros(*x.shape, 6), windows, process, draws=256, batch=256)
    assert found.high > 1.99
