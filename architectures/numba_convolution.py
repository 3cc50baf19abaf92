"""The `numba` kernel of the short depthwise convolution: silu and convolution in one pass over each channel.

Time runs through the lanes of a vector, sixteen steps side by side, so that nothing is transposed. A row is one channel
of one batch row and an item of work; every row writes its own output and its own sums, so results do not depend on how
many threads run. Computed in float32.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numba import float32, int16, int64, njit, types
from torch import Tensor

from architectures.kernel_choice import KernelError, around_autograd
from architectures.numba_code import array_of, compiled
from architectures.scan import numba_lanes, numba_team
from architectures.scan.numba_lanes import WIDTH as LANES
from architectures.scan.numba_lanes import kept_in, load, multiply_add, number, sigmoid, spread, store, sum_of_lanes
from architectures.scan.numba_team import SHARED_TYPES, on_team
from architectures.scan.workers import run_items

ROWS = 8
NOTHING = np.zeros(0, dtype=np.float32)
ZERO, ONE = np.float32(0.0), np.float32(1.0)
UPDATES = {"forward": 2, "backward": 6}
"""What a value of the output costs, in updates of a scan's state (see `run_items`)."""

_values, _strides, _sizes = float32[::1], types.UniTuple(int64, 2), types.UniTuple(int64, 5)
FORWARD_TYPES = {
    half: types.void(*SHARED_TYPES, _sizes, x_and_y, _strides, _values, _values, x_and_y, _strides)
    for half, x_and_y in ((False, _values), (True, int16[::1]))
}
"""Whether x and y are in bfloat16 -> types of the arguments."""
BACKWARD_TYPES = types.void(
    *SHARED_TYPES, _sizes, _values, _strides, *(_values,) * 4, _strides, _values, _strides, *(_values,) * 2
)


@njit
def _copy(values, begin, target, at, length):  # type: ignore[no-untyped-def]
    """Copy a row from one offset to another."""
    whole = length // LANES * LANES
    for t in range(0, whole, LANES):
        store(target, at + t, load(values, begin + t))
    for t in range(whole, length):
        target[at + t] = kept_in(target, number(values[begin + t]))


@njit(inline="always")
def _window(scratch, at, weights, first, width, start):  # type: ignore[no-untyped-def]
    """start + the weighted sum of the values at K offsets from `at` on."""
    total = start
    for k in range(width):
        total = multiply_add(spread(weights[first + k]), load(scratch, at + k), total)
    return total


@njit
def _forward_items(scratch, first, last, given):  # type: ignore[no-untyped-def]
    """Blocks first .. last - 1 of ROWS rows; row r is channel r % I of batch row r // I."""
    sizes, x, x_strides, weight, bias, y, y_strides = given
    batches, channels, length, width, shift = sizes
    space = length + 2 * width - 2 + LANES  # of a row, with zeros at either end
    scratch[:] = ZERO
    for block in range(first, last):
        begin, end = block * ROWS, min((block + 1) * ROWS, batches * channels)
        for row in range(begin, end):  # all are read first: a window over values just written waits for them
            place = row // channels * x_strides[0] + row % channels * x_strides[1]
            _copy(x, place, scratch, (row - begin) * space + width - 1, length)
        for row in range(begin, end):
            channel, at = row % channels, (row - begin) * space
            start = spread(bias[channel]) if bias.shape[0] else spread(ZERO)
            for t in range(0, length, LANES):
                total = _window(scratch, at + t + shift, weight, channel * width, width, start)
                store(scratch, at + t, total * sigmoid(total))  # in place of values that no later window holds
            _copy(scratch, at, y, row // channels * y_strides[0] + channel * y_strides[1], length)
            scratch[at : at + width - 1] = ZERO
            scratch[at + width - 1 + length : at + space] = ZERO


_share_forward = on_team(_forward_items)


def convolution_forward(share, scratch, sizes, x, x_strides, weight, bias, y, y_strides):  # type: ignore[no-untyped-def]
    """The forward pass. share, scratch: see `on_team`.

    sizes: B, I, L, K and how many of the K steps of a window lie ahead. x, y: (B, I, L), as flat memory and two
    strides, time contiguous; weight: (I, K) in the order of time, flat; bias: (I,), or empty.
    """
    _share_forward(share, scratch, (sizes, x, x_strides, weight, bias, y, y_strides))


@njit
def _backward_items(scratch, first, last, given):  # type: ignore[no-untyped-def]
    """As the forward pass."""
    (
        sizes, x, x_strides, weight, turned, bias, grad_y, y_strides, grad_x, grad_strides, grad_weight, grad_bias,
    ) = given  # fmt: skip
    batches, channels, length, width, shift = sizes
    reach = width - 1
    space = length + 2 * reach + LANES
    sums = 2 * ROWS * space
    free = sums + width * LANES
    scratch[:] = ZERO
    for block in range(first, last):
        begin, end = block * ROWS, min((block + 1) * ROWS, batches * channels)
        for row in range(begin, end):
            batch, channel, at = row // channels, row % channels, 2 * (row - begin) * space + reach
            _copy(x, batch * x_strides[0] + channel * x_strides[1], scratch, at, length)
            _copy(grad_y, batch * y_strides[0] + channel * y_strides[1], scratch, at + space, length)
        for row in range(begin, end):
            batch, channel = row // channels, row % channels
            values = 2 * (row - begin) * space
            grads = values + space
            start = spread(bias[channel]) if bias.shape[0] else spread(ZERO)
            by_bias = spread(ZERO)
            scratch[sums:free] = ZERO
            for t in range(0, length, LANES):
                total = _window(scratch, values + t + shift, weight, channel * width, width, start)
                gate = sigmoid(total)
                slope = gate * multiply_add(total, spread(ONE) - gate, spread(ONE))
                grad = load(scratch, grads + reach + t) * slope
                store(scratch, grads + reach + t, grad)
                by_bias = by_bias + grad
                for k in range(width):
                    value, by_weight = load(scratch, values + t + shift + k), load(scratch, sums + k * LANES)
                    store(scratch, sums + k * LANES, multiply_add(grad, value, by_weight))
            for t in range(0, length, LANES):
                at = grads + t + reach - shift
                store(scratch, grads + t, _window(scratch, at, turned, channel * width, width, spread(ZERO)))
            _copy(scratch, grads, grad_x, batch * grad_strides[0] + channel * grad_strides[1], length)
            scratch[grads : grads + reach] = ZERO
            scratch[grads + reach + length : grads + space] = ZERO
            grad_bias[row] = sum_of_lanes(by_bias)
            for k in range(width):
                grad_weight[row * width + k] = sum_of_lanes(load(scratch, sums + k * LANES))


_share_backward = on_team(_backward_items)


def convolution_backward(  # type: ignore[no-untyped-def]
    share, scratch, sizes, x, x_strides, weight, turned, bias, grad_y, y_strides, grad_x, grad_strides, grad_weight,
    grad_bias,
):  # fmt: skip
    """As the forward pass; turned: the weights against time; grad_weight (B, I, K) and grad_bias (B, I) are of one
    batch row each, flat."""
    given = (
        sizes, x, x_strides, weight, turned, bias, grad_y, y_strides, grad_x, grad_strides, grad_weight, grad_bias,
    )  # fmt: skip
    _share_backward(share, scratch, given)


@cache
def _compiled(which: str, in_half: bool) -> Callable[..., None]:
    here = (sys.modules[__name__], numba_lanes, numba_team)
    if which == "forward":
        return compiled(convolution_forward, FORWARD_TYPES[in_half], *here)
    return compiled(convolution_backward, BACKWARD_TYPES, *here)


def _by_time(tensor: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """In this type, with time contiguous."""
    values = tensor.detach().to(dtype)
    return values if values.stride(2) == 1 else values.contiguous()


def _constant(tensor: Tensor | None) -> np.ndarray:
    return NOTHING if tensor is None else tensor.detach().to(torch.float32).contiguous().view(-1).numpy()


def _flat(tensor: Tensor) -> tuple[np.ndarray, tuple[int, int]]:
    """The memory that a tensor (B, I, L) lies in from its first value to its last, and its first two strides."""
    span = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return array_of(tensor.as_strided((span,), (1,))), (tensor.stride(0), tensor.stride(1))


def _run(which: str, shape: torch.Size, width: int, ahead: bool, *arguments: Any) -> None:
    function, sizes = _compiled(which, arguments[0].dtype == np.int16), (*shape, width, (width - 1) * ahead)
    scratch_floats = 2 * ROWS * (shape[2] + 2 * (width - 1) + LANES) + (width + 1) * LANES
    updates = UPDATES[which] * shape.numel()
    run_items(function, (sizes, *arguments), -(-shape[0] * shape[1] // ROWS), scratch_floats, updates)


def _convolve(x_BIL: Tensor, weight_IK: Tensor, bias_I: Tensor | None, ahead: bool) -> Tensor:
    x = _by_time(x_BIL, torch.bfloat16 if x_BIL.dtype == torch.bfloat16 else torch.float32)
    y = torch.empty_like(x)
    weight = weight_IK.flip(-1) if ahead else weight_IK
    given = (*_flat(x), _constant(weight), _constant(bias_I), *_flat(y))
    _run("forward", x.shape, weight.shape[1], ahead, *given)
    return y.to(x_BIL.dtype)


class CausalConvolution(torch.autograd.Function):
    """silu of the convolution of (B, I, L) with weights (I, K) and a bias (I,) or None; the output is laid out in
    memory as x is where x has time contiguous."""

    @staticmethod
    def forward(ctx: Any, x_BIL: Tensor, weight_IK: Tensor, bias_I: Tensor | None, ahead: bool) -> Tensor:
        ctx.save_for_backward(x_BIL, weight_IK, bias_I)
        ctx.ahead = ahead
        return _convolve(x_BIL, weight_IK, bias_I, ahead)

    @staticmethod
    def backward(ctx: Any, grad_BIL: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise KernelError("convolution kernel numba cannot be differentiated twice; force torch")
        x_BIL, weight_IK, bias_I = ctx.saved_tensors
        x, grad_y = _by_time(x_BIL), _by_time(grad_BIL)
        grad_x = torch.empty_like(x)
        weight = weight_IK.flip(-1) if ctx.ahead else weight_IK
        single: Any = {"dtype": torch.float32}
        by_rows, by_rows_bias = torch.empty(x.shape[0], *weight.shape, **single), torch.empty(x.shape[:2], **single)
        constants = (_constant(weight), _constant(weight.flip(-1)), _constant(bias_I))
        given = (*_flat(x), *constants, *_flat(grad_y), *_flat(grad_x), _constant(by_rows), _constant(by_rows_bias))
        _run("backward", x.shape, weight.shape[1], ctx.ahead, *given)
        grad_weight = by_rows.sum(0).to(weight.dtype)  # B I K -> I K
        if ctx.ahead:
            grad_weight = grad_weight.flip(-1)
        grad_bias = None if bias_I is None else by_rows_bias.sum(0).to(bias_I.dtype)  # B I -> I
        return grad_x.to(x_BIL.dtype), grad_weight, grad_bias, None


def causal_convolution(x_BIL: Tensor, weight_IK: Tensor, bias_I: Tensor | None, *, backward: bool) -> Tensor:
    """silu of the convolution that looks back, or ahead when `backward`, in the type of x."""
    if not x_BIL.numel():
        return x_BIL.clone()
    if around_autograd():
        return _convolve(x_BIL, weight_IK, bias_I, backward)
    y: Tensor = CausalConvolution.apply(x_BIL, weight_IK, bias_I, backward)
    return y
