"""SCHmUBERT's denoiser: its published parameters, its layers one by one, its FLOPs against torch's counter."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from architectures import build, count_parameters, resolve
from architectures.building import shapes_only
from architectures.denoiser import Inputs
from architectures.matching import match
from architectures.schmubert import Schmubert

SMALL = {"vocab_size": 19, "length": 64, "width": 32, "depth": 2, "heads": 4}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def tokens(length: int = 64, batch: int = 2) -> torch.Tensor:
    return torch.randint(0, 19, (batch, length), generator=torch.Generator().manual_seed(length))


def test_it_has_the_published_parameters():
    """76.6 million: of the published code's 76,601,088, the start token's 512 are left out; the mask's row is added."""
    with shapes_only():
        network = Schmubert(vocab_size=91, length=1024)
    block = 4 * (512 * 512 + 512) + 512 * 2048 + 2048 + 2048 * 512 + 512 + 4 * 512
    stem = 91 * 128 + 4 * 128 + (128 * 512 * 4 + 512) + (512 * 512 + 512) + 256 * 512
    ends = 2 * 512 + (512 * 128 * 4 + 128) + 128 * 91
    assert count_parameters(network) == 24 * block + stem + ends == 76_600_704 == 76_601_088 - 512 + 128
    assert {part.p for part in network.modules() if isinstance(part, torch.nn.Dropout)} == {0.2}


def test_it_computes_its_layers_one_by_one():
    """Convolutions of torch, softmax written out; ReLU on both ends, and no norm before a head without bias."""
    network = Schmubert(**SMALL).eval()
    with torch.no_grad():
        for position in (network.bar_position, network.position):
            position.normal_()
        given = tokens(24)
        x = network.embedding(given) + network.bar_position.repeat(6, 1)  # B L E
        x = network.inward(x.transpose(1, 2)).transpose(1, 2).relu()  # B L/4 D
        x = network.reduction(x).relu() + network.position[:6]
        for block in network.blocks:
            normed = block.attention_norm(x)
            heads = [layer(normed).view(2, 6, 4, 8).transpose(1, 2) for layer in (block.query, block.key, block.value)]
            shares = (heads[0] @ heads[1].transpose(2, 3) / 8**0.5).softmax(-1)
            x = x + block.outward((shares @ heads[2]).transpose(1, 2).reshape(2, 6, 32))
            inner = torch.nn.functional.gelu(block.mlp[0](block.mlp_norm(x)))
            x = x + block.mlp[2](inner)
        x = network.outward(network.norm(x).transpose(1, 2)).transpose(1, 2).relu()  # B L E
        torch.testing.assert_close(network(given), x @ network.head.weight.T)
    assert network.head.bias is None and all(layer.bias is not None for layer in (block.query, block.mlp[0]))


def test_every_parameter_is_trained_and_rows_are_apart():
    network = Schmubert(**SMALL)
    torch.nn.functional.cross_entropy(network(tokens()).flatten(0, 1), tokens().flatten()).backward()
    assert all(float(parameter.grad.abs().max()) > 0 for parameter in network.parameters())
    network.eval()
    other = tokens().clone()
    other[1] = 3
    with torch.no_grad():
        assert torch.equal(network(tokens())[0], network(other)[0])


def test_dropout_acts_in_training_alone_and_on_attention_too(monkeypatch):
    network = Schmubert(**SMALL)
    given = []
    sdpa = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        "torch.nn.functional.scaled_dot_product_attention",
        lambda *heads, dropout_p, **more: given.append(dropout_p) or sdpa(*heads, dropout_p=dropout_p, **more),
    )
    assert not torch.equal(network(tokens()), network(tokens()))
    network.eval()
    assert torch.equal(network(tokens()), network(tokens()))
    assert given == [0.2] * 4 + [0.0] * 4


@pytest.mark.parametrize("width", [32, 30])
def test_flops_are_those_that_torch_counts(width):
    """Width 30 has 4 heads of 7 and 7 features a token."""
    network = Schmubert(**{**SMALL, "width": width}).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        network(tokens(48, batch=1))
    assert network.flops(48).total == counter.get_total_flops()
    with shapes_only():
        published = Schmubert(vocab_size=91, length=2048)
    assert (
        published.flops(1024).total == 2.0 * 256 * (3 + 24 * 12) * 512**2 + 2.0 * 1024 * 128 * 91 + 96.0 * 256**2 * 512
    )


def test_it_is_an_arm_of_one_graph_that_learns():
    arm = build("schmubert", vocab_size=19, seed=0, inputs=Inputs(64, 1, 0), width=32, depth=2, heads=4)
    assert isinstance(arm.network, Schmubert)
    assert (arm.direction, arm.flops_source) == ("no Mamba", "own formula")
    compiled = torch.compile(arm.eval(), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(tokens()), arm(tokens()))
    torch._dynamo.reset()


def test_its_width_is_solved_to_the_size_of_a_backbone():
    arms = {"transformer": resolve("transformer", 300, width=224, layers=6), "schmubert": resolve("schmubert", 300)}
    arms["schmubert"] = arms["schmubert"].with_size("depth", 2)
    found = match(arms, reference="transformer")["schmubert"]
    assert (dict(found.config.sizes)["width"], found.parameters) == (266, 2_089_182)


def test_positions_do_not_decay():
    marked = [
        name for name, value in Schmubert(**SMALL).named_parameters() if getattr(value, "_no_weight_decay", False)
    ]
    assert marked == ["bar_position", "position"]


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"width": 2}, "width=2, depth=2, heads=4, stride=4; each must be at least 1, and the width at least heads"),
        ({"heads": 0}, "heads=0, stride=4; each must be at least 1"),
    ],
)
def test_sizes_that_cannot_be_are_refused(sizes, says):
    with pytest.raises(ValueError, match=says):
        Schmubert(**{**SMALL, **sizes})


@pytest.mark.parametrize("length", [0, 6, 68])
def test_lengths_that_it_does_not_take_are_refused(length):
    with pytest.raises(ValueError, match=f"length {length}; allowed: multiples of 4 up to 64"):
        Schmubert(**SMALL)(torch.zeros(1, length, dtype=torch.int64))
