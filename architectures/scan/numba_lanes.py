"""A numba type for sixteen float32 lanes side by side, with the few operations the scan kernel needs.

Numba leaves vectorisation to LLVM's loop optimiser, which fails on loops with many arrays because it cannot prove that
they do not overlap. Values of this type are LLVM vectors from the start: every operation is one vector instruction
(several on narrower machines), and sums stay in registers. Lanes never trap; NaN goes through everything.

Arrays hold float32, or bfloat16 as the 16-bit integers of its bits: a load widens them, a store rounds to the nearest,
ties to even, as torch does.
"""

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, njit, types
from numba.extending import models, overload, register_model

WIDTH = 16
_BITS = ir.IntType(32)
_VECTOR = ir.VectorType(ir.FloatType(), WIDTH)
_VECTOR_BITS = ir.VectorType(_BITS, WIDTH)
_HALF = ir.IntType(16)
_VECTOR_HALVES = ir.VectorType(_HALF, WIDTH)
_CONTRACT = ("contract",)
f32 = np.float32
intrinsic: Any = extending.intrinsic  # untyped: its annotation has the typing context, which callers do not pass


class LanesType(types.Type):
    """Sixteen float32 values; exists only inside compiled functions."""

    def __init__(self) -> None:
        super().__init__(name="Lanes16")


lanes_type = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, _VECTOR)


def _constant(kind: Any, number: int) -> Any:
    return ir.Constant(kind, [number] * WIDTH if isinstance(kind, ir.VectorType) else number)


def _widened(builder: Any, bits: Any, wide: Any, floats: Any) -> Any:
    """Bits of bfloat16 as float32: they are the upper half of its bits."""
    return builder.bitcast(builder.shl(builder.zext(bits, wide), _constant(wide, 16)), floats)


def _rounded(builder: Any, value: Any, wide: Any, half: Any) -> Any:
    """float32 as bits of bfloat16."""
    bits, upper = builder.bitcast(value, wide), _constant(wide, 16)
    odd = builder.and_(builder.lshr(bits, upper), _constant(wide, 1))
    nearest = builder.lshr(builder.add(bits, builder.add(odd, _constant(wide, 0x7FFF))), upper)
    is_nan = builder.fcmp_unordered("uno", value, value)
    return builder.trunc(builder.select(is_nan, _constant(wide, 0x7FC0), nearest), half)


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    vector = _VECTOR_HALVES if array_type.dtype is types.int16 else _VECTOR
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


@intrinsic
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """The sixteen numbers of a contiguous array that start at `index`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        value = builder.load(_address(context, builder, kind, *arguments))
        value.align = kind.dtype.bitwidth // 8
        return _widened(builder, value, _VECTOR_BITS, _VECTOR) if kind.dtype is types.int16 else value

    return lanes_type(array, types.intp), generate


@intrinsic
def store(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Write sixteen numbers of a contiguous array from `index` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (array, index, value), kind = arguments, signature.args[0]
        if kind.dtype is types.int16:
            value = _rounded(builder, value, _VECTOR_BITS, _VECTOR_HALVES)
        builder.store(value, _address(context, builder, kind, array, index)).align = kind.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes_type), generate


@intrinsic
def number(typing_context: Any, value: Any) -> Any:
    """A value of an array as float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (value,) = arguments
        return _widened(builder, value, _BITS, ir.FloatType()) if signature.args[0] is types.int16 else value

    return types.float32(value), generate


@intrinsic
def kept_in(typing_context: Any, array: Any, value: Any) -> Any:
    """A float32 as the array keeps it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = arguments[1]
        return _rounded(builder, value, _BITS, _HALF) if signature.args[0].dtype is types.int16 else value

    return array.dtype(array, types.float32), generate


def _spread(builder: Any, scalar: Any) -> Any:
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), scalar, ir.Constant(_BITS, 0))
    return builder.shuffle_vector(one, one, ir.Constant(_VECTOR_BITS, [0] * WIDTH))


@intrinsic
def spread(typing_context: Any, scalar: Any) -> Any:
    """The same number in every lane."""
    return lanes_type(types.float32), lambda context, builder, signature, arguments: _spread(builder, arguments[0])


def _arithmetic(name: str, operation: Any) -> None:
    """Give lanes the Python operator, as the LLVM instruction `name`."""

    @intrinsic
    def compute(typing_context: Any, x: Any, y: Any) -> Any:
        signature = lanes_type(lanes_type, lanes_type)
        return signature, lambda context, builder, signature, arguments: getattr(builder, name)(*arguments)

    @overload(operation)
    def implement(x, y):  # type: ignore[no-untyped-def]
        if x is lanes_type and y is lanes_type:
            return lambda x, y: compute(x, y)
        return None


for _name, _operation in (
    ("fadd", operator.add),
    ("fsub", operator.sub),
    ("fmul", operator.mul),
    ("fdiv", operator.truediv),
):
    _arithmetic(_name, _operation)


@intrinsic
def multiply_add(typing_context: Any, x: Any, y: Any, z: Any) -> Any:
    """x y + z, rounded once where the processor can."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, y, z = arguments
        return builder.fadd(builder.fmul(x, y, flags=_CONTRACT), z, flags=_CONTRACT)

    return lanes_type(lanes_type, lanes_type, lanes_type), generate


@intrinsic
def clamp(typing_context: Any, x: Any, low: Any, high: Any) -> Any:
    """x within [low, high]; NaN stays NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, low, high = arguments[0], _spread(builder, arguments[1]), _spread(builder, arguments[2])
        x = builder.select(builder.fcmp_ordered("<", x, low), low, x)
        return builder.select(builder.fcmp_ordered(">", x, high), high, x)

    return lanes_type(lanes_type, types.float32, types.float32), generate


@intrinsic
def where_negative(typing_context: Any, x: Any, if_negative: Any, otherwise: Any) -> Any:
    """Lane by lane: `if_negative` where x < 0, else `otherwise` (also where x is NaN)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, if_negative, otherwise = arguments
        return builder.select(builder.fcmp_ordered("<", x, ir.Constant(_VECTOR, [0.0] * WIDTH)), if_negative, otherwise)

    return lanes_type(lanes_type, lanes_type, lanes_type), generate


@intrinsic
def _add_to_exponent(typing_context: Any, x: Any, shifted: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, shifted = (builder.bitcast(value, _VECTOR_BITS) for value in arguments)
        power = builder.shl(shifted, ir.Constant(_VECTOR_BITS, [23] * WIDTH))
        return builder.bitcast(builder.add(x, power), _VECTOR)

    return lanes_type(lanes_type, lanes_type), generate


@intrinsic
def sum_of_lanes(typing_context: Any, x: Any) -> Any:
    """The sum of the sixteen lanes, by halves."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (value,) = arguments
        for half in (8, 4, 2, 1):
            order = ir.Constant(_VECTOR_BITS, [(lane + half) % WIDTH for lane in range(WIDTH)])
            value = builder.fadd(value, builder.shuffle_vector(value, value, order))
        return builder.extract_element(value, ir.Constant(_BITS, 0))

    return types.float32(lanes_type), generate


@intrinsic
def transpose_in_place(typing_context: Any, array: Any, index: Any) -> Any:
    """Turn the 16 x 16 floats of a contiguous array that start at `index`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index = arguments
        addresses = []
        for row in range(WIDTH):
            offset = builder.add(index, ir.Constant(index.type, row * WIDTH))
            addresses.append(_address(context, builder, signature.args[0], array, offset))
        rows = [builder.load(address) for address in addresses]
        for row in rows:
            row.align = 4
        low = ir.Constant(_VECTOR_BITS, [lane // 2 + WIDTH * (lane % 2) for lane in range(WIDTH)])
        high = ir.Constant(_VECTOR_BITS, [8 + lane // 2 + WIDTH * (lane % 2) for lane in range(WIDTH)])
        for _ in range(4):  # four rounds of interleaving rows i and i + 8 move row bits into lane bits
            pairs = [(rows[i], rows[i + 8]) for i in range(8)]
            rows = [builder.shuffle_vector(a, b, order) for a, b in pairs for order in (low, high)]
        for row, address in zip(rows, addresses, strict=True):
            builder.store(row, address).align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@njit
def power_of_two(x):  # type: ignore[no-untyped-def]
    """2^x to 2e-7, NaN kept; 2^-126 for anything smaller, about 3e38 for anything larger.

    The polynomial is a weighted minimax fit of (2^f - 1)/f on |f| <= 1/2.
    """
    x = clamp(x, f32(-126.0), f32(127.99))
    rounder = spread(f32(12582912.0))  # 1.5 * 2^23: rounds x to an integer, held in the low bits
    shifted = x + rounder
    f = x - (shifted - rounder)
    p = multiply_add(spread(f32(0.001326472731307149)), f, spread(f32(0.009671512991189957)))
    p = multiply_add(p, f, spread(f32(0.05550733581185341)))
    p = multiply_add(p, f, spread(f32(0.24022242426872253)))
    p = multiply_add(p, f, spread(f32(0.6931470036506653)))
    p = multiply_add(p, f, spread(f32(1.0)))
    return _add_to_exponent(p, shifted)


@njit
def _exp_of_minus_magnitude(x):  # type: ignore[no-untyped-def]
    zero = spread(f32(0.0))
    return power_of_two(spread(f32(1.4426950408889634)) * where_negative(x, x, zero - x))


@njit
def sigmoid(x):  # type: ignore[no-untyped-def]
    """1 / (1 + e^-x)."""
    one = spread(f32(1.0))
    t = _exp_of_minus_magnitude(x)
    return where_negative(x, t, one) / (one + t)


@njit
def softplus(x):  # type: ignore[no-untyped-def]
    """max(x, 0) + log(1 + e^-|x|), with log(1 + t) = 2 atanh(t / (2 + t)): small values keep their precision."""
    t = _exp_of_minus_magnitude(x)
    s = t / (spread(f32(2.0)) + t)
    r = s * s
    p = multiply_add(spread(f32(0.1400599479675293)), r, spread(f32(0.14000903069972992)))
    p = multiply_add(p, r, spread(f32(0.2001076340675354)))
    p = multiply_add(p, r, spread(f32(0.3333320915699005)))
    p = multiply_add(p, r, spread(f32(1.0)))
    return multiply_add(s + s, p, where_negative(x, spread(f32(0.0)), x))
