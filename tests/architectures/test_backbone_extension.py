"""Extension of backbones from a state: logits, borders, refusals and FLOPs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from extending import (
    BLOCK,
    LENGTH,
    MASK,
    PAD,
    net,
    rows,
)
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from architectures import BackboneError


def test_one_call_of_256_tokens_is_256_calls_of_one(relative: Any) -> None:
    backbone, tokens, state, logits = net("MDA(causal)F"), rows(length=256)[:1], None, []
    with torch.no_grad():
        for token in tokens.split(1, dim=1):
            one, state = backbone.extend(token, state)
            logits.append(one)
        whole, other = backbone.extend(tokens)
        assert relative(torch.cat(logits, dim=1), whole) < 1e-12
        assert relative(whole, backbone(tokens)) < 1e-12
    assert state.tokens == other.tokens == 256
    assert state.size == other.size == backbone.state_size(256)


@pytest.mark.parametrize("pattern", ["M(bidirectional)FA", "S(bidirectional)GC", "D(bidirectional)A(learned)M"])
@pytest.mark.parametrize("size", [{}, {"stride": 4, "positions": "learned", "norm": "rms", "tied_head": True}])
def test_two_streams_of_a_backbone_are_its_blocks_in_turn(pattern: str, size: dict[str, Any], relative: Any) -> None:
    """PAD fills the end of the first row, from the middle of a block and of a position on."""
    backbone, clean, state, logits = net(pattern, **size), rows(), None, []
    clean[0, 13:] = PAD
    noisy = torch.where((rows(seed=5) > 5) & (clean != PAD), MASK, clean)
    with torch.no_grad():
        for part in (slice(0, 8), slice(8, 16), slice(16, 24)):
            drawn, _ = backbone.extend(noisy[:, part], state, keep=False)
            nothing, state = backbone.extend(clean[:, part], state, head=False)
            logits.append(drawn)
            assert nothing is None
        found = backbone.two_stream(noisy, clean, BLOCK)
    real = clean != PAD
    assert relative(found[real], torch.cat(logits, dim=1)[real]) < 1e-12
    assert state.size == backbone.state_size(LENGTH)


def test_logits_of_a_block_do_not_depend_on_what_pad_follows(relative: Any) -> None:
    backbone = net("M(bidirectional)SA(window=3)GCD")
    clean, padded = rows(), rows()
    padded[:, 16:] = PAD
    with torch.no_grad():
        found, expected = (backbone.two_stream(one, one, BLOCK)[:, :16] for one in (padded, clean))
    assert relative(found, expected) < 1e-12


FAULTS = ["tail", "state", "advanced on noise", "position"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_border_is_seen(fault: str) -> None:
    """Faults of a sampler move the logits of the next block by at least a thousandth of their size."""
    backbone, tokens = net("MA"), rows()
    with torch.no_grad():
        _, state = backbone.extend(tokens[:, :BLOCK])
        expected, _ = backbone.extend(tokens[:, BLOCK:], state)
        mamba, attention = state.layers
        if fault == "tail":
            tensors = (torch.zeros_like(mamba.tensors[0]), mamba.tensors[1])
            broken = (type(mamba)(mamba.past, tensors), attention)
        elif fault == "state":
            tensors = (mamba.tensors[0], torch.zeros_like(mamba.tensors[1]))
            broken = (type(mamba)(mamba.past, tensors), attention)
        elif fault == "advanced on noise":
            broken = backbone.extend(torch.full((2, BLOCK), MASK), None)[1].layers
        else:
            broken = (mamba, type(attention)(0, attention.tensors))
        found, _ = backbone.extend(tokens[:, BLOCK:], type(state)(BLOCK, 2, broken))
    assert float((found - expected).abs().max() / expected.abs().max()) > 0.001


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ({"kernel": 6, "stride": 4}, "kernel 6 of the stem reads tokens of later blocks; allowed: the stride, 4"),
        ({"time_conditioning": True}, "time_conditioning has one time a row"),
    ],
)
def test_what_cannot_extend_is_refused_in_one_line(size: dict[str, Any], says: str) -> None:
    backbone = net("MA", **size)
    for call in (
        lambda: backbone.extend(rows()),
        lambda: backbone.two_stream(rows(), rows(), BLOCK),
        lambda: backbone.state_size(8),
        lambda: backbone.extend_flops(0, 8),
        lambda: backbone.two_stream_flops(LENGTH, BLOCK),
    ):
        with pytest.raises(BackboneError, match=says) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_lengths_that_do_not_fit_are_refused_in_one_line() -> None:
    backbone = net("MA", stride=4, positions="learned", max_length=LENGTH)
    with pytest.raises(BackboneError, match="block 6 is not a multiple of stride 4"):
        backbone.two_stream(rows(), rows(), 6)
    with pytest.raises(BackboneError, match="length 24 is not a multiple of block 16"):
        backbone.two_stream(rows(), rows(), 16)
    with pytest.raises(BackboneError, match="length 6 is not a multiple of stride 4"):
        backbone.extend(rows()[:, :6])
    with torch.no_grad():
        _, state = backbone.extend(rows())
    with pytest.raises(BackboneError, match="length 28 is over max_length 24"):
        backbone.extend(rows()[:, :4], state)
    with pytest.raises(BackboneError, match="1 rows behind a state of 2"):
        net("MA").extend(rows()[:1, :4], state)


def solved(system: Any, given: Any, **_: Any) -> int:
    """Operations of a unit triangular system, which torch does not count: one multiply-add a pair and column."""
    return given[:-2].numel() * system[-1] * system[-2] * given[-1]


def counted(call: Any) -> float:
    """What torch counts of a call without the scan's operator, attention as products."""
    systems = {torch.ops.aten.linalg_solve_triangular: solved}
    counter = FlopCounterMode(display=False, custom_mapping=systems)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        call()
    return counter.get_total_flops() - counter.get_flop_counts()["Global"].get(torch.ops.smdim_bench.selective_scan, 0)


@pytest.mark.parametrize(
    "pattern",
    ["A(causal)F(conv=4)", "A(window=5,conv=4)", "M(bidirectional)", "S(bidirectional)", "D(bidirectional)", "G", "C"],
)
@pytest.mark.parametrize("stride", [1, 4])
def test_flops_of_an_extension_are_torchs_own_count(pattern: str, stride: int) -> None:
    """Attention without its whole-call form for a first block, whose own count stands in test_backbone.py."""
    backbone, tokens = net(pattern, stride=stride, pad_id=None), rows(length=32)[:1]
    with torch.no_grad():
        _, state = backbone.extend(tokens[:, :16])
    for head in (True, False):
        flops = backbone.extend_flops(16, 16, head=head)
        scan = flops.scan if pattern[0] == "M" else 0.0
        expected = counted(lambda head=head: backbone.extend(tokens[:, 16:], state, head=head))
        assert flops.total - scan == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("pattern", "block"),
    [
        *((pattern, 8) for pattern in ("A(causal)F(conv=4)", "A(window=5,conv=4)", "M(bidirectional)", "G", "C")),
        *((pattern, block) for pattern in ("S(bidirectional)", "D(bidirectional)", "D") for block in (4, 16, 12, 48)),
    ],
)
def test_flops_of_two_streams_are_torchs_own_count(pattern: str, block: int) -> None:
    """Of S and D also where a block is no divisor of their chunks of 32 positions, and longer than one."""
    length = 32 if block == 8 else 96
    backbone, tokens = net(pattern, pad_id=None), rows(length=length)[:1]
    flops = backbone.two_stream_flops(length, block)
    expected = counted(lambda: backbone.two_stream(tokens, tokens, block))
    assert flops.total - (flops.scan if pattern[0] == "M" else 0.0) == pytest.approx(expected, rel=0.02)
