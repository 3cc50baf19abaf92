"""Gated DeltaNet against its recurrence and another implementation."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from architectures.delta_rule import delta_chunked, delta_reference
from architectures.gated_delta import GatedDeltaNet, unit


def inputs(length: int, harshness: float = 1.0, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Query, key, value, log decay and beta; keys of length 1."""
    generator = torch.Generator().manual_seed(length)
    query, key = (torch.randn(2, length, 3, 4, dtype=dtype, generator=generator) for _ in range(2))
    value = torch.randn(2, length, 3, 6, dtype=dtype, generator=generator)
    decay, beta = (torch.rand(2, length, 3, dtype=dtype, generator=generator) for _ in range(2))
    return [unit(query) / 2, unit(key), value, -harshness * decay, beta]


@pytest.mark.parametrize("length", [1, 16, 37, 100])
@pytest.mark.parametrize("harshness", [0.1, 30.0])
def test_chunks_equal_the_recurrence_with_gradients(length: int, harshness: float, relative: Any) -> None:
    results = []
    for run in (delta_reference, lambda *given: delta_chunked(*given)[0]):
        leaves = [one.requires_grad_() for one in inputs(length, harshness)]
        y = run(*leaves)
        weight = torch.linspace(-1, 1, y.numel()).view_as(y)
        results.append([y.detach(), *torch.autograd.grad((y * weight).sum(), leaves)])
    for expected, found in zip(*results, strict=True):
        assert bool(found.isfinite().all()) and relative(found, expected) < 1e-4


@pytest.mark.parametrize("chunk", [5, 8, 40])
def test_states_between_chunks_continue_the_recurrence(chunk: int, relative: Any) -> None:
    given = inputs(40, dtype=torch.float64)
    whole, states = delta_chunked(*given, chunk=chunk)
    assert len(states) == 40 // chunk + 1
    first, passed = delta_chunked(*(one[:, :chunk] for one in given), chunk=3)
    assert relative(passed[-1], states[1]) < 1e-12 and relative(first, whole[:, :chunk]) < 1e-12
    if chunk < 40:
        rest, _ = delta_chunked(*(one[:, chunk:] for one in given), states[1])
        assert relative(rest, whole[:, chunk:]) < 1e-12


def test_a_value_written_twice_at_full_strength_is_written_once() -> None:
    """With beta = 1 and no decay the state returns for a key of length 1 the value that was last written to it."""
    key = torch.eye(4, dtype=torch.float64)[[0, 1, 0, 1]][None, :, None]
    value = torch.tensor([[[1.0], [2.0], [3.0], [2.0]]], dtype=torch.float64)[..., None]
    ones = torch.ones(1, 4, 1, dtype=torch.float64)
    found, states = delta_chunked(key, key, value, 0 * ones, ones)
    assert found.flatten().tolist() == pytest.approx([1, 2, 3, 2], abs=1e-12)
    assert states[-1].flatten().tolist() == pytest.approx([3, 2, 0, 0], abs=1e-12)


def test_both_forms_of_transformers_agree(relative: Any) -> None:
    theirs = pytest.importorskip("transformers.models.qwen3_next.modeling_qwen3_next")
    query, key, value, log_decay, beta = inputs(70)
    found, states = delta_chunked(query, key, value, log_decay, beta)
    for name in ("torch_recurrent_gated_delta_rule", "torch_chunk_gated_delta_rule"):
        expected, last = getattr(theirs, name)(2 * query, key, value, log_decay, beta, output_final_state=True)
        assert relative(found, expected) < 1e-5 and relative(states[-1], last) < 1e-5  # theirs divides queries by 2


def test_sizes_are_those_published() -> None:
    """6 heads of 256 and 512 at width 2048, 6 D^2 parameters in the projections but for decays and betas."""
    with torch.device("meta"):
        mixer = GatedDeltaNet(2048)
    assert (mixer.heads, mixer.key_width, mixer.value_width) == (6, 256, 512)
    weights = {name: parameter.numel() for name, parameter in mixer.named_parameters()}
    assert weights["inward.weight"] + weights["outward.weight"] == 6 * 2048**2 + 12 * 2048
    assert sum(weights.values()) == 6 * 2048**2 + 12 * 2048 + 4 * 3 * 2048 + 12 + 512
