"""Layers of flash-linear-attention as mixers: found by module, with the layer's own options, on CUDA alone.

A stand-in package has the constructors and calls of version 0.6.0 around a recurrence that a CPU runs.
"""

from __future__ import annotations

import math
import sys
import types
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from architectures import build, canonical_pattern, count_parameters, fla_layers, registry
from architectures.backbone import BackboneConfig
from architectures.contract import check_slot
from architectures.matching import MatchingError, match, measured
from architectures.mixer import MixerError
from architectures.pattern import PatternError, Slot
from architectures.registry import find_mixer, mixer_options
from bench.cli.profile import _timed
from bench.errors import UserError
from bench.training.checks import fit_backbone
from bench.training.errors import TrainingError
from bench.training.progress import budget_of
from bench.training.settings import TrainSettings

EINOPS = "flash-linear-attention needs einops, which is not installed"
INSTALL = "flash-linear-attention is not installed; pip install flash-linear-attention beside torch for CUDA"


class StandIn(nn.Module):
    """y_t = W' mean of W x over the positions up to t that the mask leaves; no float32 inside, as in the kernels."""

    def __init__(self, hidden_size, inner):
        super().__init__()
        self.q_proj = nn.Linear(hidden_size, inner, bias=False)
        self.o_proj = nn.Linear(inner, hidden_size, bias=False)

    def mixed(self, hidden_states, attention_mask):
        q = self.q_proj(hidden_states)
        assert q.dtype != torch.float32, "does not support float32. Please use bfloat16."
        kept = torch.ones_like(q[..., :1]) if attention_mask is None else attention_mask[..., None].to(q.dtype)
        seen = kept.float().cumsum(1).clamp(min=1)
        return self.o_proj(((q * kept).float().cumsum(1) / seen).to(q.dtype)) * kept

    def forward(
        self, hidden_states, attention_mask=None, past_key_values=None, use_cache=False, output_attentions=False,
        **kwargs,
    ):  # fmt: skip
        return self.mixed(hidden_states, attention_mask), None, past_key_values


class GatedDeltaNet(StandIn):
    def __init__(
        self, hidden_size=2048, expand_v=2, head_dim=256, num_heads=6, num_v_heads=None, mode="chunk", use_gate=True,
        use_short_conv=True, allow_neg_eigval=False, conv_size=4, conv_bias=False, layer_idx=None, norm_eps=1e-5,
        output_gate_activation="swish", **kwargs,
    ):  # fmt: skip
        assert layer_idx == 0 and not kwargs and mode in ["chunk", "fused_recurrent"], f"Not supported mode `{mode}`."
        if output_gate_activation not in ("swish", "silu", "sigmoid"):
            raise ValueError("output_gate_activation must be 'swish', 'silu', or 'sigmoid'\nmore")
        super().__init__(hidden_size, num_heads * head_dim)


class LogLinearMamba2(StandIn):
    def __init__(self, num_heads, head_dim=64, hidden_size=2048, D_has_hdim=False, dt_limit=(0.0, float("inf"))):
        super().__init__(hidden_size, num_heads * head_dim)


class RodimusAttention(GatedDeltaNet):
    pass


class SlidingWindowSharedKeyAttention(GatedDeltaNet):
    pass


class BasedLinearAttention(StandIn):
    def __init__(self, hidden_size, feature_dim=16, num_heads=12, causal=True):
        super().__init__(hidden_size, feature_dim)

    def forward(self, hidden_states, **kwargs):
        return self.mixed(hidden_states, None)


PLACES = {
    GatedDeltaNet: "gated_deltanet",
    LogLinearMamba2: "log_linear_mamba2",
    RodimusAttention: "rodimus",
    SlidingWindowSharedKeyAttention: "rodimus",
    BasedLinearAttention: "based",
}


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No layer is registered and none is remembered before a test, nor after it."""
    fla_layers._layers.cache_clear()
    monkeypatch.setattr(fla_layers, "package_version", lambda: "0.6.0")
    registry.registered_mixers()  # the built-in ones stay
    monkeypatch.setattr(registry, "_BY_NAME", dict(registry._BY_NAME))
    yield
    fla_layers._layers.cache_clear()


@pytest.fixture
def package(monkeypatch):
    """The stand-in in the place of the package."""
    layers = types.ModuleType("fla.layers")
    layers.__all__ = [cls.__name__ for cls in PLACES]
    for cls, module in PLACES.items():
        monkeypatch.setattr(cls, "__module__", f"fla.layers.{module}")
        setattr(layers, cls.__name__, cls)
    monkeypatch.setitem(sys.modules, "fla", types.ModuleType("fla"))
    monkeypatch.setitem(sys.modules, "fla.layers", layers)


@pytest.fixture
def on_cpu(package, monkeypatch):
    """The stand-in may run on this machine."""
    monkeypatch.setattr(fla_layers.FlaLayer, "devices", ("cpu", "cuda"))


def test_the_package_is_imported_by_a_pattern_that_names_a_layer_and_by_no_other():
    canonical_pattern("MFA*8")
    assert "fla" not in sys.modules


def test_a_layer_has_the_options_and_defaults_of_its_constructor_that_a_pattern_can_write(package):
    assert dict(mixer_options(find_mixer("fla.gated_deltanet"))) == {
        "direction": "forward", "expand_v": 2, "head_dim": 256, "num_heads": 6, "num_v_heads": None, "mode": "chunk",
        "use_gate": True, "use_short_conv": True, "allow_neg_eigval": False, "conv_size": 4, "conv_bias": False,
        "norm_eps": 1e-5, "output_gate_activation": "swish",
    }  # fmt: skip
    assert list(mixer_options(find_mixer("fla.log_linear_mamba2"))) == ["direction", "num_heads", "head_dim"]
    text = "[fla.gated_deltanet](backward,head_dim=256,num_heads=2)F*2"
    assert str(canonical_pattern(text)) == "[fla.gated_deltanet](backward,num_heads=2)F*2"


def test_two_layers_of_one_module_go_by_their_class_too(package):
    assert find_mixer("fla.rodimus.rodimusattention").layer_class is RodimusAttention
    with pytest.raises(MixerError) as caught:
        find_mixer("fla.rodimus")
    assert str(caught.value) == (
        "[fla.rodimus]: no layer 'rodimus' in flash-linear-attention 0.6.0; allowed: based, gated_deltanet, "
        "log_linear_mamba2, rodimus.rodimusattention, rodimus.slidingwindowsharedkeyattention"
    )


@pytest.mark.parametrize("direction", ["forward", "backward", "bidirectional"])
@pytest.mark.parametrize("name", ["gated_deltanet", "based"])
def test_the_contract_of_a_mixer(on_cpu, name, direction):
    options = {"gated_deltanet": {"num_heads": 2, "head_dim": 8}, "based": {}}[name] | {"direction": direction}
    checks = check_slot(Slot(f"fla.{name}", tuple(sorted(options.items()))), width=16)
    assert [(one.name, one.detail) for one in checks if not one.passed] == []
    counted = next(one for one in checks if one.name == "counts its FLOPs")
    assert counted.detail == "n/a: the Triton kernels of flash-linear-attention are seen by no FLOP counter"


@pytest.fixture
def backbone(on_cpu):
    pattern = "[fla.gated_deltanet](num_heads=2,head_dim=8)F*2"
    return build(pattern, vocab_size=11, width=16, stride=1, pad_id=0, seed=0)


def test_its_direction_and_that_the_adapter_is_not_published_stand_in_the_table(backbone):
    assert backbone.direction == "GatedDeltaNet of fla (unpublished adapter) forward"
    assert backbone.mixers()[0].causal and backbone.kernels("cpu")["fla"] == "0.6.0+bfloat16"
    with torch.autocast("cpu", torch.bfloat16):
        assert backbone.kernels("cpu")["fla"] == "0.6.0"


def test_parameters_are_counted_and_flops_are_not_known(backbone):
    parameters, flops = measured(backbone.config, 32)
    plain = build("F*2", vocab_size=11, width=16, stride=1, seed=0)
    # of each of two layers: the projections 16 x 16 in and out, and the norm before them, 16 weights and 16 biases
    assert parameters == count_parameters(backbone) == count_parameters(plain) + 2 * (2 * 16 * 16 + 32)
    assert math.isnan(flops) and backbone.uncounted.startswith("[fla.gated_deltanet]: the Triton kernels")


def test_sizes_are_matched_by_parameters_and_not_by_flops(backbone):
    arms = {"a": BackboneConfig(11, "AF*2", width=32), "fla": backbone.config}
    assert match(arms, reference="a", length=32)["fla"].mismatch == pytest.approx(0.0, abs=0.01)
    with pytest.raises(MatchingError, match="the FLOPs of arm fla are not known; allowed: by='params'"):
        match(arms, reference="a", by="flops", length=32)
    with pytest.raises(TrainingError, match=r"train.flops: \[fla.gated_deltanet\].*; allowed: a budget in steps"):
        budget_of(TrainSettings(flops=1e9), backbone, 32)


@pytest.mark.parametrize("direction", ["forward", "backward", "bidirectional"])
def test_pad_at_the_end_changes_nothing_before_it(on_cpu, direction):
    pattern = f"[fla.gated_deltanet]({direction},num_heads=2,head_dim=8)"
    backbone = build(pattern, vocab_size=11, width=16, stride=1, pad_id=0, seed=0).eval()
    tokens = torch.tensor([[3, 1, 4, 1, 5, 9]])
    padded = torch.cat((tokens, torch.zeros(1, 4, dtype=torch.int64)), dim=1)
    with torch.no_grad():
        torch.testing.assert_close(backbone(padded)[:, :6], backbone(tokens), rtol=0, atol=1e-6)


def test_the_last_projection_is_scaled_by_depth_as_in_every_mixer(on_cpu):
    deep, shallow = (
        build(f"[fla.gated_deltanet](num_heads=2,head_dim=8)*{layers}", vocab_size=11, width=16, seed=0)
        for layers in (4, 1)
    )
    bound = 1 / 4  # nn.Linear draws from +-1 / sqrt(inputs), 16 of them
    for backbone, layers in ((deep, 4), (shallow, 1)):
        largest = max(float(mixer.layer.o_proj.weight.detach().abs().max()) for mixer in backbone.mixers())
        assert 0.9 * bound < largest * math.sqrt(layers) <= bound


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("[fla.nothing]", "no layer 'nothing' in flash-linear-attention 0.6.0; allowed: based, gated_deltanet,"),
        ("[fla.gla](num_heads=2)", "no layer 'gla' in flash-linear-attention"),
        ("[fla.based](heads=2)", "has no option 'heads'; allowed: forward, backward, bidirectional, direction=,"),
        ("[fla.based](num_heads=two)", "num_heads='two' is not of type int"),
    ],
)
def test_a_layer_or_option_that_is_not_there_is_one_line_with_what_is(package, pattern, words):
    with pytest.raises(PatternError) as caught:
        canonical_pattern(pattern)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("[fla.log_linear_mamba2]", "missing 1 required positional argument: 'num_heads'"),
        ("[fla.gated_deltanet](mode=loop)", "Not supported mode `loop`."),
        ("[fla.gated_deltanet](output_gate_activation=tanh)", "must be 'swish', 'silu', or 'sigmoid'"),
    ],
)
def test_what_the_constructor_refuses_is_one_line(package, pattern, words):
    with pytest.raises(MixerError) as caught:
        build(pattern, vocab_size=11, width=16)
    assert str(caught.value).endswith(words) and "\n" not in str(caught.value)


def test_a_cpu_is_refused_with_what_is_allowed(package):
    refusal = "[fla.gated_deltanet] cannot run on cpu; allowed: cuda"
    pattern = "[fla.gated_deltanet](head_dim=16,num_heads=2)F"
    backbone = build(pattern, vocab_size=11, width=16, stride=1)
    with pytest.raises(MixerError, match="cannot run on cpu; allowed: cuda"):
        backbone(torch.ones(1, 8, dtype=torch.int64))
    with pytest.raises(TrainingError) as caught:
        fit_backbone(backbone, SimpleNamespace(), TrainSettings(steps=1), torch.device("cpu"))
    assert str(caught.value) == f"train: {refusal}"
    with pytest.raises(UserError) as asked:
        _timed(pattern, 64, 1, "cpu", None, "float32", {"width": 16})
    assert str(asked.value) == refusal


def test_check_refuses_a_machine_without_cuda(package, monkeypatch):
    from bench.cli.architectures import check

    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError) as caught:
        check("[fla.gated_deltanet](num_heads=2)")
    assert str(caught.value) == "[fla.gated_deltanet](num_heads=2) runs on cuda alone; here: cpu"
    with pytest.raises(UserError, match=r"no layer 'gla' in flash-linear-attention 0.6.0; allowed: based,"):
        check("[fla.gla]")


@pytest.mark.parametrize(
    ("missing", "words"),
    [("fla", INSTALL), ("fla.layers", INSTALL), ("einops", EINOPS)],
)
def test_a_missing_package_is_named_with_its_place_in_the_pattern(monkeypatch, missing, words):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(fla_layers, "import_module", absent)
    with pytest.raises(PatternError) as caught:
        canonical_pattern("F[fla.gla]*2")
    assert str(caught.value) == f"pattern 'F[fla.gla]*2', character 2 ('['): [fla.gla]: {words}"


def test_a_broken_package_is_named(monkeypatch):
    def broken(name):
        raise RuntimeError("0 active drivers\nmore")

    monkeypatch.setattr(fla_layers, "import_module", broken)
    with pytest.raises(MixerError, match=r"^\[fla.gla\]: flash-linear-attention is installed but broken: RuntimeError"):
        find_mixer("fla.gla")
