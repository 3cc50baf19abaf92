"""Soft constraints: their formulas by hand and by enumeration, and that training feels them."""

import itertools

import numpy as np
import pytest
import torch

from bench.diffusion import AbsorbingDiffusion, DiffusionError, generator_for
from bench.diffusion.regularisers import Regulariser, RegulariserChoice, notes_since_onset, regularised_loss

WORDS = ["PAD_None", "MASK_None", "Bar_None", "Position_0", "Pitch_60", "Pitch_90", "Velocity_64"]
PAD, MASK, BAR, POSITION, LOW, HIGH, VELOCITY = range(7)


def penalty(words: str) -> Regulariser:
    built = RegulariserChoice.parse(words).build(WORDS, lambda: (50, 70))
    assert built is not None
    return built


def test_pitch_penalty_is_the_mass_outside_the_range_where_tokens_are_hidden() -> None:
    logits = torch.zeros(1, 3, len(WORDS))
    logits[..., HIGH] = np.log(2.0)  # 2 of 6 shares, since PAD and MASK have none
    masked = torch.tensor([[True, False, True]])
    tokens = torch.tensor([[MASK, HIGH, MASK]])
    assert float(penalty("pitch=3")(logits, tokens, masked)) == pytest.approx(3 * (1 / 3 + 1 / 3))


def test_notes_since_onset_are_their_expectation() -> None:
    random = np.random.default_rng(0)
    share = random.dirichlet(np.ones(3), size=6)  # other, pitch, onset at each of six places
    expected = np.zeros(6)
    for outcome in itertools.product(range(3), repeat=6):
        probability, count = np.prod([share[i, kind] for i, kind in enumerate(outcome)]), 0
        for place, kind in enumerate(outcome):
            count = 0 if kind == 2 else count + (kind == 1)
            expected[place] += probability * count
    found = notes_since_onset(torch.tensor(share[None, :, 1]), torch.tensor(share[None, :, 2]))
    assert found[0].tolist() == pytest.approx(expected.tolist())


def test_chord_penalty_counts_visible_notes_and_starts_again_at_an_onset() -> None:
    logits = torch.full((1, 5, len(WORDS)), -100.0)
    logits[..., LOW] = 0.0  # a hidden token is surely a note
    masked = torch.tensor([[False, False, True, False, True]])
    tokens = torch.tensor([[POSITION, LOW, MASK, BAR, MASK]])
    assert float(penalty("chord=1:2")(logits, tokens, masked)) == pytest.approx(2 * (2 - 1))


def test_the_loss_gains_the_penalty_a_masked_token_and_the_bound_does_not() -> None:
    process = AbsorbingDiffusion(MASK, PAD, steps=10)
    noised = process.noise(torch.randint(2, 7, (4, 16), generator=torch.manual_seed(0)), generator_for(0, "noise"))
    logits = torch.randn(4, 16, len(WORDS), generator=torch.manual_seed(1))
    plain = process.loss_of(lambda _: logits, noised)
    soft = regularised_loss(process, penalty("pitch=1"), lambda _: logits, noised)
    shares = logits[..., 2:].softmax(-1)[..., HIGH - 2]
    assert float(soft.loss - plain.loss) == pytest.approx(float(shares[noised.masked_BL].mean()), rel=1e-5)
    assert float(soft.elbo_bits_per_token) == float(plain.elbo_bits_per_token)
    halves = [
        regularised_loss(process, penalty("pitch=1"), lambda _, r=rows: logits[r], noised.rows(rows)).loss
        for rows in (slice(0, 2), slice(2, 4))
    ]
    assert float(sum(halves)) == pytest.approx(float(soft.loss), rel=1e-5)


def test_the_gradient_moves_mass_into_the_range_and_off_full_chords() -> None:
    logits = torch.zeros(1, 4, len(WORDS), requires_grad=True)
    tokens = torch.tensor([[LOW, MASK, MASK, MASK]])
    masked = tokens == MASK
    penalty("pitch=1+chord=1:1")(logits, tokens, masked).backward()
    gradient = logits.grad
    assert gradient is not None
    assert (gradient[0, 1:, HIGH] > 0).all()
    assert (gradient[0, 1:, POSITION] < 0).all()
    assert (gradient[0, 0] == 0).all()


@pytest.mark.parametrize(
    "words", ["pitch", "chord=4", "chord=0:1", "pitch=-1", "pitch=1+pitch=2", "none+pitch=1", "tempo=1"]
)
def test_choices_that_cannot_be_used_are_one_line(words: str) -> None:
    with pytest.raises(DiffusionError, match=r"regularisers: .* cannot be used; allowed: none, or pitch=WEIGHT"):
        RegulariserChoice.parse(words)


def test_none_builds_nothing_and_asks_for_no_range() -> None:
    assert RegulariserChoice.parse("none").build(WORDS, lambda: pytest.fail("asked")) is None
    assert RegulariserChoice.parse("chord=4:1").build(WORDS, lambda: pytest.fail("asked")) is not None
