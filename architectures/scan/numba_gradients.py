"""The backward pass of the `numba` scan over its items, to be compiled.

It keeps the state at the start of every chunk of time steps, then goes back over the chunks, one replayed at a time, so
that nothing of size B L D N exists. Items, groups and blocks are those of `numba_passes`.
"""

from typing import Any, NamedTuple

from numba import float32, njit, types

from architectures.scan.numba_lanes import load, multiply_add, store, sum_of_lanes
from architectures.scan.numba_passes import (
    IN_BLOCKS,
    MATRIX,
    OTHERS,
    ROWS,
    ScanArrays,
    enter_block,
    group_of,
)
from architectures.scan.numba_steps import (
    CHUNK_ROWS,
    LANES,
    ROW,
    STEPS,
    ZERO,
    advance,
    back_through_gate,
    form_steps,
    load_constants,
    load_rows,
    retreat,
    store_rows,
)
from architectures.scan.numba_team import SHARED_TYPES, on_team


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


_partial = float32[:, :, :, :]
_gradients = (ROWS, ROWS, ROWS, float32[:, :, ::1], _partial, _partial, MATRIX, MATRIX)
BACKWARD_TYPES = {
    own: types.void(*SHARED_TYPES, *(ROWS,) * 4, *OTHERS, *more, *_gradients) for own, more in IN_BLOCKS.items()
}
"""Whether blocks replace the state -> types of the arguments."""


def backward_floats(given: ScanArrays) -> int:
    """Floats of scratch memory that an item of the backward pass needs."""
    return _places(given.u.shape[2], given.A.shape[1], given.group_blocks, given.block).end


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
        enter_block(scratch, s.block, s.streams, start, before, at.saved, cells)
        kept = _kept(at, s.block, start // STEPS * s.group_blocks + k, cells)
        scratch[kept : kept + cells] = scratch[before : before + cells]
        _keep_saved(scratch, at, s.block, kept + cells, cells)
        if start + STEPS >= length:
            return
        form_steps(scratch, at.chunk, s, batch, channel, start, STEPS, at.bias + k * LANES)
        for t in range(STEPS):
            if t:
                enter_block(scratch, s.block, s.streams, start + t, before, at.saved, cells)
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
        batch, group, first_channel, blocks = group_of(s, item)
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
