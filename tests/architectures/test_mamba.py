"""The Mamba mixers against recurrences and another implementation."""

from __future__ import annotations

import pytest
import torch

from architectures.mamba import Mamba
from architectures.mamba2 import Mamba2
from architectures.selective_state_space import channel_shares, product
from architectures.ssd import ssd_chunked, ssd_reference


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("length", [1, 16, 63, 150])
def test_ssd_equals_its_recurrence_with_gradients(length, relative):
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


@pytest.mark.parametrize("part", ["convolution", "scan"])
def test_split_mamba_is_half_a_forward_and_half_a_backward_mixer(part):
    both, ahead = Mamba(32, direction="bidirectional"), Mamba(32, direction="forward")
    back = Mamba(32, direction="backward")
    with torch.no_grad():
        if part == "convolution":  # B = C = 0: nothing but convolution, skip and gate
            both.ahead.to_parameters.weight.zero_()
        else:  # the convolution passes its input on, so that delta, B and C are those of either direction
            both.ahead.convolution.weight.zero_()[..., -1] = 1.0
    for other in (ahead, back):
        other.load_state_dict(both.state_dict())
    inner, gate = torch.randn(2, 2, 64, 40)
    found, right, left = (
        mixer.ahead.run(channel_shares(inner, ways), channel_shares(gate, ways), mixer.passes()[0][1])
        for mixer, ways in ((both, 2), (ahead, 1), (back, 1))
    )
    torch.testing.assert_close(found, torch.cat((right[:, :32], left[:, 32:]), dim=1))
    assert not torch.allclose(right, left)
    assert both.flops(40) == ahead.flops(40)


def test_outputs_without_gradients_have_the_bits_of_those_with():
    mixer, x = Mamba(32, direction="bidirectional"), torch.randn(2, 70, 32)
    with_gradients = mixer(x)
    with torch.no_grad():
        assert torch.equal(mixer(x), with_gradients)


def test_products_of_a_mamba_copy_nothing_and_slice_nothing_whole():
    """Time is innermost in what the scan and the convolution read, as in the published layout."""
    weight, x = torch.randn(6, 4), torch.randn(3, 5, 4)
    y = product(weight, x.transpose(1, 2))
    torch.testing.assert_close(y, torch.einsum("oi,bli->bol", weight, x))
    assert y.stride() == (5, 15, 1)
    for direction in ("forward", "backward", "bidirectional"):
        y = Mamba(32, direction=direction)(torch.randn(2, 16, 32, requires_grad=True))
        seen, left = set(), [y.grad_fn]
        while left:
            node = left.pop()
            seen.add(node)
            left += [one for one, _ in node.next_functions if one is not None and one not in seen]
        assert not [node.name() for node in seen if node.name() == "SliceBackward0"]


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


def test_mamba_starts_as_published():
    space = Mamba(64).ahead
    assert torch.allclose(space.A_log.exp(), torch.arange(1.0, 17).expand(128, 16))
    assert bool((space.D == 1).all())
    delta = torch.nn.functional.softplus(space.to_delta.bias)
    assert float(delta.min()) >= 1e-3 * 0.999 and float(delta.max()) <= 1e-1 * 1.001
    assert float(delta.log().std()) == pytest.approx(4.605 / 12**0.5, rel=0.15)  # log-uniform


def test_mamba_equals_transformers_mixer_on_copied_weights(relative):
    transformers = pytest.importorskip("transformers")
    from transformers.models.mamba.modeling_mamba import MambaMixer

    config = transformers.MambaConfig(
        hidden_size=48, state_size=16, expand=2, conv_kernel=4, time_step_rank=8, num_hidden_layers=1
    )
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


def test_mamba2_equals_transformers_mixer_on_copied_weights(relative):
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
