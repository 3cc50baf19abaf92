"""PAD in a backbone: the logits of real positions do not depend on how many PAD follow."""

from __future__ import annotations

import pytest
import torch

from architectures import build, long_convolution, mamba, mamba2, padding
from architectures.attention import Attention
from architectures.backbone import BackboneError
from architectures.catalog import CATALOG
from architectures.registry import registered_mixers

PAD, MASK, V = 0, 3, 12
MIXERS = [
    "M", "M(bidirectional)", "M(backward)", "M(bidirectional,tied)", "M(bidirectional,separate)",
    "S", "S(bidirectional)", "S(backward)", "G", "G(bidirectional)", "G(backward)", "H", "H(bidirectional)",
    "C", "C(causal)", "F", "A", "A(causal)", "A(learned)", "A(window=2)", "A(window=2,causal)", "A(window=16)",
    "A(conv=4)", "A(learned,conv=4)", "F(conv=4)", "D", "D(bidirectional)", "D(backward)",
]  # fmt: skip
SIZES = {"width": 16, "stride": 2, "head_width": 8, "pad_id": PAD, "mask_id": MASK, "positions": "learned"}


def net(pattern: str, **size: object) -> torch.nn.Module:
    return build(pattern, vocab_size=V, seed=1, **{**SIZES, **size}).eval()


def rows(real: int, pad: int, batch: int = 2) -> torch.Tensor:
    tokens = torch.randint(1, V, (batch, real), generator=torch.Generator().manual_seed(real))
    return torch.nn.functional.pad(tokens, (0, pad), value=PAD)


def largest_difference(pattern: str, **size: object) -> float:
    """Of the logits of 12 real tokens, alone and with 20 PAD behind them beside a full row."""
    model, real, full = net(pattern, **size), rows(12, 0), rows(32, 0)
    with torch.no_grad():
        alone, full_alone = model(real), model(full)
        together = model(torch.cat((rows(12, 20), full)))
    both = ((together[:2, :12], alone), (together[2:], full_alone))
    return max(float((found - wanted).abs().max() / wanted.abs().max()) for found, wanted in both)


@pytest.mark.parametrize("mixer", MIXERS)
def test_what_follows_the_end_changes_no_logit(mixer: str) -> None:
    assert largest_difference(f"({mixer}F)*2", kernel=4) < 1e-5


def test_every_registered_mixer_is_among_them() -> None:
    assert {name for name, cls in registered_mixers().items() if cls.__module__.startswith("architectures.")} <= {
        mixer[0] for mixer in MIXERS
    }


@pytest.mark.parametrize("size", [{"time_conditioning": True}, {"norm": "rms", "tied_head": True}, {"stride": 1}])
def test_ends_and_time_of_the_backbone_leave_pad_out(size: dict[str, object]) -> None:
    assert largest_difference("(M(bidirectional)A)*2", kernel=6, **size) < 1e-5


def test_a_position_that_is_partly_pad_keeps_its_other_tokens() -> None:
    model = net("M(bidirectional)A", stride=4)
    tokens = rows(6, 6)
    with torch.no_grad():
        short, long = model(tokens[:, :8]), model(tokens)
        other = model(torch.where(torch.arange(12) == 5, 7, tokens))
    assert float((short[:, :6] - long[:, :6]).abs().max()) < 1e-6
    assert float((other[:, 4] - long[:, 4]).abs().max()) > 1e-3


FAULTS = {
    "M(bidirectional)": (mamba.SelectiveStateSpace, "run"),
    "S(bidirectional)": (mamba2.Mamba2, "run"),
    "H(bidirectional)": (long_convolution.Hyena, "forward"),
    "A": (Attention, "forward"),
}


@pytest.mark.parametrize("mixer", FAULTS)
def test_a_mixer_that_reads_pad_is_seen(mixer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name = FAULTS[mixer]
    whole = getattr(owner, name)

    def careless(self: object, *given: object, pad_BL: object = None, **more: object) -> torch.Tensor:
        return whole(self, *(given[:3] if name == "run" else given[:1]), **more)

    monkeypatch.setattr(owner, name, careless)
    assert largest_difference(f"({mixer}F)*2") > 1e-5


def test_without_pad_a_call_is_the_same_to_the_last_bit() -> None:
    tokens, pattern = rows(16, 0), "(M(bidirectional)FAS(bidirectional)H)*1"
    with torch.no_grad():
        plain, aware = net(pattern, pad_id=None), net(pattern)
        assert torch.equal(plain(tokens), aware(tokens))
        with padding.padded_rows(False):
            assert torch.equal(plain(rows(8, 8)), aware(rows(8, 8)))
        assert not torch.equal(plain(rows(8, 8)), aware(rows(8, 8)))


def test_rows_of_nothing_but_pad_are_finite_and_so_are_gradients() -> None:
    model = net("(M(bidirectional)AA(causal)A(window=1)S)*1", checkpoint_blocks=True).train()
    logits = model(torch.cat((rows(8, 8), torch.zeros(1, 16, dtype=torch.int64))))
    logits[:2, :8].logsumexp(-1).sum().backward()
    assert bool(logits.isfinite().all())
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    assert float(model.compress.embedding.weight.grad[PAD].abs().max()) == 0.0


def test_a_recorded_or_compiled_call_does_not_look_at_its_tokens() -> None:
    counted: list[int] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> object:
        counted.append(len(graph.graph.nodes))
        return graph.forward

    compiled = torch.compile(padding.pad_positions, backend=backend, fullgraph=True)
    assert compiled(rows(4, 4), PAD, 2).tolist() == [[False, False, True, True]] * 2
    with padding.padded_rows(False):
        assert compiled(rows(4, 4), PAD, 2) is None
    assert padding.pad_positions(rows(4, 4), None, 2) is None and padding.known_padding() is None


def test_pad_id_is_a_token_and_absent_from_settings_without_one() -> None:
    with pytest.raises(BackboneError, match=r"pad_id=12; must be a token id, or none"):
        net("A", pad_id=V)
    assert net("A").config.to_dict()["pad_id"] == PAD and "pad_id" not in net("A", pad_id=None).config.to_dict()


def test_every_arm_of_the_catalog_takes_pad() -> None:
    letters = {letter for arm in CATALOG.values() for letter in arm.pattern if letter.isupper()}
    assert letters <= {mixer[0] for mixer in MIXERS}
