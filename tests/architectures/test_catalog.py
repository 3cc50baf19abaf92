"""The catalog: every arm runs forward and backward, in mixed precision and under torch.compile."""

from __future__ import annotations

import math

import pytest
import torch

from architectures import CATALOG, BackboneError, build, count_parameters, resolve

VOCAB = 19
SIZE = {"width": 32, "head_width": 16}


def smallest(name: str, **size) -> torch.nn.Module:
    return build(name, vocab_size=VOCAB, depth=CATALOG[name].least, seed=0, **{**SIZE, **size})


def loss_of(backbone: torch.nn.Module, length: int, batch: int = 1) -> torch.Tensor:
    tokens = torch.randint(0, VOCAB, (batch, length), generator=torch.Generator().manual_seed(length))
    logits = backbone(tokens)
    assert logits.shape == (batch, length, VOCAB) and logits.dtype == torch.float32
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens.flatten())


@pytest.mark.parametrize("name", CATALOG)
def test_every_arm_runs_forward_and_backward_at_every_length(name):
    backbone = smallest(name)
    for length in (256, 512, 1024, 2048):
        backbone.zero_grad()
        loss = loss_of(backbone, length)
        loss.backward()
        assert float(loss.detach()) == pytest.approx(math.log(VOCAB), abs=0.2)
        assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in backbone.parameters())
        assert backbone.flops(length).total > 0


@pytest.mark.parametrize("name", CATALOG)
def test_every_arm_trains_in_bfloat16(name):
    backbone = smallest(name)
    exact = loss_of(backbone, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(backbone, 64)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(exact.detach()), abs=0.01)
    assert all(bool(torch.isfinite(p.grad).all()) for p in backbone.parameters())


@pytest.mark.parametrize("name", CATALOG)
def test_every_arm_runs_with_weights_in_bfloat16(name):
    backbone = smallest(name, time_conditioning=True, mask_id=0)
    exact = loss_of(backbone, 64).detach()
    loss = loss_of(backbone.bfloat16(), 64)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(exact), abs=0.02)


@pytest.mark.parametrize("name", CATALOG)
def test_every_arm_is_one_graph_for_torch_compile(name):
    backbone = smallest(name)
    compiled = torch.compile(backbone, backend="eager", fullgraph=True)
    tokens = torch.arange(64)[None] % VOCAB
    torch.testing.assert_close(compiled(tokens), backbone(tokens))
    torch._dynamo.reset()


def test_compiled_training_gives_the_same_gradients():
    plain, compiled = (build("MFSAGHC", vocab_size=VOCAB, seed=0, **SIZE) for _ in range(2))
    loss_of(plain, 64).backward()
    loss_of(torch.compile(compiled, backend="aot_eager", fullgraph=True), 64).backward()
    for a, b in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-7)
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("smdim", "MFA*8"),
        ("transformer", "AF*12"),
        ("mamba", "M(bidirectional)F*12"),
        ("mamba-causal", "MF*12"),
        ("mamba-vim", "M(bidirectional,separate)F*12"),
        ("attention-early", "A8(MF)8"),
        ("attention-middle", "(MF)4A8(MF)4"),
        ("attention-late", "(MF)8A8"),
    ],
)
def test_patterns_of_arms(name, pattern):
    assert CATALOG[name].pattern == pattern


def test_all_orders_of_three_are_there_with_equal_parameters():
    orders = ("smdim", "maf", "fam", "fma", "amf", "afm")
    assert {CATALOG[name].pattern[:3] for name in orders} == {"MFA", "MAF", "FAM", "FMA", "AMF", "AFM"}
    assert len({count_parameters(smallest(name)) for name in orders}) == 1


def test_a_bidirectional_mamba_costs_what_the_causal_one_does():
    both, ahead = smallest("mamba"), smallest("mamba-causal")
    assert count_parameters(both) == count_parameters(ahead)
    assert both.flops(2048) == ahead.flops(2048)
    assert (both.direction, ahead.direction) == ("Mamba bidirectional (split)", "Mamba forward")


def test_vision_mamba_scans_twice_with_parameters_of_its_own():
    """By Mamba layer at width 32, 4 positions a token 16: a second convolution, projections, A and D, 9 a state."""
    vim, split = smallest("mamba-vim"), smallest("mamba")
    assert vim.direction == "Mamba bidirectional (separate)"
    assert count_parameters(vim) - count_parameters(split) == 64 * (5 + 40 + 9 + 17)
    more = (vim.flops(64).total - split.flops(64).total) / (16 * 64)
    assert more == 2 * (40 + 8) + 2 * 4 + 9 * 16


def test_jamba_arms_hold_one_attention_in_four_and_in_eight():
    for name, every in (("jamba-1-3", 4), ("jamba-1-7", 8)):
        letters = [slot.mixer for slot in resolve(name, VOCAB).blocks.block]
        assert (letters.count("A"), letters.count("M"), letters.count("F")) == (1, every - 1, every)


def test_what_makes_an_arm_holds_over_a_studys_sizes():
    config = resolve("transformer-uncompressed", VOCAB, stride=4, kernel=8, width=64)
    assert (config.stride, config.kernel, config.width) == (1, 1, 64)


def test_depth_and_layers_size_arms_and_patterns():
    assert resolve("smdim", VOCAB, layers=12).pattern == "MFA*4"
    assert resolve("transformer", VOCAB, layers=12).pattern == "AF*6"
    assert resolve("MFA", VOCAB, depth=3).pattern == "MFA*3"
    assert resolve("MFA*5", VOCAB).pattern == "MFA*5"
    assert resolve("attention-middle", VOCAB, layers=9).pattern == "MFA3(MF)2"


@pytest.mark.parametrize(
    ("name", "size", "says"),
    [
        ("smdm", {}, "no arm 'smdm'; did you mean 'smdim'[?] known: smdim, "),
        ("Smdim", {}, "no arm of that name, and as a pattern 'Smdim', character 2"),
        ("smdim", {"layers": 10}, "arm smdim: layers=10; its blocks hold 3 mixers"),
        ("smdim", {"layers": 12, "depth": 4}, "depth or layers, not both"),
        ("smdim", {"depth": 0}, "must be at least 1"),
        ("smdim", {"widht": 64}, "arm smdim: unknown setting 'widht'; allowed: width"),
        ("smdim", {"kernel": 2}, "arm smdim: .*kernel=2; must be at least the stride"),
        ("attention-middle", {"depth": 1}, "at least 2"),
    ],
)
def test_a_bad_request_names_the_arm_and_the_setting(name, size, says):
    with pytest.raises(BackboneError, match=says) as caught:
        resolve(name, VOCAB, **size)
    assert "\n" not in str(caught.value)
