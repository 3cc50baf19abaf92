"""The backbone: hand-counted cost, shapes, refusals, and what all patterns share."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from architectures import Backbone, BackboneConfig, BackboneError, FlopCount, build, build_config, count_parameters
from architectures.stem import TIME_FEATURES

SMALL = {"width": 32, "embedding_width": 16, "head_width": 16}


def small(pattern: str = "MFA", **size) -> Backbone:
    return build(pattern, vocab_size=11, seed=0, **{**SMALL, **size})


def tokens(batch: int = 2, length: int = 32, vocab: int = 11) -> torch.Tensor:
    return torch.randint(0, vocab, (batch, length), generator=torch.Generator().manual_seed(0))


HAND = BackboneConfig(
    vocab_size=10, pattern="MFA", width=8, stride=2, embedding_width=4, head_width=4, state=2, hidden=24
)


def test_flops_of_a_small_arm_counted_on_paper():
    """8 tokens, so 4 positions. Stem 2*4*(2*4)*8 = 512 either way; head 2*8*4*10 = 640.
    M, inner 16, rank 8: 6*4*8*16 = 3072, to delta B C 2*4*16*12 = 1536, delta 2*4*8*16 = 1024;
    window 2*4*16*4 = 512; scan 9*4*16*2 = 1152. F: 3*2*4*8*24 = 4608. A: 8*4*8*8 = 2048, scores 4*16*8 = 512."""
    flops = Backbone(HAND).flops(8)
    assert flops == FlopCount(
        matmul=512 + 512 + 640 + 3072 + 1536 + 1024 + 4608 + 2048, convolution=512, scan=1152, attention=512
    )
    assert flops.total == 16128


def test_parameters_of_a_small_arm_counted_on_paper():
    """Embedding 40; convolution 2*4*8+8 and its transpose 2*4*8+4; norms 4 of 8 features and 1 of 4, with biases;
    head 4*10+10. M: 8*32, window 16*4+16, 16*12, 16*8+16, A 32, D 16, out 128. F: 8*48+24*8. A: 8*24+8*8."""
    stem = 40 + 72 + 68 + 4 * 16 + 8 + 50
    mamba = 256 + 80 + 192 + 144 + 32 + 16 + 128
    assert count_parameters(Backbone(HAND)) == stem + mamba + 576 + 256


@pytest.mark.parametrize("pattern", ["AF", "C", "S", "G", "A(window=4)", "M"])
@pytest.mark.parametrize("stride", [1, 4])
def test_products_agree_with_torchs_own_count(pattern, stride):
    backbone = small(pattern, stride=stride)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        backbone(tokens(batch=1))
    counted = backbone.flops(32)
    declared = counted.total if pattern != "M" else counted.total - counted.scan
    seen = counter.get_total_flops()
    if pattern == "M":  # torch counts the scan where somebody registered a formula for the operator
        seen -= counter.get_flop_counts()["Global"].get(torch.ops.smdim_bench.selective_scan, 0)
    assert declared == seen


@pytest.mark.parametrize(("stride", "kernel"), [(1, 1), (4, 4), (4, 7), (2, 3)])
def test_stem_is_a_strided_convolution_and_its_transpose(stride, kernel):
    backbone = small("F", stride=stride, kernel=kernel)
    down, up = backbone.compress, backbone.expand
    left, right = (kernel - stride) // 2, (kernel - stride + 1) // 2
    embedded = down.embedding(tokens()).transpose(1, 2)
    weight, bias = down.convolution.weight, down.convolution.bias
    padded = torch.nn.functional.pad(embedded, (left, right))
    expected = torch.nn.functional.conv1d(padded, weight, bias, stride=stride).transpose(1, 2)
    torch.testing.assert_close(down(tokens()), expected, rtol=1e-4, atol=1e-5)
    wide = up.convolution(expected.transpose(1, 2))[:, :, left : left + 32].transpose(1, 2)
    torch.testing.assert_close(up(expected, down.embedding.weight), up.head(up.norm(wide)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
@pytest.mark.parametrize("extra", [0, 1, 3])
def test_stem_gives_back_the_length(stride, extra):
    backbone = small("F", stride=stride, kernel=stride + extra)
    assert backbone(tokens()).shape == (2, 32, 11)
    assert backbone.compress(tokens()).shape == (2, 32 // stride, 32)


def test_stem_keeps_each_group_of_tokens_in_its_place():
    backbone = small("F", stride=4)
    before = tokens(batch=1)
    after = before.clone()
    after[0, 9] = (after[0, 9] + 1) % 11
    moved = (backbone(before) - backbone(after)).abs().amax(dim=-1)[0] > 0
    assert moved.nonzero().flatten().tolist() == [8, 9, 10, 11]


def test_logits_start_near_a_uniform_guess():
    for tied in (False, True):
        logits = small("MFA*2", tied_head=tied)(tokens(length=256))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens(length=256).flatten())
        assert float(loss.detach()) == pytest.approx(math.log(11), abs=0.1)


def test_a_tied_head_adds_no_parameters():
    assert count_parameters(small()) - count_parameters(small(tied_head=True)) == 11 * 16 + 11


def test_a_seed_decides_the_weights_and_leaves_the_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, other = small(), small(), build("MFA", vocab_size=11, seed=1, **SMALL)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.compress.embedding.weight, other.compress.embedding.weight)


def test_residual_outputs_shrink_with_depth():
    one, four = small("F"), small("F*4")
    ratio = one.layers[0].mixer.outward.weight.std() / four.layers[0].mixer.outward.weight.std()
    assert float(ratio.detach()) == pytest.approx(2.0, rel=0.1)


def test_the_recurrence_is_exempt_from_weight_decay():
    exempt = {
        name.split(".")[-1] for name, p in small("MS").named_parameters() if getattr(p, "_no_weight_decay", False)
    }
    assert exempt == {"A_log", "D", "bias", "delta_bias"}


def test_a_meta_backbone_counts_without_memory():
    with torch.device("meta"):
        backbone = build("smdim", vocab_size=300, width=1024)
        logits = backbone(torch.zeros(2, 512, dtype=torch.int64))
    assert logits.shape == (2, 512, 300) and logits.is_meta
    assert backbone.flops(2048).total > 1e11
    assert backbone.kernels() == {"scan": backbone.kernels()["scan"]}


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        (torch.zeros(1, 30, dtype=torch.int64), "arm-of-test: length 30 is not a multiple of stride 4"),
        (torch.zeros(1, 0, dtype=torch.int64), "arm-of-test: length 0"),
        (torch.zeros(0, 32, dtype=torch.int64), "arm-of-test: the batch is empty"),
        (torch.zeros(32, dtype=torch.int64), r"arm-of-test: tokens must be \(batch, length\) int64"),
        (torch.zeros(1, 32), "arm-of-test: tokens must be .*float32"),
        (torch.full((1, 32), 11), r"arm-of-test: token id 11 is outside 0\.\.10"),
        (torch.full((1, 32), -1), r"arm-of-test: token id -1 is outside 0\.\.10"),
    ],
)
def test_bad_tokens_are_refused_in_one_line(batch, says):
    backbone = build_config(small().config, name="arm-of-test")
    with pytest.raises(BackboneError, match=says):
        backbone(batch)


def test_flops_of_a_length_that_cannot_run_are_refused():
    with pytest.raises(BackboneError, match="length 30 is not a multiple of stride 4"):
        small().flops(30)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"width": 31}, "width=31; must be an even number"),
        ({"stride": 0}, "stride=0; must be at least 1"),
        ({"kernel": 3}, "kernel=3; must be at least the stride, 4"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"mask_id": 11}, "mask_id=11"),
        ({"norm": "batch"}, "norm='batch'; allowed: layer, rms"),
        ({"width": "64"}, "width='64'; allowed: int"),
        ({"width": True}, "width=True; allowed: int"),
        ({"pattern": "MFX"}, "character 3"),
        ({"depht": 3}, "unknown setting 'depht'; allowed: vocab_size, pattern"),
        ({"vocab_size": None}, "vocab_size"),
    ],
)
def test_bad_settings_are_refused_in_one_line(settings, says):
    with pytest.raises(BackboneError, match=says) as caught:
        BackboneConfig.from_dict({"vocab_size": 11, "pattern": "MFA", **settings})
    assert "\n" not in str(caught.value)


def test_a_config_survives_json():
    config = small("M(forward)FAMFA", dropout=0.1, mask_id=3).config
    assert config.pattern == "MFA*2"
    assert BackboneConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_learned_positions_tell_positions_apart_and_end_at_max_length():
    backbone = small("A(positions=none)", positions="learned", max_length=32)
    same = torch.full((1, 32), 3)
    assert not torch.allclose(backbone(same)[0, 0], backbone(same)[0, 4])
    blind = small("A(positions=none)")(same)
    assert torch.allclose(blind[0, 0], blind[0, 4], atol=1e-6)
    with pytest.raises(BackboneError, match="length 36 is over max_length 32"):
        backbone(torch.zeros(1, 36, dtype=torch.int64))


def test_time_conditioning_reads_the_time_or_the_share_of_masks():
    backbone = small("MF", time_conditioning=True, mask_id=0)
    with torch.no_grad():
        for layer in backbone.layers:
            layer.modulation.weight.normal_()
    x = tokens()
    x[0, :8], x[1, :16] = 0, 0
    share = (x == 0).float().mean(dim=1)
    assert torch.equal(backbone(x), backbone(x, share))
    assert not torch.allclose(backbone(x), backbone(x, share + 0.3))
    extra = backbone.flops(32).total - small("MF").flops(32).total
    assert extra == 2 * TIME_FEATURES * (TIME_FEATURES + 2 * 2 * 32)


def test_time_conditioning_without_mask_or_time_is_refused():
    with pytest.raises(BackboneError, match="needs mask_id, or a time"):
        small("F", time_conditioning=True)(tokens())


def test_untrained_time_conditioning_changes_nothing():
    plain, timed = small("F"), small("F", time_conditioning=True, mask_id=0)
    timed.load_state_dict(plain.state_dict(), strict=False)
    assert torch.equal(plain(tokens()), timed(tokens()))


def test_checkpointing_gives_the_same_gradients():
    plain, saved = small("MFA*2"), small("MFA*2", checkpoint_blocks=True)
    for backbone in (plain, saved):
        backbone(tokens()).square().mean().backward()
    for a, b in zip(plain.parameters(), saved.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-8)


def test_dropout_works_in_training_only():
    backbone = small("F", dropout=0.5)
    torch.manual_seed(0)
    assert not torch.equal(backbone(tokens()), backbone(tokens()))
    backbone.eval()
    assert torch.equal(backbone(tokens()), backbone(tokens()))


@pytest.mark.parametrize(
    ("pattern", "direction"),
    [
        ("MFA", "Mamba forward"),
        ("M(bidirectional)F", "Mamba bidirectional (split)"),
        ("M(bidirectional,separate)", "Mamba bidirectional (separate)"),
        ("M(bidirectional,tied)S(bidirectional)", "Mamba bidirectional (tied), Mamba-2 bidirectional (split)"),
        ("G(bidirectional)", "GLA bidirectional (split)"),
        ("MM(backward)S", "Mamba forward, Mamba backward, Mamba-2 forward"),
        ("AFC", "no Mamba"),
        ("H(bidirectional)G", "Hyena bidirectional, GLA forward"),
    ],
)
def test_direction_says_which_way_recurrent_mixers_read(pattern, direction):
    assert small(pattern).direction == direction


def test_kernels_name_the_scan_and_the_attention_that_would_run(monkeypatch):
    monkeypatch.setenv("SMDIM_BENCH_SCAN_KERNEL", "torch")
    assert small("MFA").kernels()["scan"] == "torch"
    assert small("MFA").kernels()["sdpa"].endswith("_cpu")
    assert small("F").kernels() == {}


@pytest.mark.parametrize("autocast", ["none", "cpu"])
@pytest.mark.parametrize("arm", ["mamba2", "hyena", "gla"])
def test_recurrences_and_ffts_run_on_meta_in_half_precision(arm, autocast):
    with torch.device("meta"):
        backbone = build(arm, vocab_size=30, width=32).bfloat16()
        tokens_BL = torch.zeros(2, 64, dtype=torch.int64)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast == "cpu"):
        logits = backbone(tokens_BL)
    logits.sum().backward()
    assert logits.is_meta and logits.shape == (2, 64, 30)
