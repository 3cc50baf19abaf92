"""Schedules against their formulas, and the reverse process against Bayes' rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench.diffusion import DiffusionError
from bench.diffusion.schedule import SCHEDULES, Schedule


@pytest.mark.parametrize("name", SCHEDULES)
def test_visible_at_the_start_hidden_at_the_end(name: str) -> None:
    ends = Schedule(name).alpha(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert ends.tolist() == pytest.approx([1.0, 0.0], abs=1e-12)
    grid = Schedule(name).grid(7)
    assert grid[0] == 1.0 and grid[-1] == 0.0 and bool((grid.diff() < 0).all())


def test_known_values() -> None:
    half = torch.tensor([0.5], dtype=torch.float64)
    assert Schedule("linear").alpha(half).item() == 0.5
    assert Schedule("cosine").alpha(half).item() == pytest.approx(1 - math.sqrt(0.5), abs=1e-12)
    assert Schedule("geometric").alpha(half).item() == pytest.approx(math.exp(-math.sqrt(2e-4)), abs=2e-5)


@pytest.mark.parametrize("name", SCHEDULES)
def test_slope_is_the_derivative(name: str) -> None:
    time = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    schedule, h = Schedule(name), 1e-6
    numeric = (schedule.alpha(time + h) - schedule.alpha(time - h)) / (2 * h)
    assert torch.allclose(schedule.slope(time), numeric, rtol=1e-5, atol=1e-8)


def test_reveal_probability_is_the_posterior_of_a_two_token_vocabulary() -> None:
    steps = 5
    beta = [1 / (steps - t + 1) for t in range(1, steps + 1)]  # Austin et al. 2021: token -> MASK at step t
    one_step = [np.array([[1 - b, 0, b], [0, 1 - b, b], [0, 0, 1]]) for b in beta]
    grid = Schedule("linear").grid(steps)
    to_here = np.eye(3)
    for t in range(1, steps + 1):
        before, to_here = to_here, to_here @ one_step[t - 1]
        # q(x_(t-1) = 0 | x_t = MASK, x_0 = 0) by Bayes
        posterior = before[0, 0] * one_step[t - 1][0, 2] / to_here[0, 2]
        reveal = (grid[t - 1] - grid[t]) / (1 - grid[t])
        assert reveal.item() == pytest.approx(posterior, abs=1e-12)
        assert reveal.item() == pytest.approx(1 / t, abs=1e-12)


def test_errors_name_the_setting() -> None:
    with pytest.raises(DiffusionError, match="schedule: 'square' is not known; allowed: linear, cosine, geometric"):
        Schedule("square")
    with pytest.raises(DiffusionError, match="steps: 0 diffusion steps"):
        Schedule().grid(0)
