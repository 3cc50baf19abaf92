"""Extension from a state: equal to the whole call, to two streams of blocks, and blind to what lies ahead."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from architectures import Backbone, BackboneError, MixerError, build, canonical_pattern
from architectures.mixer import Mixer
from architectures.registry import make_mixer, registered_mixers

V, PAD, MASK = 11, 0, 3
WIDTH, LENGTH, BLOCK = 16, 24, 8  # three blocks, each longer than a convolution reaches
CAUSAL = [
    "M", "S", "G", "D", "C(causal)", "F", "A(causal)", "A(learned,causal)", "A(window=5,causal)", "A(causal,conv=4)",
    "F(causal,conv=4)",
]  # fmt: skip
BIDIRECTIONAL = [
    "M(bidirectional)", "M(bidirectional,tied)", "M(bidirectional,separate)", "M(backward)", "S(bidirectional)",
    "S(backward)", "G(bidirectional)", "G(backward)", "C", "C(kernel=23)", "A", "A(window=5)", "A(conv=4)",
    "A(learned,conv=3)", "F(conv=4)", "D(bidirectional)", "D(backward)",
]  # fmt: skip
WITHOUT_STATE = {"H"}


def mixer_of(text: str, dtype: torch.dtype = torch.float64) -> Mixer:
    """A small mixer whose weights are moved off their start, so that no part is 0."""
    torch.manual_seed(0)
    mixer = make_mixer(canonical_pattern(text).slots[0], WIDTH, {"head_width": 8, "state": 4}).to(dtype)
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return mixer


def net(pattern: str, **size: Any) -> Backbone:
    sizes = {"width": WIDTH, "stride": 1, "head_width": 8, "state": 4, "pad_id": PAD, "mask_id": MASK, **size}
    torch.manual_seed(0)
    backbone = build(pattern, vocab_size=V, **sizes).double().eval()
    assert isinstance(backbone, Backbone)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return backbone


def inputs(dtype: torch.dtype = torch.float64, seed: int = 1) -> torch.Tensor:
    return torch.randn(2, LENGTH, WIDTH, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def rows(seed: int = 1, length: int = LENGTH) -> torch.Tensor:
    return torch.randint(1, V, (2, length), generator=torch.Generator().manual_seed(seed))


def in_calls(mixer: Mixer, x: torch.Tensor, block: int, pad: torch.Tensor | None = None) -> torch.Tensor:
    """The outputs of one call of `extend` a block."""
    state, outputs = None, []
    for start in range(0, x.shape[1], block):
        part = slice(start, start + block)
        y, state = mixer.extend(x[:, part], state, None if pad is None else pad[:, part])
        outputs.append(y)
        assert state is not None and state.past == min(start + block, x.shape[1])
    return torch.cat(outputs, dim=1)


def test_every_built_in_mixer_is_here() -> None:
    own = {name for name, cls in registered_mixers().items() if cls.__module__.startswith("architectures.")}
    assert own == {text[0] for text in (*CAUSAL, *BIDIRECTIONAL)} | WITHOUT_STATE


@pytest.mark.parametrize("text", CAUSAL)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_calls_in_turn_equal_the_whole_call(text: str, dtype: torch.dtype, error: float, relative: Any) -> None:
    mixer, x = mixer_of(text, dtype), inputs(dtype)
    with torch.no_grad():
        whole = mixer(x)
        for block in (1, 7, BLOCK, LENGTH):
            assert relative(in_calls(mixer, x, block), whole) < error


@pytest.mark.parametrize("text", BIDIRECTIONAL)
def test_one_call_over_all_positions_is_the_whole_call(text: str, relative: Any) -> None:
    mixer, x = mixer_of(text), inputs()
    with torch.no_grad():
        assert relative(in_calls(mixer, x, LENGTH), mixer(x)) < 1e-12
        noisy, clean = mixer.two_stream(inputs(seed=2), x, LENGTH)
        assert relative(noisy, mixer(inputs(seed=2))) < 1e-12
        assert relative(clean, mixer(x)) < 1e-12


@pytest.mark.parametrize("text", [*CAUSAL, *BIDIRECTIONAL])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_two_streams_equal_their_blocks_in_turn(
    text: str, padded: bool, dtype: torch.dtype, error: float, relative: Any
) -> None:
    """Outputs and gradients by both streams, in float64 also by all weights, whose sums may cancel in float32."""
    mixer, pad = mixer_of(text, dtype), None
    streams = [inputs(dtype, seed).requires_grad_() for seed in (1, 2)]
    kept = torch.ones(2, LENGTH, 1, dtype=dtype)
    if padded:
        pad = torch.arange(LENGTH) >= torch.tensor([[13], [LENGTH]])
        kept = (~pad).to(dtype)[..., None]
    weights = [inputs(dtype, seed) * kept for seed in (3, 4)]
    results = []
    for two_stream in (mixer.two_stream, lambda *given: Mixer.two_stream(mixer, *given)):
        outputs = [(y * kept) for y in two_stream(*(x * kept for x in streams), BLOCK, pad)]
        loss = sum((y * weight).sum() for y, weight in zip(outputs, weights, strict=True))
        leaves = [*streams, *(mixer.parameters() if dtype == torch.float64 else ())]
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
        results.append([one.detach() for one in (*outputs, *gradients) if one is not None])
    for found, expected in zip(*results, strict=True):
        assert relative(found, expected) < error


@pytest.mark.parametrize("block", [3, 16, 20])
@pytest.mark.parametrize("text", ["M", "M(bidirectional)", "M(kernel=1)", "C", "G(bidirectional)", "D", "A(window=5)"])
def test_blocks_of_any_length_fit(text: str, block: int, relative: Any) -> None:
    """In float32, where the scan of a CPU is a kernel of its own: chunks of 16 steps cut blocks and are cut by them."""
    mixer = mixer_of(text, torch.float32)
    length = 3 * block
    streams = [
        torch.randn(2, length, WIDTH, generator=torch.Generator().manual_seed(n)).requires_grad_() for n in (1, 2)
    ]
    results = []
    for two_stream in (mixer.two_stream, lambda *given: Mixer.two_stream(mixer, *given)):
        outputs = torch.stack(two_stream(*streams, block))
        weight = torch.linspace(-1, 1, outputs.numel()).view_as(outputs)
        gradients = torch.autograd.grad((outputs * weight).sum(), [*streams, *mixer.parameters()])
        results.append([outputs.detach(), *gradients])
    for found, expected in zip(*results, strict=True):
        assert relative(found, expected) < 1e-5


@pytest.mark.parametrize("text", [*CAUSAL, *BIDIRECTIONAL])
def test_a_block_sees_no_clean_block_from_its_own_on_and_no_other_noisy_one(text: str) -> None:
    """The gradient of the second block's noisy outputs is 0 exactly outside the first clean and the second noisy."""
    mixer = mixer_of(text)
    noisy, clean = (inputs(seed=seed).requires_grad_() for seed in (1, 2))
    own = slice(BLOCK, 2 * BLOCK)
    y, _ = mixer.two_stream(noisy, clean, BLOCK)
    by_noisy, by_clean = torch.autograd.grad(y[:, own].square().sum(), (noisy, clean), allow_unused=True)
    by_clean = torch.zeros_like(clean) if by_clean is None else by_clean
    assert float(by_clean[:, BLOCK:].abs().max()) == 0.0
    assert float(by_noisy[:, :BLOCK].abs().max()) == float(by_noisy[:, 2 * BLOCK :].abs().max()) == 0.0
    assert float(by_noisy[:, own].abs().amax(-1).min()) > 0.0
    looks_back = text not in ("F", "M(backward)", "S(backward)", "G(backward)", "D(backward)")
    assert (float(by_clean[:, BLOCK - 1].abs().max()) > 0.0) is looks_back


@pytest.mark.parametrize("text", [*CAUSAL, *BIDIRECTIONAL])
def test_a_dropped_call_leaves_the_state_as_it_was(text: str) -> None:
    mixer, x = mixer_of(text), inputs()
    with torch.no_grad():
        _, state = mixer.extend(x[:, :BLOCK])
        before, _ = mixer.extend(x[:, BLOCK:], state)
        again, nothing = mixer.extend(x[:, BLOCK:], state, keep=False)
        mixer.extend(inputs(seed=9)[:, :BLOCK], state)
        after, _ = mixer.extend(x[:, BLOCK:], state)
    assert nothing is None and torch.equal(before, again) and torch.equal(before, after)


@pytest.mark.parametrize("text", [*CAUSAL, *BIDIRECTIONAL])
def test_state_size_is_what_is_kept(text: str) -> None:
    mixer = mixer_of(text)
    with torch.no_grad():
        _, state = mixer.extend(inputs()[:, :BLOCK])
        assert state is not None and state.size == mixer.state_size(BLOCK)
        _, state = mixer.extend(inputs()[:, BLOCK:], state)
    assert state is not None and state.size == mixer.state_size(LENGTH)
    memory = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in state.tensors}
    assert sum(memory.values()) == 2 * 8 * state.size  # two rows of float64: no view holds more than it shows


def test_state_sizes_are_those_of_the_published_recurrences() -> None:
    """Inner width 2 D = 32, N = 4, K = 4; G has 4 heads of 8 x 16; attention 2 heads of 8."""
    sizes = {"M": 32 * (4 + 3), "M(bidirectional)": 16 * (4 + 3), "M(backward)": 0, "S": 32 * 4 + 3 * (32 + 2 * 4)}
    sizes |= {"S(bidirectional)": 16 * 4 + 3 * (16 + 2 * 4), "G": 4 * 8 * 16, "G(bidirectional)": 4 * 8 * 8, "F": 0}
    sizes |= {"D": 6 * 8 * 16 + 3 * 6 * 32, "D(bidirectional)": 6 * 8 * 8 + 3 * 6 * 24}  # 6 heads of 8 x 16
    sizes |= {"A(conv=4)": 2 * 16 * 24 + 3 * 3 * 16 // 2, "F(causal,conv=4)": 3 * 2 * 40, "F(conv=4)": 3 * 40}
    sizes |= {"A": 2 * 16 * 24, "A(window=5)": 2 * 16 * 5, "C": 7 * 16, "C(causal)": 14 * 16}
    assert {text: mixer_of(text).state_size(LENGTH) for text in sizes} == sizes


@pytest.mark.parametrize("text", ["H", "H(bidirectional)"])
def test_a_mixer_without_a_finite_state_is_refused_in_one_line(text: str) -> None:
    mixer = make_mixer(canonical_pattern(text).slots[0], WIDTH, {})
    assert not mixer.extends
    with pytest.raises(
        MixerError, match=r"^mixer \[hyena\] has no finite state that later positions could start from$"
    ):
        mixer.extend(torch.zeros(1, 4, WIDTH))
    with pytest.raises(BackboneError, match=r"mixer \[hyena\] has no finite state"):
        net("MH").two_stream(rows(), rows(), BLOCK)


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


def test_rotary_positions_may_be_shifted(relative: Any) -> None:
    """Only distances count: 992 positions before the first key change nothing but rounding."""
    mixer, x = mixer_of("A"), inputs()
    with torch.no_grad():
        _, state = mixer.extend(x[:, :BLOCK])
        expected, _ = mixer.extend(x[:, BLOCK:], state)
        _, later = mixer.extend(x[:, :BLOCK], type(state)(992, tuple(one[:, :, :0] for one in state.tensors)))
        found, _ = mixer.extend(x[:, BLOCK:], later)
    assert later.past == 992 + BLOCK and relative(found, expected) < 1e-4


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
    "pattern", ["A(causal)F(conv=4)", "A(window=5,conv=4)", "M(bidirectional)", "S(bidirectional)", "G", "C"]
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
    "pattern", ["A(causal)F(conv=4)", "A(window=5,conv=4)", "M(bidirectional)", "S(bidirectional)", "G", "C"]
)
def test_flops_of_two_streams_are_torchs_own_count(pattern: str) -> None:
    backbone, tokens = net(pattern, pad_id=None), rows(length=32)[:1]
    flops = backbone.two_stream_flops(32, 8)
    expected = counted(lambda: backbone.two_stream(tokens, tokens, 8))
    assert flops.total - (flops.scan if pattern[0] == "M" else 0.0) == pytest.approx(expected, rel=0.02)
