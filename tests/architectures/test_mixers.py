"""The mixers against recurrences, direct sums and another implementation; the contract holds for each."""

from __future__ import annotations

import pytest
import torch

from architectures import canonical_pattern
from architectures.attention import Attention
from architectures.contract import check_slot, measured_direction
from architectures.convolution import Convolution
from architectures.feed_forward import FeedForward
from architectures.gated_delta import GatedDeltaNet
from architectures.linear_attention import GatedLinearAttention, gla_chunked
from architectures.long_convolution import Hyena, ImplicitFilter, fft_convolve
from architectures.mamba import Mamba
from architectures.mamba2 import Mamba2
from architectures.registry import make_mixer

BUILT_IN = (
    "M",
    "M(backward)",
    "M(bidirectional)",
    "M(bidirectional,tied)",
    "M(bidirectional,separate)",
    "S",
    "S(backward)",
    "S(bidirectional)",
    "A",
    "A(causal)",
    "A(learned)",
    "A(window=5)",
    "A(window=9,causal)",
    "A(window=40)",
    "F",
    "F(gelu)",
    "A(conv=4)",
    "A(causal,conv=3)",
    "F(conv=4)",
    "F(causal,conv=4,gelu)",
    "C",
    "C(causal)",
    "G",
    "G(backward)",
    "G(bidirectional)",
    "D",
    "D(backward)",
    "D(bidirectional)",
    "H",
    "H(bidirectional)",
)


def gla_reference(
    query_BLHK: torch.Tensor, key_BLHK: torch.Tensor, value_BLHV: torch.Tensor, log_decay_BLHK: torch.Tensor
) -> torch.Tensor:
    """S_t = diag(exp(g_t)) S_(t-1) + k_t v_t^T;  o_t = S_t^T q_t, one step after another, in float64: (B, L, H, V).

    Source: Yang et al. 2023, arXiv 2312.06635, eq. 3.
    """
    query, key, value, decay = (t.double() for t in (query_BLHK, key_BLHK, value_BLHV, log_decay_BLHK.double().exp()))
    state = torch.zeros_like(key[:, 0, :, :, None] * value[:, 0, :, None])  # B H K V
    outputs = []
    for t in range(query.shape[1]):
        state = decay[:, t, :, :, None] * state + key[:, t, :, :, None] * value[:, t, :, None]
        outputs.append((query[:, t, :, :, None] * state).sum(dim=2))  # B H K V -> B H V
    return torch.stack(outputs, dim=1).to(value_BLHV.dtype)  # -> B L H V


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("text", BUILT_IN)
def test_the_contract_holds(text):
    failed = [check for check in check_slot(canonical_pattern(text).slots[0], width=32) if not check.passed]
    assert failed == []


@pytest.mark.gpu
@pytest.mark.gpu_short
@pytest.mark.parametrize("text", BUILT_IN)
def test_the_contract_holds_on_a_gpu(text):
    failed = [check for check in check_slot(canonical_pattern(text).slots[0], device="cuda") if not check.passed]
    assert failed == []


@pytest.mark.parametrize(
    ("text", "seen"), [("M", "forward"), ("M(backward)", "backward"), ("F", "none"), ("A", "bidirectional")]
)
def test_perturbation_measures_the_direction(text, seen):
    assert measured_direction(make_mixer(canonical_pattern(text).slots[0], 32, {})) == seen


@pytest.mark.parametrize("length", [1, 16, 37, 130])
@pytest.mark.parametrize("harshness", [1.0, 200.0])
def test_gated_linear_attention_equals_its_recurrence_with_gradients(length, harshness, relative):
    from architectures.linear_attention import LOG_DECAY_FLOOR

    query, key, value = torch.randn(2, length, 3, 4), torch.randn(2, length, 3, 4), torch.randn(2, length, 3, 6)
    log_decay = (-harshness * torch.rand(2, length, 3, 4) / 16).clamp(min=LOG_DECAY_FLOOR)
    results = {}
    for run in (gla_reference, gla_chunked):
        leaves = [tensor.clone().requires_grad_() for tensor in (query, key, value, log_decay)]
        y = run(*leaves)
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        results[run] = [y.detach(), *(leaf.grad for leaf in leaves)]
    for found, expected in zip(results[gla_chunked], results[gla_reference], strict=True):
        assert bool(torch.isfinite(found).all())
        assert relative(found, expected) < 1e-4


@pytest.mark.parametrize(("length", "before"), [(1, 0), (20, 0), (20, 19), (33, 32), (64, 5)])
def test_fft_convolution_equals_the_direct_sum(length, before, relative):
    taps = length + before
    x, filters = torch.randn(2, 3, length, dtype=torch.float64), torch.randn(3, taps, dtype=torch.float64)
    direct = torch.zeros_like(x)
    for t in range(length):
        for s in range(length):
            if 0 <= t - s + before < taps:
                direct[:, :, t] += filters[:, t - s + before] * x[:, :, s]
    torch.testing.assert_close(fft_convolve(x, filters, before), direct)
    assert relative(fft_convolve(x.float(), filters.float(), before), direct.float()) < 1e-5


def test_hyena_filter_does_not_depend_on_the_length():
    filters = ImplicitFilter(8)
    short, long = filters(torch.arange(-9.0, 10)), filters(torch.arange(-99.0, 100))
    torch.testing.assert_close(short, long[:, 90:109])


def test_hyena_directions_share_their_parameters():
    sizes = [{n: p.shape for n, p in Hyena(16, direction=d).named_parameters()} for d in ("forward", "bidirectional")]
    assert sizes[0] == sizes[1]


def test_mixers_have_their_published_sizes_at_width_512():
    """Parameters by part: Mamba-2 of the released code, GLA with key D/2 and value D over 4 heads, Vim's two scans."""
    mamba2, gla = Mamba2(512), GatedLinearAttention(512)
    vim = Mamba(512, direction="bidirectional", weights="separate")
    assert (mamba2.state, mamba2.heads, mamba2.head_width) == (128, 16, 64)
    assert (gla.heads, gla.key_width, gla.value_width) == (4, 64, 128)
    parameters = [sum(p.numel() for p in mixer.parameters()) for mixer in (mamba2, gla, vim)]
    scan = 1024 * 5 + 1024 * 64 + 33 * 1024 + 1024 * 17  # convolution, to delta B C, delta, A and D
    assert parameters == [
        512 * (2 * 1024 + 2 * 128 + 16) + (1024 + 2 * 128) * 5 + 3 * 16 + 1024 + 1024 * 512,
        2 * 512 * 256 + 3 * 512 * 512 + 512 * 16 + 17 * 256 + 128,
        3 * 512 * 1024 + 2 * scan,
    ]
    assert parameters == [1_719_600, 1_061_248, 1_816_576]


@pytest.mark.parametrize(
    ("width", "mamba2", "gla"),
    [
        (256, (8, 64), (4, 32, 64)),
        (250, (8, 64), (4, 32, 64)),
        (472, (16, 56), (4, 56, 112)),
        (16, (1, 32), (4, 8, 16)),
        (4, (1, 8), (4, 8, 16)),
    ],
)
def test_published_heads_scale_with_the_width(width, mamba2, gla):
    one, other = Mamba2(width), GatedLinearAttention(width)
    assert (one.heads, one.head_width) == mamba2
    assert (other.heads, other.key_width, other.value_width) == gla


def test_feed_forward_has_about_eight_width_squared_parameters():
    for activation in ("swiglu", "gelu"):
        parameters = sum(p.numel() for p in FeedForward(96, activation=activation).parameters())
        assert parameters == 8 * 96**2


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Attention(32, head_width=7), "head_width=7; must be a multiple of 4"),
        (lambda: Attention(32, positions="sine"), "positions='sine'; allowed: rope, learned, none"),
        (lambda: Convolution(32, kernel=4), "kernel=4; must be at least 1, and odd"),
        (lambda: Mamba(32, direction="up"), "direction='up'; allowed: forward, backward, bidirectional"),
        (lambda: Mamba(32, weights="other"), "weights='other'"),
        (lambda: Mamba(32, state=0), "state=0"),
        (lambda: Mamba2(32, direction="up"), "direction='up'"),
        (lambda: Mamba2(32, head_features=6), "head_features=6; must be a multiple of 4"),
        (lambda: GatedLinearAttention(32, heads=0), "heads=0; must be at least 1"),
        (lambda: GatedDeltaNet(32, heads=0), "heads=0, kernel=4; each must be at least 1"),
        (lambda: Hyena(32, direction="backward"), "direction='backward'; allowed: forward, bidirectional"),
        (lambda: FeedForward(32, causal=True), "causal without conv; a feed-forward alone mixes no positions"),
        (lambda: Attention(32, conv=1), "conv=1; must be at least 2 positions, or 0 for none"),
        (lambda: FeedForward(32, hidden=9, activation="gelu", conv=4), "9 channels cannot be split in two"),
        (lambda: FeedForward(32, activation="relu"), "activation='relu'; allowed: swiglu, gelu"),
    ],
)
def test_bad_options_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
