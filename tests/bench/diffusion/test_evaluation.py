"""bits/token against the exact likelihood of a known chain."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from bench.diffusion import AbsorbingDiffusion, DiffusionError, generator_for
from bench.diffusion.elbo import elbo_bits_per_token
from bench.diffusion.evaluation import (
    bits_of_scores,
    bits_per_token,
    evaluation_masks,
    scaled_nll,
    spread,
    window_scores,
)
from bench.diffusion.losses import elbo_weight
from bench.diffusion.schedule import SCHEDULES, Schedule


def all_masks(length: int) -> np.ndarray:
    return np.array(list(itertools.product([False, True], repeat=length)))


def nll_of_masks(chain, window: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Sum of -log2 p over the masked tokens for each mask, with the exact posterior."""
    never = torch.tensor([chain.mask_id, chain.pad_id])
    scale = np.ones((1, len(masks)))
    return scaled_nll(
        chain.denoise, window[None], masks[None], scale, mask_id=chain.mask_id, never=never, batch=256, device="cpu"
    )[0] / math.log(2)


def test_count_form_summed_over_all_counts_and_masks_is_the_exact_likelihood(chain) -> None:
    model = chain(states=3, length=6, flip=0.2)
    masks = all_masks(6)
    count = masks.sum(axis=1)
    for window in model.draw(4):
        sums = nll_of_masks(model, window, masks)
        by_count = [6 / k * sums[count == k].mean() for k in range(1, 7)]
        assert np.mean(by_count) == pytest.approx(model.bits(window[None]) * 6, abs=1e-5)


@pytest.mark.parametrize(("states", "flip"), [(2, 0.1), (3, 0.2), (4, 0.4)])
def test_estimate_holds_the_exact_value_in_its_interval(chain, states: int, flip: float) -> None:
    model = chain(states=states, length=8 if states < 4 else 5, flip=flip)
    windows = model.draw(64, seed=states)
    bits = bits_per_token(model.denoise, windows, mask_id=model.mask_id, pad_id=model.pad_id, draws=16, batch=64)
    assert bits.low < model.bits(windows) < bits.high
    assert bits.high - bits.low < 0.1 and (bits.n_windows, bits.n_draws) == (64, 16)


def test_value_is_the_sum_of_the_nats_of_windows_over_their_tokens(chain) -> None:
    model = chain(states=3, length=6, flip=0.2)
    windows = np.concatenate([model.draw(10), model.draw(1)])
    windows[4, 3:] = model.pad_id
    options = {"mask_id": model.mask_id, "pad_id": model.pad_id, "draws": 4}
    bits = bits_per_token(model.denoise, windows, max_windows=5, **options)
    assert bits.windows == (0, 2, 4, 6, 8) and bits.tokens == (6, 6, 3, 6, 6)
    assert bits.value == pytest.approx(sum(bits.nats) / 27 / math.log(2), rel=1e-14)
    alone = bits_per_token(model.denoise, windows[:1], **options)  # window 0 keeps its masks
    assert alone.nats[0] == pytest.approx(bits.nats[0], rel=1e-6)


def test_interval_covers_as_often_as_it_says(chain) -> None:
    model = chain(states=2, length=6, flip=0.1)
    windows = model.draw(12)
    exact, covered, values = model.bits(windows), 0, []
    for seed in range(200):
        bits = bits_per_token(
            model.denoise, windows, mask_id=model.mask_id, pad_id=model.pad_id, seed=seed, draws=8, batch=96
        )
        covered += bits.low < exact < bits.high
        values.append(bits.value)
    assert 0.90 <= covered / 200 <= 0.99
    assert abs(np.mean(values) - exact) < 3.5 * np.std(values) / math.sqrt(200)


def test_finite_steps_are_looser_by_the_shared_information_over_the_steps(chain) -> None:
    # two tokens, linear schedule: both are revealed in one of T steps with probability 1/T, and then their mutual
    # information 1 - h(flip) is lost
    model = chain(states=2, length=2, flip=0.1)
    exact = (1 + model.flip_bits) / 2
    for steps in (1, 2, 5, 50):
        assert enumerated_elbo(model, steps) == pytest.approx(exact + (1 - model.flip_bits) / steps / 2, abs=1e-6)


def binary_entropy(p: float) -> float:
    return 0.0 if p in (0.0, 1.0) else -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def entropy_between(flip: float, left: int, right: int) -> float:
    """H of a two-state chain's token given visible ones `left` and `right` moves away (0: none on that side)."""
    p, q = ((1 - (1 - 2 * flip) ** moves) / 2 if moves else 0.5 for moves in (left, right))
    same, other = (1 - p) * (1 - q) + p * q, (1 - p) * q + p * (1 - q)
    return same * binary_entropy(p * q / same) + other * binary_entropy(p * (1 - q) / other)


def elbo_on_paper(flip: float, length: int, steps: int) -> float:
    """T-step ELBO of the two-state chain, bits/token: (1/T) sum over t of H(token | nearest visible ones) at t/T."""
    total = 0.0
    for step in range(1, steps + 1):
        hidden = step / steps
        for i in range(length):
            for left in range(i + 1):  # 0: nothing visible to the left
                for right in range(length - i):
                    chance = hidden**i if not left else hidden ** (left - 1) * (1 - hidden)
                    chance *= hidden ** (length - 1 - i) if not right else hidden ** (right - 1) * (1 - hidden)
                    total += chance * entropy_between(flip, left, right)
    return total / steps / length


def test_how_loose_finite_steps_are_on_eight_tokens(chain) -> None:
    model = chain(states=2, length=8, flip=0.1)
    exact = (1 + 7 * model.flip_bits) / 8
    elbo = {steps: enumerated_elbo(model, steps) for steps in (1, 8, 64, 512)}
    loose = {steps: round(bits - exact, 4) for steps, bits in elbo.items()}
    print(f"T-step ELBO above the exact {exact:.4f} bits/token by {loose}")
    for steps in (1, 8, 64):
        assert elbo[steps] == pytest.approx(elbo_on_paper(0.1, 8, steps), abs=1e-5)
    assert elbo[1] == pytest.approx(1.0, abs=1e-6)  # one step draws all tokens alone
    assert loose == {1: 0.4646, 8: 0.0452, 64: 0.0054, 512: 0.0007}


@pytest.mark.parametrize("name", SCHEDULES)
def test_continuous_elbo_does_not_depend_on_the_schedule(chain, name: str) -> None:
    model = chain(states=2, length=2, flip=0.1)
    # in the hidden share r = 1 - alpha every schedule integrates the same function; substitute r and use Gauss
    schedule = Schedule(name)
    time = torch.linspace(0, 1, 200_001, dtype=torch.float64)[1:] - 0.5 / 200_000
    weight = elbo_weight(time, schedule, None)
    hidden = 1 - schedule.alpha(time)
    # hidden both: 2 bits; hidden one: h
    expected = (weight * (hidden**2 * 2 + 2 * hidden * (1 - hidden) * model.flip_bits)).mean().item()
    assert expected == pytest.approx(1 + model.flip_bits, rel=1e-3)


def test_elbo_estimate_agrees_with_its_enumeration(chain) -> None:
    model = chain(states=2, length=8, flip=0.1)
    windows = model.draw(2000, seed=3)
    process = AbsorbingDiffusion(model.mask_id, model.pad_id, steps=8, loss="elbo")
    bits = elbo_bits_per_token(model.denoise, windows, process, draws=4, batch=1000)
    by_row = np.array([nll_of_masks(model, row, all_masks(8)) for row in model.sequences.numpy()])
    expected = elbo_of_rows(by_row[windows @ (2 ** np.arange(8)[::-1])].mean(axis=0), 8, steps=8)
    assert bits.low < expected < bits.high and bits.high - bits.low < 0.05
    batch = torch.from_numpy(windows)
    while_training = [process.loss(model.denoise, batch, generator_for(i)).elbo_bits_per_token for i in range(3)]
    assert np.mean(while_training) == pytest.approx(expected, abs=0.03)


def enumerated_elbo(model, steps: int) -> float:
    """The exact T-step ELBO of the chain, bits a token: every sequence, every mask, every step."""
    masks = all_masks(model.length)
    sums = [nll_of_masks(model, sequence, masks) for sequence in model.sequences.numpy()]
    return elbo_of_rows(model.probabilities.numpy() @ np.array(sums), model.length, steps)


def elbo_of_rows(sums: np.ndarray, length: int, steps: int) -> float:
    """The T-step ELBO, bits a token, from the sum of -log2 p of each mask."""
    count = all_masks(length).sum(axis=1)
    time = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    weight = elbo_weight(time, Schedule(), steps).numpy() / steps
    chance = time.numpy()[:, None] ** count * (1 - time.numpy()[:, None]) ** (length - count)
    return float((weight[:, None] * chance * sums).sum() / length)


def test_all_arms_see_the_same_grid() -> None:
    windows = np.random.default_rng(0).integers(0, 4, (5, 12))
    windows[2, 7:] = 5
    seen: dict[str, list[torch.Tensor]] = {"zeros": [], "table": []}

    def recorded(name: str, logits: torch.Tensor):
        def denoise(tokens: torch.Tensor) -> torch.Tensor:
            seen[name].append(tokens.clone())
            return logits[tokens]

        return denoise

    for name, logits in (("zeros", torch.zeros(6, 6)), ("table", torch.randn(6, 6))):
        bits_per_token(recorded(name, logits), windows, mask_id=4, pad_id=5, batch=7)
    assert all(torch.equal(a, b) for a, b in zip(seen["zeros"], seen["table"], strict=True))
    rows = torch.cat(seen["zeros"])
    assert rows.shape == (40, 12)
    pads = torch.from_numpy(np.repeat(windows == 5, 8, axis=0))
    assert torch.equal(rows == 5, pads)  # PAD stays PAD, and stays visible
    counts = (rows == 4).sum(dim=1).view(5, 8)
    assert counts.min() >= 1 and (counts[2] <= 7).all()


def test_strata_give_each_part_of_the_counts_two_draws() -> None:
    counts = evaluation_masks(100, seed=0, window=3, draws=8).sum(axis=1)
    assert [(k - 1) // 25 for k in counts] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert set(evaluation_masks(1, seed=0, window=0, draws=4).sum(axis=1)) == {1}


def test_a_window_has_its_masks_whichever_others_are_evaluated(chain) -> None:
    model = chain(states=2, length=8, flip=0.1)
    windows = model.draw(6)
    some = {"mask_id": model.mask_id, "pad_id": model.pad_id}
    every = window_scores(model.denoise, windows, np.arange(6), **some)
    assert np.array_equal(window_scores(model.denoise, windows, np.array([1, 4]), **some), every[[1, 4]])
    assert np.allclose(window_scores(model.denoise, windows, np.arange(6), batch=5, **some), every)


def test_spread_is_even() -> None:
    assert spread(10, 5).tolist() == [0, 2, 4, 6, 8]
    assert spread(3, None).tolist() == spread(3, 9).tolist() == [0, 1, 2]


def test_errors_name_what_is_wrong() -> None:
    windows = np.zeros((2, 4), dtype=np.uint16)

    def run(windows: np.ndarray = windows, **options: object) -> None:
        bits_per_token(lambda x: torch.zeros(*x.shape, 3), windows, mask_id=1, pad_id=2, **options)

    with pytest.raises(DiffusionError, match="draws: 3 draws a window; allowed: an even number"):
        run(draws=3)
    with pytest.raises(DiffusionError, match="without time input"):
        run(time_input=True)
    with pytest.raises(DiffusionError, match="no validation windows"):
        run(windows[:0])
    with pytest.raises(DiffusionError, match="nothing but PAD"):
        run(np.full((1, 4), 2))


def test_a_process_without_a_window_adds_nothing(chain) -> None:
    """As the second of two processes where one window is evaluated."""
    windows = chain().draw(2)

    def score(chosen: np.ndarray) -> np.ndarray:
        assert len(chosen)
        return np.ones((len(chosen), 2))

    whole = {"pad_id": 0, "draws": 2, "total": lambda scores: scores}
    assert bits_of_scores(score, windows, np.array([1]), mine=slice(0, 1), **whole).value > 0
    assert bits_of_scores(score, windows, np.array([1]), mine=slice(1, 2), **whole).value == 0
