"""Blocks of eight time steps in Triton: read, written and summed over channels, for `triton_tiles`.

A block of the channels in LANES lanes is a tuple of eight vectors (LANES,) in scan order. Memory is read and written in
tiles with 16 bytes a lane where the layout allows it, in the order of memory in both directions of the scan.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def place_of(i, count, DOWN: tl.constexpr):
    """Place of the i-th of `count`, counted from the last when DOWN."""
    if DOWN:
        place = count - 1 - i
    else:
        place = i
    return place


@triton.jit
def blocks_of(chunk, blocks, length):
    """How many of the blocks of a chunk hold steps."""
    return tl.minimum(blocks, tl.cdiv(length, 8) - chunk * blocks)


@triton.jit
def constant(pointer, channel, real, PRESENT: tl.constexpr):
    """(LANES,) of a value that a channel has for all steps; 0 where there is none."""
    if PRESENT:
        found = tl.load(pointer + channel, mask=real, other=0.0)
    else:
        found = tl.zeros(channel.shape, tl.float32)
    return found


@triton.jit
def zeros(COUNT: tl.constexpr, LANES: tl.constexpr):
    """COUNT vectors (LANES,) of zeros."""
    found = ()
    for _ in tl.static_range(COUNT):
        found = found + (tl.zeros((LANES,), tl.float32),)
    return found


@triton.jit
def _four(tile, LANES: tl.constexpr):
    """The columns of a tile (LANES, 4)."""
    even, odd = tl.split(tl.reshape(tile, (LANES, 2, 2)))
    a, c = tl.split(even)
    b, d = tl.split(odd)
    return a, b, c, d


@triton.jit
def _turned(a, b, c, d, e, f, g, h, REVERSE: tl.constexpr):
    if REVERSE:
        found = h, g, f, e, d, c, b, a
    else:
        found = a, b, c, d, e, f, g, h
    return found


@triton.jit
def _tile(pointer, rows, stride, first, length, real, WIDTH: tl.constexpr):
    """(rows, WIDTH) in float32 from a place in time on; 0 beyond the length and where a row is not real."""
    place = first + tl.arange(0, WIDTH)
    at = rows[:, None] + place[None, :] * stride
    return tl.load(pointer + at, mask=real[:, None] & (place < length)[None, :], other=0.0).to(tl.float32)


@triton.jit
def columns(pointer, rows, stride, block, length, real, REVERSE: tl.constexpr):
    """The eight steps of a block, (LANES,) each in float32. rows (LANES,): where the channels begin."""
    LANES: tl.constexpr = rows.shape[0]
    first = block * 8
    if pointer.dtype.element_ty.primitive_bitwidth == 32:  # 16 bytes are four
        a, b, c, d = _four(_tile(pointer, rows, stride, first, length, real, 4), LANES)
        e, f, g, h = _four(_tile(pointer, rows, stride, first + 4, length, real, 4), LANES)
    else:
        tile = _tile(pointer, rows, stride, first, length, real, 8)
        even, odd = tl.split(tl.reshape(tile, (LANES, 4, 2)))
        a, c, e, g = _four(even, LANES)
        b, d, f, h = _four(odd, LANES)
    return _turned(a, b, c, d, e, f, g, h, REVERSE)


@triton.jit
def row_columns(pointer, stride, block, length, REVERSE: tl.constexpr):
    """The eight steps of a block of one row that all lanes read, (1,) each."""
    none = tl.arange(0, 1)
    return columns(pointer, none, stride, block, length, none == 0, REVERSE)


@triton.jit
def step_columns(pointer, rows, stride, shift, block, length, real, SOFTPLUS: tl.constexpr, REVERSE: tl.constexpr):
    """delta + bias of a block, and the steps that the recurrence takes, 0 beyond the length."""
    given = columns(pointer, rows, stride, block, length, real, REVERSE)
    raw, steps = (), ()
    for j in tl.static_range(8):
        raw = raw + (given[j] + shift,)
        step = softplus(raw[j]) if SOFTPLUS else raw[j]
        place = block * 8 + (7 - j if REVERSE else j)
        steps = steps + (tl.where(place < length, step, 0.0),)
    return raw, steps


@triton.jit
def group_rates(A, channel, first, N, real, GROUP: tl.constexpr):
    """A of GROUP (1, 2 or 4) states, (LANES,) each, in powers of two."""
    tile = _tile(A, channel * N + first, 1, 0, GROUP, real, GROUP) * LOG2_E
    if GROUP == 4:
        rates = _four(tile, channel.shape[0])
    elif GROUP == 2:
        rates = tl.split(tile)
    else:
        rates = (tl.reshape(tile, channel.shape),)
    return rates


@triton.jit
def softplus(x):
    """log(1 + e^x) with relative precision 2e-7: max(x, 0) + log1p(e^-|x|), log1p(s) / s on [0, 1] interpolated by a
    polynomial at ten Chebyshev points."""
    small = tl.exp2(tl.abs(x) * -LOG2_E)
    ratio = 0.019542528316378593 - 0.0031760570127516985 * small
    ratio = -0.05637361481785774 + ratio * small
    ratio = 0.10543623566627502 + ratio * small
    ratio = -0.1526966691017151 + ratio * small
    ratio = 0.1966327428817749 + ratio * small
    ratio = -0.24951615929603577 + ratio * small
    ratio = 0.33329710364341736 + ratio * small
    ratio = -0.49999892711639404 + ratio * small
    ratio = 1.0 + ratio * small
    return tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL) + ratio * small


@triton.jit
def gate_parts(z):
    """sigmoid(z), silu(z)."""
    gate = tl.sigmoid(z)
    return gate, z * gate


@triton.jit
def gated(values, gates):
    """values * silu(gates) of a block."""
    found = ()
    for j in tl.static_range(8):
        _, silu = gate_parts(gates[j])
        found = found + (values[j] * silu,)
    return found


@triton.jit
def _joined(a, b, c, d, LANES: tl.constexpr):
    """(LANES, 4) of four columns."""
    return tl.reshape(tl.join(tl.join(a, c), tl.join(b, d)), (LANES, 4))


@triton.jit
def _eight(a, b, c, d, e, f, g, h, LANES: tl.constexpr):
    """(LANES, 8) of eight columns."""
    even, odd = _joined(a, c, e, g, LANES), _joined(b, d, f, h, LANES)
    return tl.reshape(tl.join(even, odd), (LANES, 8))


@triton.jit
def store_columns(pointer, rows, found, block, length, real, REVERSE: tl.constexpr):
    """Write a block, in the type of the pointer, with time side by side."""
    LANES: tl.constexpr = rows.shape[0]
    a, b, c, d, e, f, g, h = _turned(
        found[0], found[1], found[2], found[3], found[4], found[5], found[6], found[7], REVERSE
    )
    if pointer.dtype.element_ty.primitive_bitwidth == 32:
        _store_tile(pointer, rows, _joined(a, b, c, d, LANES), block * 8, length, real, 4)
        _store_tile(pointer, rows, _joined(e, f, g, h, LANES), block * 8 + 4, length, real, 4)
    else:
        _store_tile(pointer, rows, _eight(a, b, c, d, e, f, g, h, LANES), block * 8, length, real, 8)


@triton.jit
def _store_tile(pointer, rows, tile, first, length, real, WIDTH: tl.constexpr):
    place = first + tl.arange(0, WIDTH)
    mask = real[:, None] & (place < length)[None, :]
    tl.store(pointer + rows[:, None] + place[None, :], tile.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def store_sums(pointer, found, block, length, REVERSE: tl.constexpr):
    """Write the sums of a block over its lanes."""
    LANES: tl.constexpr = found[0].shape[0]
    a, b, c, d, e, f, g, h = _turned(
        found[0], found[1], found[2], found[3], found[4], found[5], found[6], found[7], REVERSE
    )
    sums = tl.sum(_eight(a, b, c, d, e, f, g, h, LANES), 0)
    place = block * 8 + tl.arange(0, 8)
    tl.store(pointer + place, sums, mask=place < length)
