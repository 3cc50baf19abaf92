"""FLOP formulas of every catalog arm against two counters, and the opaque kernels against references spelled out."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from architectures.backbone import Backbone, BackboneConfig
from architectures.catalog import CATALOG, resolve
from architectures.scan import reference
from architectures.scan.inputs import ScanInputs
from metrics.cost.flops import SCAN_OPERATOR, count_by_dispatch, count_by_tracing, executed_scan_flops, scan_flops

TOLERANCE = 0.005
CONVOLUTIONS = {"conv", "aten::convolution"}
NORMS = {"layer_norm", "aten::rms_norm"}


def counts(backbone, length):
    """Both counters' FLOPs of one sequence by operator, and what they could not count."""
    tokens_BL = torch.randint(0, backbone.config.vocab_size, (1, length))
    traced = count_by_tracing(backbone, (tokens_BL,))
    with torch.no_grad():
        dispatched = count_by_dispatch(lambda: backbone(tokens_BL))
    return traced, dispatched


@pytest.mark.parametrize("arm", sorted(CATALOG))
def test_formula_and_counters_agree_where_they_count_the_same_kinds(arm):
    config = resolve(arm, vocab_size=30, width=16)
    once = re.sub(r"\*\d+$", "", config.pattern)  # one cycle has every kind of layer that the repeated pattern has
    backbone = Backbone(replace(config, pattern=once)).eval()
    for length in (64, 128):
        own = backbone.flops(length)
        for counted in counts(backbone, length):
            left_out = {SCAN_OPERATOR} if SCAN_OPERATOR in counted.by_operator else set()
            expected = own.total - (own.scan if left_out else 0)
            if any("fft" in name for name in counted.uncounted):  # which counters give 0 for, unlike the formula
                left_out |= CONVOLUTIONS
                expected -= own.convolution
            rest = sum(flops for name, flops in counted.by_operator.items() if name not in left_out | NORMS)
            assert rest == pytest.approx(expected, rel=TOLERANCE), (arm, length, counted.counter)


@pytest.mark.parametrize(("arm", "mamba_layers"), [("smdim", 8), ("mamba-causal", 12), ("mamba", 12)])
def test_the_scan_is_counted_once_a_layer_at_nine_a_state(arm, mamba_layers):
    backbone = Backbone(resolve(arm, vocab_size=30, width=32)).eval()
    for counted in counts(backbone, 64):
        assert counted.by_operator[SCAN_OPERATOR] == mamba_layers * 9 * (64 // 4) * (2 * 32) * 16
        assert SCAN_OPERATOR in counted.circular


def test_a_small_transformer_counted_on_paper():
    # 16 tokens in strides of 4: 4 positions of width 8. Stem and its transpose: 4 x 4 x 4 x 8 each; attention layer: 4
    # projections of 8 x 8 and 2 products of 4 x 4 x 8; gated layer: 3 x 8 x 16; head: 16 x 4 x 10. Times 2.
    config = BackboneConfig(vocab_size=10, pattern="AF", width=8, stride=4, embedding_width=4, head_width=4, hidden=16)
    backbone = Backbone(config).eval()
    on_paper = 2 * (512 + 4 * 4 * 64 + 2 * 4 * 4 * 8 + 4 * 3 * 8 * 16 + 512 + 16 * 4 * 10)
    assert on_paper == 8960
    assert backbone.flops(16).total == on_paper
    traced, dispatched = counts(backbone, 16)
    assert traced.products == dispatched.total == on_paper


def test_the_backward_pass_of_a_scan_is_seen_as_an_operator_of_its_own():
    backbone = Backbone(resolve("smdim", vocab_size=30, width=32))
    tokens_BL = torch.randint(0, 30, (1, 64))
    counted = count_by_dispatch(lambda: backbone(tokens_BL).sum().backward())
    forward = counted.by_operator[SCAN_OPERATOR]
    assert counted.by_operator[f"{SCAN_OPERATOR}_backward"] == 2 * forward


@pytest.mark.parametrize(("batch", "channels", "state", "length"), [(1, 4, 16, 64), (2, 8, 16, 32), (1, 4, 64, 16)])
def test_the_scan_spelled_out_executes_seven_a_state(batch, channels, state, length, count_arithmetic):
    def random(*shape):
        return torch.rand(*shape, dtype=torch.float64)

    shapes = ((batch, channels, length), (batch, channels, length), (channels, state), *[(batch, state, length)] * 2)
    inputs = ScanInputs(*(random(*shape) for shape in shapes), None, None, None, False, False)
    executed = sum(count_arithmetic(lambda: reference.forward(inputs)).values())
    elements = batch * channels * length
    # the product of step and input is one more a channel, whatever the number of states
    assert executed == executed_scan_flops(*shapes[:3]) + elements == (7 * state + 1) * elements
    assert scan_flops(*shapes[:3]) == 9 * state * elements
