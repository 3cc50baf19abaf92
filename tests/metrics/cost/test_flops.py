"""FLOP counts against hand counts; what each counter misses when it is left alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from metrics.cost.flops import attention_flops, count_by_dispatch, count_by_tracing, scan_flops


class Attention(nn.Module):
    """One head group over B L 32, between a strided convolution and its transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.shorten = nn.Conv1d(32, 32, 4, stride=4)
        self.norm = nn.LayerNorm(32)
        self.project = nn.Linear(32, 96)
        self.output = nn.Linear(32, 32)
        self.lengthen = nn.ConvTranspose1d(32, 32, 4, stride=4)

    def forward(self, x_BLD: torch.Tensor) -> torch.Tensor:
        x = self.shorten(x_BLD.transpose(1, 2)).transpose(1, 2)
        q, k, v = self.project(self.norm(x)).unflatten(-1, (3, 4, 8)).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.lengthen((x + functional.silu(self.output(y))).transpose(1, 2))


# On paper, batch 2, 64 steps shortened to 16:
CONVOLUTION = 2 * (2 * 16 * 32 * 32 * 4) * 2  # both convolutions: 16 steps x 32 x 32 x kernel 4, twice
LINEAR = 2 * 2 * 16 * 32 * (96 + 32)
ATTENTION = 2 * 2 * 2 * 4 * 16 * 16 * 8  # two products over 4 heads of 8
NORM = 5 * 2 * 16 * 32


@pytest.fixture(scope="module")
def module_and_input():
    torch.manual_seed(0)
    return Attention(), torch.randn(2, 64, 32)


def test_the_hand_count_as_a_number():
    assert (CONVOLUTION, LINEAR, ATTENTION) == (524288, 262144, 65536)


def test_tracing_agrees_with_the_hand_count(module_and_input):
    module, x = module_and_input
    count = count_by_tracing(module, (x,))
    assert count.products == CONVOLUTION + LINEAR + ATTENTION == 851968
    # norms are counted in plain operations already, so they are not doubled
    assert count.by_operator["layer_norm"] == NORM and count.total == 851968 + NORM
    assert "aten::silu" in count.uncounted and "aten::add" in count.uncounted
    assert count.circular == ("aten::scaled_dot_product_attention",)


def test_dispatch_agrees_with_the_hand_count(module_and_input):
    module, x = module_and_input
    count = count_by_dispatch(lambda: module(x))
    assert count.total == 851968
    assert count.uncounted == {"aten::native_layer_norm": 1, "aten::silu": 1, "aten::add": 1}


def test_on_meta_attention_is_counted_by_its_products_without_our_formula(module_and_input):
    module = Attention().to("meta")
    count = count_by_dispatch(lambda: module(torch.empty(2, 64, 32, device="meta")))
    assert count.by_operator["aten::bmm"] == ATTENTION and count.total == 851968 and count.circular == ()


def test_torch_alone_counts_no_attention_on_a_cpu():
    q = torch.randn(1, 2, 8, 4)
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        functional.scaled_dot_product_attention(q, q, q)
    assert counter.get_total_flops() == 0
    assert count_by_dispatch(lambda: functional.scaled_dot_product_attention(q, q, q)).total == 2 * 2 * 2 * 8 * 8 * 4


def test_backward_of_a_linear_layer_is_twice_its_forward():
    layer, x = nn.Linear(16, 8), torch.randn(4, 16, requires_grad=True)
    forward = 2 * 4 * 16 * 8
    assert count_by_dispatch(lambda: layer(x).sum().backward()).total == 3 * forward


def test_backward_of_fused_attention_computes_the_scores_again():
    q = torch.randn(1, 2, 8, 4, requires_grad=True)
    product = 2 * 2 * 8 * 8 * 4
    count = count_by_dispatch(lambda: functional.scaled_dot_product_attention(q, q, q).sum().backward())
    assert count.total == (2 + 5) * product


def test_triangular_systems_are_counted_with_their_gradients():
    """3 systems of 4 with 5 columns, 4 x 4 operations a column; backward one more and the product of two results."""
    system, given = torch.eye(4).expand(3, 4, 4).requires_grad_(), torch.ones(3, 4, 5, requires_grad=True)

    class Solve(nn.Module):
        def forward(self, system: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
            return torch.linalg.solve_triangular(system, given, upper=False)

    assert count_by_tracing(Solve(), (system, given)).total == 3 * 4 * 4 * 5
    assert count_by_dispatch(lambda: Solve()(system, given)).total == 3 * 4 * 4 * 5
    both = count_by_dispatch(lambda: Solve()(system, given).sum().backward())
    assert both.total == 2 * 3 * 4 * 4 * 5 + 2 * 3 * 4 * 4 * 5


def test_formulas_from_shapes():
    assert attention_flops((1, 8, 512, 64), (1, 8, 512, 64), (1, 8, 512, 64)) == 4 * 8 * 512 * 512 * 64
    assert scan_flops((2, 6, 100), (2, 6, 100), (6, 16)) == 9 * 2 * 6 * 100 * 16


@torch.library.custom_op("smdim_bench_test::opaque", mutates_args=())
def opaque(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x @ y


@opaque.register_fake
def _(x, y):
    return x.new_empty(x.shape[0], y.shape[1])


class Opaque(nn.Module):
    def forward(self, x):
        return opaque(x, x)


def test_an_opaque_operator_is_named_as_uncounted_until_it_has_a_formula():
    x = torch.randn(4, 4)
    name = "smdim_bench_test::opaque"
    formulas = {name: lambda x_shape, y_shape, **_: 2 * x_shape[0] * x_shape[1] * y_shape[1]}
    for count in (
        lambda **more: count_by_tracing(Opaque(), (x,), **more),
        lambda **more: count_by_dispatch(lambda: Opaque()(x), **more),
    ):
        assert count().total == 0 and name in count().uncounted
        counted = count(formulas=formulas)
        assert counted.total == 128 and name in counted.circular and name not in counted.uncounted


def test_counting_leaves_the_training_mode_alone(module_and_input):
    module, x = module_and_input
    module.train()
    count_by_tracing(module, (x,))
    assert module.training
