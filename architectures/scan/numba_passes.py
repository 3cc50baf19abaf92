"""The two passes of the `numba` scan over its items, to be compiled.

Sixteen channels run side by side in the lanes of a vector. A block is sixteen channels of one batch row, a group a few
blocks in turn, an item one group: the unit of work for a thread. Every item writes its own part of the output and its
own partial sums, so results do not depend on how many threads run.

The forward pass runs the recurrence over chunks of time steps. The backward pass keeps the state at the start of every
chunk, then goes back over the chunks, one replayed at a time, so that nothing of size B L D N exists. Scratch memory
is one flat float32 array, cut up by offsets.
"""

from typing import Any, NamedTuple

from numba import boolean, float32, int16, int64, njit, types

from architectures.scan.numba_lanes import load, multiply_add, store, sum_of_lanes
from architectures.scan.numba_steps import (
    CHUNK_ROWS,
    LANES,
    ROW,
    STEPS,
    ZERO,
    advance,
    back_through_gate,
    form_steps,
    gate_output,
    load_constants,
    load_rows,
    retreat,
    store_rows,
)
from architectures.scan.numba_team import on_team


class ScanArrays(NamedTuple):
    """What a scan reads, in float32 and in scan order (a reversed scan has negative strides of time).

    u, delta, z, grad_y: (B, D, L); A: (D, N); B, C: (B, L, N), contiguous in N; skip (the argument D), bias: (D,).
    An absent vector is empty, an absent z or grad_y is u. smooth: softplus of the steps; gated: whether there is a z.
    block: steps after which the state is replaced (see `block_scan`), None: never, in a function compiled for that; so
    its loops hold no trace of it. streams: by which rule.
    """

    u: Any
    delta: Any
    z: Any
    grad_y: Any
    A: Any
    B: Any
    C: Any
    skip: Any
    bias: Any
    smooth: Any
    gated: Any
    group_blocks: Any
    block: Any
    streams: Any


class GradientArrays(NamedTuple):
    """What the backward pass writes; grad_z is grad_u where there is no z.

    grad_u, grad_delta, grad_z: (B, D, L). Partial sums: grad_A (B, D, N), grad_B and grad_C (B, groups, L, N),
    grad_skip and grad_bias (B, D).
    """

    grad_u: Any
    grad_delta: Any
    grad_z: Any
    grad_A: Any
    grad_B: Any
    grad_C: Any
    grad_skip: Any
    grad_bias: Any


class _Places(NamedTuple):
    """Offsets in the scratch memory of a backward pass; what lies before `rates` begins at zero."""

    grad_A: int
    grad_skip: int
    grad_bias: int
    grad_saved: int
    rates: int
    skip: int
    bias: int
    h: int
    decay: int
    grad_B: int
    grad_C: int
    saved: int
    chunk: int
    starts: int
    end: int


_rows, _halves, _matrix, _vector = float32[:, :, :], int16[:, :, :], float32[:, ::1], float32[::1]
_others = (_matrix, _rows, _rows, _vector, _vector, boolean, boolean, int64)
_in_blocks = {False: (types.none, boolean), True: (int64, boolean)}
_partial = float32[:, :, :, :]
_gradients = (_rows, _rows, _rows, float32[:, :, ::1], _partial, _partial, _matrix, _matrix)
_shared = int64[::1], _matrix
FORWARD_TYPES = {
    (own, half): types.void(*_shared, *(rows,) * 4, *_others, *more, rows)
    for own, more in _in_blocks.items()
    for half, rows in ((False, _rows), (True, _halves))
}
"""Whether blocks replace the state, and whether u, delta, z and y are in bfloat16 -> types of the arguments."""
BACKWARD_TYPES = {
    own: types.void(*_shared, *(_rows,) * 4, *_others, *more, *_gradients) for own, more in _in_blocks.items()
}
"""Whether blocks replace the state -> types of the arguments."""


@njit
def _group(s, item):  # type: ignore[no-untyped-def]
    """Batch row, group, its first channel and its number of blocks."""
    blocks = (s.u.shape[1] + LANES - 1) // LANES
    groups = (blocks + s.group_blocks - 1) // s.group_blocks
    group = item % groups
    return item // groups, group, group * s.group_blocks * LANES, min(s.group_blocks, blocks - group * s.group_blocks)


@njit
def _enter(scratch, block, streams, time, before, saved, cells):  # type: ignore[no-untyped-def]
    """At the first step of a block replace the state `before` it, as `block_scan` says."""
    if block is None:
        return
    if time % block:
        return
    if not streams:
        scratch[before : before + cells] = ZERO
    elif time // block % 2:
        scratch[before : before + cells] = scratch[saved : saved + cells]
    else:
        scratch[saved : saved + cells] = scratch[before : before + cells]


@njit
def _forward_items(scratch, first, last, given):  # type: ignore[no-untyped-def]
    """Items first .. last - 1; item i is group i % groups of batch row i // groups. given: what is read, and y."""
    s, y = given
    cells = s.A.shape[1] * LANES
    decay, rates, skips = 2 * cells, 3 * cells, 4 * cells
    biases, saved, chunk = skips + LANES, skips + 2 * LANES, skips + 2 * LANES + cells
    for item in range(first, last):
        batch, _, first_channel, blocks = _group(s, item)
        for channel in range(first_channel, first_channel + blocks * LANES, LANES):
            load_constants(scratch, rates, skips, biases, s, channel)
            scratch[:cells] = ZERO
            before, after = 0, cells
            for start in range(0, s.u.shape[2], STEPS):
                steps = min(STEPS, s.u.shape[2] - start)
                form_steps(scratch, chunk, s, batch, channel, start, steps, biases)
                for t in range(steps):
                    _enter(scratch, s.block, s.streams, start + t, before, saved, cells)
                    advance(scratch, rates, chunk + t * LANES, s, batch, start + t, before, after, decay)
                    before, after = after, before
                if s.gated:
                    load_rows(scratch, chunk + 5 * ROW, s.z, batch, channel, start, steps)
                gate_output(scratch, chunk, s, load(scratch, skips), steps)
                store_rows(scratch, chunk + 4 * ROW, y, batch, channel, start, steps)


_share_forward = on_team(_forward_items)


def scan_forward(  # type: ignore[no-untyped-def]
    share, scratch, u, delta, z, grad_y, A, B, C, skip, bias, smooth, gated, group_blocks, block, streams, y
):
    """The forward pass. share, scratch: see `on_team`.

    The others are the fields of ScanArrays: numba takes an array of any strides as an argument, not in a tuple.
    """
    s = ScanArrays(u, delta, z, grad_y, A, B, C, skip, bias, smooth, gated, group_blocks, block, streams)
    _share_forward(share, scratch, (s, y))


def scratch_floats(which: str, given: ScanArrays) -> int:
    """Floats of scratch memory that an item of the "forward" or "backward" pass needs."""
    length, state = given.u.shape[2], given.A.shape[1]
    if which == "forward":
        return LANES * (5 * state + 2) + CHUNK_ROWS * ROW
    return _places(length, state, given.group_blocks, given.block).end


def _places(length: int, state: int, group_blocks: int, block: int | None) -> _Places:
    cells, chunks = state * LANES, (length + STEPS - 1) // STEPS
    states = 1 if block is None else 2
    grad_A = group_blocks * cells  # from 0 to here: what is carried from one chunk to the one before
    grad_skip = grad_A + group_blocks * cells
    grad_bias = grad_skip + group_blocks * LANES
    grad_saved = grad_bias + group_blocks * LANES
    rates = grad_saved + (states - 1) * group_blocks * cells
    skip = rates + group_blocks * cells
    bias = skip + group_blocks * LANES
    h = bias + group_blocks * LANES
    decay = h + (STEPS + 1) * cells
    grad_B = decay + STEPS * cells
    grad_C = grad_B + STEPS * cells
    saved = grad_C + STEPS * cells
    chunk = saved + cells
    starts = chunk + CHUNK_ROWS * ROW
    end = starts + chunks * group_blocks * cells * states
    return _Places(
        grad_A, grad_skip, grad_bias, grad_saved, rates, skip, bias, h, decay, grad_B, grad_C, saved, chunk, starts, end
    )


_places_compiled = njit(_places)


@njit
def _keep_starts(scratch, at, s, batch, channel, k):  # type: ignore[no-untyped-def]
    """The states in which the chunks of the k-th block of a group begin, with blocks of time the saved ones too."""
    cells, length = s.A.shape[1] * LANES, s.u.shape[2]
    before, after = at.h, at.h + cells
    scratch[before : before + cells] = ZERO
    for start in range(0, length, STEPS):
        _enter(scratch, s.block, s.streams, start, before, at.saved, cells)
        kept = _kept(at, s.block, start // STEPS * s.group_blocks + k, cells)
        scratch[kept : kept + cells] = scratch[before : before + cells]
        _keep_saved(scratch, at, s.block, kept + cells, cells)
        if start + STEPS >= length:
            return
        form_steps(scratch, at.chunk, s, batch, channel, start, STEPS, at.bias + k * LANES)
        for t in range(STEPS):
            if t:
                _enter(scratch, s.block, s.streams, start + t, before, at.saved, cells)
            step_at = at.chunk + t * LANES
            advance(scratch, at.rates + k * cells, step_at, s, batch, start + t, before, after, at.decay)
            before, after = after, before


@njit
def _kept(at, block, place, cells):  # type: ignore[no-untyped-def]
    """Where the state of a chunk's start is kept, with blocks the saved one behind it."""
    if block is None:
        return at.starts + place * cells
    return at.starts + 2 * place * cells


@njit
def _keep_saved(scratch, at, block, kept, cells):  # type: ignore[no-untyped-def]
    """Keep the saved state of a chunk's start."""
    if block is None:
        return
    scratch[kept : kept + cells] = scratch[at.saved : at.saved + cells]


@njit
def _restore_saved(scratch, at, block, streams, kept, cells):  # type: ignore[no-untyped-def]
    """The saved state of a chunk's start, as it was kept; 0 without streams."""
    if block is None:
        return
    if streams:
        scratch[at.saved : at.saved + cells] = scratch[kept : kept + cells]
    else:
        scratch[at.saved : at.saved + cells] = ZERO


@njit
def _before(at, block, streams, start, t, cells):  # type: ignore[no-untyped-def]
    """Where the replayed state before step t of a chunk lies; the one before its first step is kept as replaced."""
    if block is None:
        return at.h + t * cells
    time = start + t
    if t == 0 or time % block or (streams and time // block % 2 == 0):
        return at.h + t * cells
    if streams and t >= block:
        return at.h + (t - block) * cells
    return at.saved  # 0 without streams


@njit
def _leave(scratch, at, block, streams, time, k, cells):  # type: ignore[no-untyped-def]
    """Going back, at the first step of a block: send the carried gradient to the state that replaced the other."""
    if block is None:
        return
    if time % block:
        return
    carried, kept = k * cells, at.grad_saved + k * cells
    if streams and time // block % 2 == 0:
        for cell in range(0, cells, LANES):
            store(scratch, carried + cell, load(scratch, carried + cell) + load(scratch, kept + cell))
        return
    if streams:
        scratch[kept : kept + cells] = scratch[carried : carried + cells]
    scratch[carried : carried + cells] = ZERO


@njit
def _back_over_chunk(scratch, at, s, w, batch, channel, k, start):  # type: ignore[no-untyped-def]
    """One chunk of the k-th block of a group: replay its states, then go back over its steps."""
    cells, steps = s.A.shape[1] * LANES, min(STEPS, s.u.shape[2] - start)
    rates, sums_skip, sums_bias = at.rates + k * cells, at.grad_skip + k * LANES, at.grad_bias + k * LANES
    form_steps(scratch, at.chunk, s, batch, channel, start, steps, at.bias + k * LANES)
    load_rows(scratch, at.chunk + 6 * ROW, s.grad_y, batch, channel, start, steps)
    kept = _kept(at, s.block, start // STEPS * s.group_blocks + k, cells)
    scratch[at.h : at.h + cells] = scratch[kept : kept + cells]
    _restore_saved(scratch, at, s.block, s.streams, kept + cells, cells)
    for t in range(steps):
        before = _before(at, s.block, s.streams, start, t, cells)
        after, decay = at.h + (t + 1) * cells, at.decay + t * cells
        advance(scratch, rates, at.chunk + t * LANES, s, batch, start + t, before, after, decay)
    skip = load(scratch, at.skip + k * LANES)
    if s.gated:
        load_rows(scratch, at.chunk + 5 * ROW, s.z, batch, channel, start, steps)
        back_through_gate(scratch, at.chunk, skip, steps)
        store_rows(scratch, at.chunk + 4 * ROW, w.grad_z, batch, channel, start, steps)
    for t in range(steps - 1, -1, -1):
        before = _before(at, s.block, s.streams, start, t, cells)
        after, decay = at.h + (t + 1) * cells, at.decay + t * cells
        here, cell = at.chunk + t * LANES, t * cells
        by_step, by_driven = retreat(
            scratch, rates, here, s, batch, start + t, before, after, decay, k * cells, at.grad_A + k * cells,
            at.grad_B + cell, at.grad_C + cell,
        )  # fmt: skip
        _leave(scratch, at, s.block, s.streams, start + t, k, cells)
        u, step, g = load(scratch, here), load(scratch, here + ROW), load(scratch, here + 6 * ROW)
        by_delta = multiply_add(by_driven, u, by_step) * load(scratch, here + 3 * ROW)
        store(scratch, sums_skip, multiply_add(g, u, load(scratch, sums_skip)))
        store(scratch, sums_bias, by_delta + load(scratch, sums_bias))
        store(scratch, here, multiply_add(by_driven, step, skip * g))
        store(scratch, here + 2 * ROW, by_delta)
    store_rows(scratch, at.chunk, w.grad_u, batch, channel, start, steps)
    store_rows(scratch, at.chunk + 2 * ROW, w.grad_delta, batch, channel, start, steps)


@njit
def _backward_items(scratch, first, last, given):  # type: ignore[no-untyped-def]
    """Items as in _forward_items; given: what is read, and the gradients, partial sums as in GradientArrays."""
    s, w = given
    length, state = s.u.shape[2], s.A.shape[1]
    cells = state * LANES
    at = _places_compiled(length, state, s.group_blocks, s.block)
    for item in range(first, last):
        batch, group, first_channel, blocks = _group(s, item)
        scratch[: at.rates] = ZERO
        for k in range(blocks):
            skips, biases, channel = at.skip + k * LANES, at.bias + k * LANES, first_channel + k * LANES
            load_constants(scratch, at.rates + k * cells, skips, biases, s, channel)
            _keep_starts(scratch, at, s, batch, channel, k)
        for start in range((length - 1) // STEPS * STEPS, -1, -STEPS):
            scratch[at.grad_B : at.chunk] = ZERO
            for k in range(blocks):
                _back_over_chunk(scratch, at, s, w, batch, first_channel + k * LANES, k, start)
            for t in range(min(STEPS, length - start)):
                for n in range(state):
                    cell = t * cells + n * LANES
                    w.grad_B[batch, group, start + t, n] = sum_of_lanes(load(scratch, at.grad_B + cell))
                    w.grad_C[batch, group, start + t, n] = sum_of_lanes(load(scratch, at.grad_C + cell))
        for c in range(min(blocks * LANES, s.u.shape[1] - first_channel)):
            k, lane = c // LANES, c % LANES
            w.grad_skip[batch, first_channel + c] = scratch[at.grad_skip + c]
            w.grad_bias[batch, first_channel + c] = scratch[at.grad_bias + c]
            for n in range(state):
                w.grad_A[batch, first_channel + c, n] = scratch[at.grad_A + k * cells + n * LANES + lane]


_share_backward = on_team(_backward_items)


def scan_backward(  # type: ignore[no-untyped-def]
    share, scratch, u, delta, z, grad_y, A, B, C, skip, bias, smooth, gated, group_blocks, block, streams,
    grad_u, grad_delta, grad_z, grad_A, grad_B, grad_C, grad_skip, grad_bias,
):  # fmt: skip
    """The backward pass, as scan_forward."""
    s = ScanArrays(u, delta, z, grad_y, A, B, C, skip, bias, smooth, gated, group_blocks, block, streams)
    w = GradientArrays(grad_u, grad_delta, grad_z, grad_A, grad_B, grad_C, grad_skip, grad_bias)
    _share_backward(share, scratch, (s, w))
