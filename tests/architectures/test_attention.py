"""Attention against masks and closed forms."""

from __future__ import annotations

import pytest
import torch

from architectures import attention, build
from architectures.attention import Attention
from architectures.attention_kernels import attend
from architectures.rotary import ONE_THREAD, rotary_table, rotate, rotate_both


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("width", "heads", "features"),
    [
        (256, 8, 32),
        (248, 8, 32),
        (272, 8, 32),
        (216, 7, 32),
        (40, 1, 32),
        (32, 1, 32),
        (28, 1, 32),
        (16, 1, 16),
        (6, 1, 8),
    ],
)
def test_heads_follow_the_width(width, heads, features):
    mixer = Attention(width, head_width=32)
    assert (mixer.heads, mixer.head_width) == (heads, features)


def test_windowed_attention_equals_a_mask():
    for causal in (False, True):
        mixer = Attention(32, window=6, head_width=16, causal=causal)
        for length in (20, 31, 64):
            assert mixer.chunks(length) > 1
            x = torch.randn(2, length, 32)
            place = torch.arange(length)
            distance = place[:, None] - place[None, :]
            mask = (distance <= 6) & (distance >= (0 if causal else -6))
            query, key, value = mixer.inward(x).view(2, length, 3, 2, 16).permute(2, 0, 3, 1, 4)
            scores = rotate(query, rotary_table(query)) @ rotate(key, rotary_table(key)).transpose(-1, -2) / 4.0
            weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=-1)
            expected = mixer.outward((weights @ value).transpose(1, 2).reshape(2, length, 32))
            torch.testing.assert_close(mixer(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("amx", [False, True])
def test_a_cpu_without_amx_rounds_bfloat16_attention_once(amx, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    inputs = [torch.randn(1, 2, 40, 8).bfloat16() for _ in range(3)]
    exact = torch.nn.functional.scaled_dot_product_attention(*(one.float() for one in inputs))
    with torch.autocast("cpu", torch.bfloat16):
        found = attend(*inputs)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, exact.bfloat16()) is not amx


def test_a_window_makes_attention_linear_in_the_length():
    mixer = Attention(32, window=16)
    assert mixer.flops(2048).attention == 2 * mixer.flops(1024).attention == 4 * 2048 * 48 * 32


def test_rotary_scores_depend_on_the_distance_only():
    query, key = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)
    table = rotary_table(query.expand(1, 1, 30, 8))
    turned_q, turned_k = rotate(query.expand(1, 1, 30, 8), table), rotate(key.expand(1, 1, 30, 8), table)
    scores = (turned_q @ turned_k.transpose(-1, -2))[0, 0]
    torch.testing.assert_close(scores[:-1, :-1], scores[1:, 1:], rtol=1e-4, atol=1e-5)
    assert torch.allclose(torch.diagonal(scores), (query * key).sum(), atol=1e-5)


@pytest.mark.parametrize("length", [64, 65])
def test_queries_and_keys_rotated_at_once_or_one_by_one_have_the_same_bits(length):
    results = []
    for apart in (False, True):
        both = torch.randn(2, 1, 8, length, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        table = rotary_table(both)
        turned = [rotate(one, table) for one in both.unbind()] if apart else rotate_both(both, table)
        results.append([*turned, *torch.autograd.grad(turned[0].square().sum() + turned[1].exp().sum(), both)])
    assert ONE_THREAD == 8 * 64 * 64
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_learned_positions_of_attention_end():
    with pytest.raises(ValueError, match="max_positions=8"):
        Attention(32, positions="learned", max_positions=8)(torch.randn(1, 9, 32))


def test_all_layers_of_a_forward_pass_share_one_rotary_table(monkeypatch):
    made = []
    monkeypatch.setattr(attention, "rotary_table", lambda x, past: made.append(x.shape) or rotary_table(x, past))
    backbone = build("A(head_width=16)A*2", vocab_size=8, seed=0, width=32, stride=1, checkpoint_blocks=True)
    backbone(torch.zeros(1, 12, dtype=torch.int64)).sum().backward()
    assert made == [(2, 1, 2, 12, 16), (2, 1, 1, 12, 32)]
    backbone.eval()(torch.zeros(1, 10, dtype=torch.int64))
    assert len(made) == 4


def test_a_rotation_turns_pairs_by_the_angle():
    x = torch.tensor([1.0, 0.0, 0.0, 1.0]).expand(1, 1, 3, 4)
    angle = torch.tensor([0.0, 1.0, 2.0])
    expected = torch.stack((angle.cos(), -(angle / 100).sin(), angle.sin(), (angle / 100).cos()), dim=1)
    torch.testing.assert_close(rotate(x, rotary_table(x))[0, 0], expected)
