"""Where a step's time goes: every operator has a place, shares add up, a scan's inner operators are the scan's."""

from __future__ import annotations

import json

import pytest
import torch

from architectures.backbone import Backbone
from architectures.catalog import resolve
from bench.measure.efficiency.profile import kind_of, profile_step


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    from dataclasses import replace

    config = replace(resolve("smdim", vocab_size=30, width=32), pattern="MFA*2")
    backbone, tokens_BL = Backbone(config).eval(), torch.randint(0, 30, (1, 64))
    trace = tmp_path_factory.mktemp("profile") / "deep" / "trace.json"

    def call():
        with torch.inference_mode():
            return backbone(tokens_BL)

    return profile_step(backbone, call, steps=2, trace=trace), trace, backbone


def test_shares_add_up_and_every_layer_is_there(profiled):
    profile = profiled[0]
    assert sum(one.share for one in profile.spent) == pytest.approx(1.0)
    assert profile.step_ms == pytest.approx(sum(one.elapsed_ms for one in profile.spent))
    assert {"00 mamba", "01 feed-forward", "02 attention", "03 mamba"} <= {one.part for one in profile.spent}
    assert sum(profile.by_mixer().values()) == pytest.approx(1.0) and "mamba" in profile.by_mixer()


def test_operators_lie_where_they_belong(profiled):
    cells = {(one.part, one.kind) for one in profiled[0].spent}
    assert ("00 mamba", "scan") in cells and ("02 attention", "attention") in cells
    assert ("01 feed-forward", "matmul") in cells
    assert not {("01 feed-forward", "scan"), ("01 feed-forward", "attention"), ("02 attention", "scan")} & cells


def test_the_trace_is_written_and_the_model_left_as_it_was(profiled):
    _, trace, backbone = profiled
    assert json.loads(trace.read_text())["traceEvents"]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in backbone.modules())


@pytest.mark.parametrize(
    ("operator", "kind"),
    [
        ("smdim_bench::selective_scan", "scan"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("aten::mkldnn_convolution", "convolution"),
        ("aten::addmm", "matmul"),
        ("aten::copy_", "movement"),
        ("aten::silu", "element-wise"),
        ("aten::_softmax", "attention"),
        ("aten::_log_softmax", "element-wise"),
        ("aten::_log_softmax_backward_data", "element-wise"),
    ],
)
def test_kinds_by_name(operator, kind):
    assert kind_of(operator) == kind


@pytest.mark.parametrize(
    ("operator", "kind"),
    [
        ("SelectiveScan", "scan"),
        ("CausalConvolutionBackward", "convolution"),
        ("SelectiveScanFn", "scan"),
        ("SelectiveScanFnBackward", "scan"),
        ("MambaChunkScanCombinedFn", "scan"),
        ("CausalConv1dFnBackward", "convolution"),
        ("flash_attn::_flash_attn_forward", "attention"),
    ],
)
def test_what_packages_run_has_its_kind(operator, kind):
    assert kind_of(operator) == kind
