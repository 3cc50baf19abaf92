"""The mixers against recurrences, direct sums and another implementation; the contract holds for each."""

from __future__ import annotations

import pytest
import torch

from architectures import canonical_pattern
from architectures.attention import Attention, rotate
from architectures.contract import check_slot, measured_direction
from architectures.convolution import Convolution
from architectures.feed_forward import FeedForward
from architectures.linear_attention import GatedLinearAttention, gla_chunked
from architectures.long_convolution import Hyena, ImplicitFilter, fft_convolve
from architectures.mamba import Mamba
from architectures.mamba2 import Mamba2
from architectures.mixer import make_mixer
from architectures.ssd import ssd_chunked, ssd_reference

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
    "C",
    "C(causal)",
    "G",
    "G(backward)",
    "G(bidirectional)",
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
@pytest.mark.parametrize("text", BUILT_IN)
def test_the_contract_holds_on_a_gpu(text):
    failed = [check for check in check_slot(canonical_pattern(text).slots[0], device="cuda") if not check.passed]
    assert failed == []


@pytest.mark.parametrize(
    ("text", "seen"), [("M", "forward"), ("M(backward)", "backward"), ("F", "none"), ("A", "bidirectional")]
)
def test_perturbation_measures_the_direction(text, seen):
    assert measured_direction(make_mixer(canonical_pattern(text).slots[0], 32, {})) == seen


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest error over the largest expected value; where zeros are expected, the largest value found."""
    size = float(expected.abs().max())
    return float((found - expected).abs().max()) / (size or 1.0)


@pytest.mark.parametrize("length", [1, 16, 63, 150])
def test_ssd_equals_its_recurrence_with_gradients(length):
    shapes = {"x": (2, length, 3, 4), "delta": (2, length, 3), "A": (3,), "B": (2, length, 5), "C": (2, length, 5)}
    inputs = {name: torch.randn(shape) for name, shape in shapes.items()}
    inputs["delta"] = torch.nn.functional.softplus(3 * inputs["delta"])
    inputs["A"] = -inputs["A"].exp() * 4
    results = {}
    for run in (ssd_reference, ssd_chunked):
        leaves = [tensor.clone().requires_grad_() for tensor in inputs.values()]
        y = run(*leaves)
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        results[run] = [y.detach(), *(leaf.grad for leaf in leaves)]
    for found, expected in zip(results[ssd_chunked], results[ssd_reference], strict=True):
        assert relative(found, expected) < 1e-4


@pytest.mark.parametrize("length", [1, 16, 37, 130])
@pytest.mark.parametrize("harshness", [1.0, 200.0])
def test_gated_linear_attention_equals_its_recurrence_with_gradients(length, harshness):
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
def test_fft_convolution_equals_the_direct_sum(length, before):
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


def test_split_mamba_is_half_a_forward_and_half_a_backward_mixer():
    both = Mamba(32, direction="bidirectional")
    ahead, back = Mamba(32, direction="forward"), Mamba(32, direction="backward")
    for other in (ahead, back):
        other.load_state_dict(both.state_dict())
    seen = {}
    for name, mixer in (("both", both), ("ahead", ahead), ("back", back)):
        (space, _), *_ = mixer.passes()
        x = torch.randn(1, 64, 40, generator=torch.Generator().manual_seed(1))
        seen[name] = [
            space.convolve(x, part, backward=backward) for _, parts in [mixer.passes()[0]] for part, backward in parts
        ]
    torch.testing.assert_close(seen["both"][0], seen["ahead"][0][:, :32])
    torch.testing.assert_close(seen["both"][1], seen["back"][0][:, 32:])
    assert both.flops(40) == ahead.flops(40)


def test_backward_mamba_is_the_forward_one_on_reversed_time():
    ahead, back = Mamba(32), Mamba(32, direction="backward")
    back.load_state_dict(ahead.state_dict())
    x = torch.randn(2, 50, 32)
    torch.testing.assert_close(back(x), ahead(x.flip(1)).flip(1), rtol=1e-4, atol=1e-5)


def test_tied_mamba_adds_both_ways_at_equal_parameters():
    tied, ahead = Mamba(32, direction="bidirectional", weights="tied"), Mamba(32)
    back = Mamba(32, direction="backward")
    for other in (ahead, back):
        other.load_state_dict(tied.state_dict())
    x = torch.randn(2, 50, 32)
    torch.testing.assert_close(tied(x), ahead(x) + back(x), rtol=1e-4, atol=1e-5)
    assert tied.flops(50).scan == 2 * ahead.flops(50).scan


def test_separate_mamba_adds_two_whole_scans_between_shared_projections():
    vim = Mamba(32, direction="bidirectional", weights="separate")
    ahead, back = Mamba(32), Mamba(32, direction="backward")
    for other, space in ((ahead, vim.ahead), (back, vim.back)):
        for part, given in ((other.inward, vim.inward), (other.ahead, space), (other.outward, vim.outward)):
            part.load_state_dict(given.state_dict())
    assert not torch.equal(vim.ahead.convolution.weight, vim.back.convolution.weight)
    x = torch.randn(2, 50, 32)
    torch.testing.assert_close(vim(x), ahead(x) + back(x), rtol=1e-4, atol=1e-5)
    assert vim.flops(50).scan == 2 * ahead.flops(50).scan


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
    [(256, (8, 64), (4, 32, 64)), (250, (8, 60), (4, 31, 62)), (16, (1, 32), (4, 2, 4)), (4, (1, 8), (4, 1, 2))],
)
def test_published_heads_scale_with_the_width(width, mamba2, gla):
    one, other = Mamba2(width), GatedLinearAttention(width)
    assert (one.heads, one.head_width) == mamba2
    assert (other.heads, other.key_width, other.value_width) == gla


def test_mamba_starts_as_published():
    space = Mamba(64).ahead
    assert torch.allclose(space.A_log.exp(), torch.arange(1.0, 17).expand(128, 16))
    assert bool((space.D == 1).all())
    delta = torch.nn.functional.softplus(space.to_delta.bias)
    assert float(delta.min()) >= 1e-3 * 0.999 and float(delta.max()) <= 1e-1 * 1.001
    assert float(delta.log().std()) == pytest.approx(4.605 / 12**0.5, rel=0.15)  # log-uniform


@pytest.mark.parametrize(
    ("width", "heads", "features"), [(256, 8, 32), (248, 8, 28), (32, 1, 32), (16, 1, 16), (272, 8, 32), (6, 1, 4)]
)
def test_heads_follow_the_width(width, heads, features):
    mixer = Attention(width, head_width=32)
    assert (mixer.heads, mixer.head_width) == (heads, features)


def test_windowed_attention_equals_a_mask():
    for causal in (False, True):
        mixer = Attention(32, window=6, head_width=16, causal=causal)
        for length in (20, 31, 64):
            assert mixer.chunks(length) > 1
            x = torch.randn(2, length, 32)
            place = torch.arange(length)
            distance = place[:, None] - place[None, :]
            mask = (distance <= 6) & (distance >= (0 if causal else -6))
            query, key, value = mixer.inward(x).view(2, length, 3, 2, 16).permute(2, 0, 3, 1, 4)
            scores = rotate(query) @ rotate(key).transpose(-1, -2) / 4.0
            weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=-1)
            expected = mixer.outward((weights @ value).transpose(1, 2).reshape(2, length, 32))
            torch.testing.assert_close(mixer(x), expected, rtol=1e-4, atol=1e-5)


def test_a_window_makes_attention_linear_in_the_length():
    mixer = Attention(32, window=16)
    assert mixer.flops(2048).attention == 2 * mixer.flops(1024).attention == 4 * 2048 * 48 * 32


def test_rotary_scores_depend_on_the_distance_only():
    query, key = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)
    turned_q, turned_k = rotate(query.expand(1, 1, 30, 8)), rotate(key.expand(1, 1, 30, 8))
    scores = (turned_q @ turned_k.transpose(-1, -2))[0, 0]
    torch.testing.assert_close(scores[:-1, :-1], scores[1:, 1:], rtol=1e-4, atol=1e-5)
    assert torch.allclose(torch.diagonal(scores), (query * key).sum(), atol=1e-5)


def test_learned_positions_of_attention_end():
    with pytest.raises(ValueError, match="max_positions=8"):
        Attention(32, positions="learned", max_positions=8)(torch.randn(1, 9, 32))


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
        (lambda: Hyena(32, direction="backward"), "direction='backward'; allowed: forward, bidirectional"),
        (lambda: FeedForward(32, activation="relu"), "activation='relu'; allowed: swiglu, gelu"),
    ],
)
def test_bad_options_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_mamba_equals_transformers_mixer_on_copied_weights():
    transformers = pytest.importorskip("transformers")
    from transformers.models.mamba.modeling_mamba import MambaMixer

    config = transformers.MambaConfig(hidden_size=48, state_size=16, expand=2, conv_kernel=4, num_hidden_layers=1)
    theirs, ours = MambaMixer(config, 0).eval(), Mamba(48)
    ours.load_state_dict(
        {
            "inward.weight": theirs.in_proj.weight,
            "ahead.convolution.weight": theirs.conv1d.weight,
            "ahead.convolution.bias": theirs.conv1d.bias,
            "ahead.to_parameters.weight": theirs.x_proj.weight,
            "ahead.to_delta.weight": theirs.dt_proj.weight,
            "ahead.to_delta.bias": theirs.dt_proj.bias,
            "ahead.A_log": theirs.A_log,
            "ahead.D": theirs.D,
            "outward.weight": theirs.out_proj.weight,
        }
    )
    x = torch.randn(2, 70, 48)
    with torch.no_grad():
        expected = theirs(x)
        assert relative(ours(x), expected) < 1e-5


def test_mamba2_equals_transformers_mixer_on_copied_weights():
    transformers = pytest.importorskip("transformers")
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

    config = transformers.Mamba2Config(
        hidden_size=48, state_size=24, expand=2, conv_kernel=4, num_heads=6, head_dim=16, n_groups=1, chunk_size=32
    )
    theirs, ours = Mamba2Mixer(config, 0).eval(), Mamba2(48, state=24, head_features=16)
    with torch.no_grad():
        theirs.norm.weight.uniform_(0.5, 1.5)
        theirs.D.uniform_(0.5, 1.5)
    ours.load_state_dict(
        {
            "inward.weight": theirs.in_proj.weight,
            "convolution.weight": theirs.conv1d.weight,
            "convolution.bias": theirs.conv1d.bias,
            "delta_bias": theirs.dt_bias,
            "A_log": theirs.A_log,
            "D": theirs.D,
            "norm_weight": theirs.norm.weight,
            "outward.weight": theirs.out_proj.weight,
        }
    )
    x = torch.randn(2, 70, 48)
    with torch.no_grad():
        expected = theirs(x)
        assert relative(ours(x), expected) < 1e-5
