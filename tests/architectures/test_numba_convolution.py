"""The compiled convolution of the Mamba mixers: closed forms, float64, layouts, threads, what is left to torch."""

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from architectures import build
from architectures.depthwise import CONVOLUTION, causal_convolution, plain_convolution
from architectures.kernel_choice import BROKEN, KernelError, recorded_kernels
from architectures.scan import workers

numba_convolution = pytest.importorskip("architectures.numba_convolution")
kernel = numba_convolution.causal_convolution


def silu(value: float) -> float:
    return value * torch.tensor(value).sigmoid().item()


def test_windows_look_back_or_ahead_and_are_cut_at_the_ends() -> None:
    x = torch.tensor([[[1.0, 10.0, 100.0]]])
    weight, bias = torch.tensor([[0.5, 2.0]]), torch.tensor([1.0])
    back = kernel(x, weight, bias, backward=False)
    ahead = kernel(x, weight, bias, backward=True)
    assert back.flatten().tolist() == pytest.approx([silu(3.0), silu(21.5), silu(206.0)])
    assert ahead.flatten().tolist() == pytest.approx([silu(8.0), silu(71.0), silu(201.0)])


def random_leaves(batch: int, channels: int, length: int, width: int, bias: bool) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(length)
    shapes = [(channels, batch, length), (channels, width), *[(channels,)] * bias]
    x, *others = (torch.randn(shape, generator=generator) for shape in shapes)
    return [x.transpose(0, 1), *others]


def output_and_gradients(function, tensors: list[torch.Tensor], backward: bool) -> list[torch.Tensor]:
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    y = function(leaves[0], leaves[1], leaves[2] if len(leaves) == 3 else None, backward=backward)
    direction = torch.linspace(-1, 2, y.numel(), dtype=torch.float64).reshape(y.shape).to(y.dtype)
    return [y.detach(), *torch.autograd.grad(y, leaves, direction)]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(
    ("batch", "channels", "length", "width", "bias"),
    [(1, 1, 1, 1, True), (2, 3, 2, 4, False), (1, 9, 15, 2, True), (3, 5, 16, 3, True), (2, 20, 50, 7, True)],
)
def test_output_and_gradients_are_those_of_float64(batch, channels, length, width, bias, backward) -> None:
    tensors = random_leaves(batch, channels, length, width, bias)
    found = output_and_gradients(kernel, tensors, backward)
    exact = output_and_gradients(plain_convolution, [tensor.double() for tensor in tensors], backward)
    for one, other in zip(found, exact, strict=True):
        assert (one - other).abs().max() <= 3e-6 * max(1.0, float(other.abs().max()))


def test_memory_in_any_order_gives_the_same_bits_and_rows_by_time_keep_theirs() -> None:
    tensors = random_leaves(2, 12, 40, 4, True)
    expected = output_and_gradients(kernel, tensors, False)
    assert expected[0].stride() == tensors[0].stride() == expected[1].stride()
    by_channel = tensors[0].transpose(1, 2).contiguous().transpose(1, 2)
    for x in (tensors[0].contiguous(), by_channel, torch.cat([tensors[0]] * 2, dim=1)[:, 12:]):
        found = output_and_gradients(kernel, [x, *tensors[1:]], False)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_results_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "SMALLEST_SHARE", 1)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(output_and_gradients(kernel, random_leaves(2, 40, 33, 4, True), True))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_half_precision_is_rounded_once_and_an_empty_batch_stays_empty() -> None:
    x, weight, bias = random_leaves(2, 6, 20, 4, True)
    x[0, 1, 3], x[1, 2, 19] = math.inf, 3.38e38  # more than bfloat16 holds
    half = kernel(x.bfloat16(), weight.bfloat16(), bias.bfloat16(), backward=False)
    wide = kernel(x.bfloat16().float(), weight.bfloat16().float(), bias.bfloat16().float(), backward=False)
    assert half.dtype == torch.bfloat16 and torch.equal(half, wide.bfloat16())
    assert kernel(x[:0], weight, bias, backward=False).shape == (0, 6, 20)


def test_not_a_number_stays_in_its_own_windows() -> None:
    x, weight, bias = random_leaves(1, 9, 20, 4, True)
    x = x.clone()
    x[0, 4, 19] = float("nan")
    y = kernel(x, weight, bias, backward=False)
    assert y[0, 4, 19].isnan() and y.isnan().sum() == 1


def test_it_is_taken_on_a_cpu_and_left_to_torch_where_operators_are_counted_or_in_float64() -> None:
    x, weight, bias = random_leaves(1, 4, 8, 4, True)
    weight = weight[:, None]
    with recorded_kernels() as ran:
        causal_convolution(x, weight, bias)
    assert list(ran["convolution"]) == ["numba"]
    with FlopCounterMode(display=False) as counter:
        causal_convolution(x, weight, bias)
    assert counter.get_total_flops() == 2 * 4 * 4 * 8
    with recorded_kernels() as ran:
        causal_convolution(x.double(), weight.double(), bias.double())
    assert list(ran["convolution"]) == ["torch"]


def test_a_wrong_kernel_is_broken_and_one_that_was_asked_for_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CONVOLUTION.kernels["numba"].unusable_reason() == ""
    monkeypatch.setattr(
        numba_convolution, "causal_convolution", lambda *given, **options: kernel(*given, **options) / 2
    )
    assert CONVOLUTION.kernels["numba"].unusable_reason().startswith(BROKEN + "wrong results")
    monkeypatch.setenv("SMDIM_BENCH_CONVOLUTION_KERNEL", "numba")
    with pytest.raises(KernelError, match="numba cannot run: computes in float32 and refuses float64"):
        CONVOLUTION.choose("cpu", torch.float64)


def test_a_second_derivative_raises_and_is_not_silently_wrong() -> None:
    x, weight, bias = (tensor.requires_grad_() for tensor in random_leaves(1, 2, 5, 3, True))
    y = kernel(x, weight, bias, backward=False)
    with pytest.raises(KernelError, match="numba cannot be differentiated twice; force torch"):
        torch.autograd.grad(y.sum(), weight, create_graph=True)


@pytest.mark.parametrize("pattern", ["M", "M(bidirectional)", "S"])
def test_mixers_agree_with_the_plain_convolution(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def gradients() -> list[torch.Tensor]:
        backbone = build(pattern, vocab_size=11, width=32, stride=1, seed=0)
        logits = backbone(torch.arange(22).view(2, 11) % 11)
        logits.square().mean().backward()
        return [logits.detach(), *(one.grad for one in backbone.parameters() if one.grad is not None)]

    found = gradients()
    monkeypatch.setenv("SMDIM_BENCH_CONVOLUTION_KERNEL", "torch")
    for one, other in zip(found, gradients(), strict=True):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max() + 1e-9
