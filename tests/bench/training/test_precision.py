"""Precision of training steps and of evaluations, each its own, compiled or not."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn


class Seen(nn.Module):
    """A table of logits by a matrix product, and the types that it was in."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(8, 16), nn.Linear(16, 8)
        self.seen: list[tuple[bool, torch.dtype]] = []

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.embed(tokens))
        self.seen.append((self.training, logits.dtype))
        return logits


@pytest.mark.parametrize("compiled", [False, True])
def test_what_is_trained_in_bfloat16_is_evaluated_in_the_same_precision_as_all_arms(
    run, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    common = {"precision": "bfloat16", "compile": compiled, "steps": 6, "validations": 2}
    torch.manual_seed(0)
    result, network = run(network=Seen(), **common)
    assert set(network.seen) == {(True, torch.bfloat16), (False, torch.float32)}
    assert network(torch.zeros(1, 24).long()).dtype == torch.float32  # after the training, by its own forward pass
    torch.manual_seed(0)
    half, other = run(folder="half", network=Seen(), evaluation_precision="bfloat16", **common)
    assert set(other.seen) == {(True, torch.bfloat16), (False, torch.bfloat16)}
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
    assert 0 < abs(half.validation.value - result.validation.value) < 0.01


def test_compiled_or_not_the_figures_are_those_of_one_network(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    found = []
    for compiled in (False, True):
        torch.manual_seed(0)
        result, _ = run(folder=str(compiled), network=Seen(), precision="bfloat16", compile=compiled, steps=6)
        found.append(result.validation.value)
    assert found[0] == pytest.approx(found[1], abs=1e-5)
