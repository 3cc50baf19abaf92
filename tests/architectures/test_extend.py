"""Extension of mixers from a state: equal to the whole call, to two streams of blocks, and blind to what lies ahead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from extending import (
    BIDIRECTIONAL,
    BLOCK,
    CAUSAL,
    LENGTH,
    WIDTH,
    WITHOUT_STATE,
    inputs,
    mixer_of,
    net,
    rows,
)

from architectures import BackboneError, MixerError, canonical_pattern
from architectures.mixer import Mixer
from architectures.registry import make_mixer, registered_mixers
from architectures.state import Call


def in_calls(mixer: Mixer, x: torch.Tensor, block: int, pad: torch.Tensor | None = None) -> torch.Tensor:
    """The outputs of one call of `extend` a block."""
    state, outputs = None, []
    for start in range(0, x.shape[1], block):
        part = slice(start, start + block)
        y, state = mixer.extend(x[:, part], state, Call(None if pad is None else pad[:, part]))
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
        outputs = [(y * kept) for y in two_stream(*(x * kept for x in streams), BLOCK, Call(pad))]
        loss = sum((y * weight).sum() for y, weight in zip(outputs, weights, strict=True))
        leaves = [*streams, *(mixer.parameters() if dtype == torch.float64 else ())]
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
        results.append([one.detach() for one in (*outputs, *gradients) if one is not None])
    for found, expected in zip(*results, strict=True):
        assert relative(found, expected) < error


def both_forms(mixer: Mixer, length: int, block: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Outputs, gradients by both streams and by all weights, of the fast form and of the loop."""
    dtype, results = next(mixer.parameters()).dtype, []
    streams = [
        torch.randn(2, length, WIDTH, dtype=dtype, generator=torch.Generator().manual_seed(n)).requires_grad_()
        for n in (1, 2)
    ]
    for two_stream in (mixer.two_stream, lambda *given: Mixer.two_stream(mixer, *given)):
        outputs = torch.stack(two_stream(*streams, block))
        weight = torch.linspace(-1, 1, outputs.numel(), dtype=dtype).view_as(outputs)
        gradients = torch.autograd.grad((outputs * weight).sum(), [*streams, *mixer.parameters()])
        results.append([outputs.detach(), *gradients])
    return zip(*results, strict=True)


@pytest.mark.parametrize("block", [3, 16, 20])
@pytest.mark.parametrize("text", ["M", "M(bidirectional)", "M(kernel=1)", "C", "G(bidirectional)", "D", "A(window=5)"])
def test_blocks_of_any_length_fit(text: str, block: int, relative: Any) -> None:
    """In float32, where the scan of a CPU is a kernel of its own: chunks of 16 steps cut blocks and are cut by them."""
    for found, expected in both_forms(mixer_of(text, torch.float32), 3 * block, block):
        assert relative(found, expected) < 1e-5


@pytest.mark.parametrize(("block", "length"), [(1, 40), (5, 70), (20, 60), (32, 64), (40, 80)])
@pytest.mark.parametrize("text", ["S(bidirectional)", "S(kernel=1)", "D(bidirectional)"])
def test_chunks_hold_blocks_and_are_held_by_them(text: str, block: int, length: int, relative: Any) -> None:
    """Chunks of 32 steps: several blocks, one, a part of one, and at the end fewer."""
    for found, expected in both_forms(mixer_of(text), length, block):
        assert relative(found, expected) < 1e-12


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
        again, nothing = mixer.extend(x[:, BLOCK:], state, Call(keep=False))
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


def test_rotary_positions_may_be_shifted(relative: Any) -> None:
    """Only distances count: 992 positions before the first key change nothing but rounding."""
    mixer, x = mixer_of("A"), inputs()
    with torch.no_grad():
        _, state = mixer.extend(x[:, :BLOCK])
        expected, _ = mixer.extend(x[:, BLOCK:], state)
        _, later = mixer.extend(x[:, :BLOCK], type(state)(992, tuple(one[:, :, :0] for one in state.tensors)))
        found, _ = mixer.extend(x[:, BLOCK:], later)
    assert later.past == 992 + BLOCK and relative(found, expected) < 1e-4
