"""The parts of the `numba` kernel that work on one chunk of one block of sixteen channels, in scratch memory.

A chunk is seven rows of STEPS x LANES floats, one after the other from the offset `chunk` on:
0 u, 1 step, 2 step * u, 3 d step / d delta, 4 y, 5 z, 6 the gradient of y.
"""

import numpy as np
from numba import njit

from architectures.scan.numba_lanes import WIDTH as LANES
from architectures.scan.numba_lanes import (
    kept_in,
    load,
    multiply_add,
    number,
    power_of_two,
    sigmoid,
    softplus,
    spread,
    store,
    transpose_in_place,
)

STEPS = 16  # time steps replayed at once in the backward pass: with 16 states they stay near the level-1 cache
ROW = LANES * STEPS
CHUNK_ROWS = 7
LOG2_E = np.float32(1.4426950408889634)
LN_2 = np.float32(0.6931471805599453)
ZERO = np.float32(0.0)
ONE = np.float32(1.0)


@njit
def load_rows(scratch, to, rows, batch, channel, start, steps):  # type: ignore[no-untyped-def]
    """One chunk of a block, turned so that lanes are adjacent; lanes beyond the last channel are 0."""
    lanes = min(LANES, rows.shape[1] - channel)
    ascending = rows.strides[2] == rows.itemsize
    if lanes == LANES and steps == STEPS and (ascending or rows.strides[2] == -rows.itemsize):
        lowest = start if ascending else start + STEPS - 1
        for lane in range(LANES):
            store(scratch, to + lane * LANES, load(rows[batch, channel + lane, lowest:], 0))
        transpose_in_place(scratch, to)
        if not ascending:
            _flip_rows(scratch, to)
        return
    scratch[to : to + ROW] = ZERO
    for lane in range(lanes):
        for t in range(steps):
            scratch[to + t * LANES + lane] = number(rows[batch, channel + lane, start + t])


@njit
def store_rows(scratch, at, rows, batch, channel, start, steps):  # type: ignore[no-untyped-def]
    """Write a chunk of a block to an array whose time is contiguous, up or down; what lies at `at` is lost."""
    lanes = min(LANES, rows.shape[1] - channel)
    if lanes == LANES and steps == STEPS:
        ascending = rows.strides[2] > 0
        if not ascending:
            _flip_rows(scratch, at)
        transpose_in_place(scratch, at)
        lowest = start if ascending else start + STEPS - 1
        for lane in range(LANES):
            store(rows[batch, channel + lane, lowest:], 0, load(scratch, at + lane * LANES))
        return
    for lane in range(lanes):
        for t in range(steps):
            rows[batch, channel + lane, start + t] = kept_in(rows, scratch[at + t * LANES + lane])


@njit
def _flip_rows(scratch, at):  # type: ignore[no-untyped-def]
    for t in range(STEPS // 2):
        first, last = at + t * LANES, at + (STEPS - 1 - t) * LANES
        kept = load(scratch, first)
        store(scratch, first, load(scratch, last))
        store(scratch, last, kept)


@njit
def load_constants(scratch, rates, skips, biases, s, channel):  # type: ignore[no-untyped-def]
    """A log2(e) as (state, LANES), D and the bias; 0 where absent."""
    for lane in range(LANES):
        present = channel + lane < s.A.shape[0]
        scratch[skips + lane] = s.skip[channel + lane] if present and s.skip.size else ZERO
        scratch[biases + lane] = s.bias[channel + lane] if present and s.bias.size else ZERO
        for n in range(s.A.shape[1]):
            scratch[rates + n * LANES + lane] = LOG2_E * s.A[channel + lane, n] if present else ZERO


@njit
def form_steps(scratch, chunk, s, batch, channel, start, steps, biases):  # type: ignore[no-untyped-def]
    """Fill the rows u, step, step * u and d step / d delta of the chunk."""
    load_rows(scratch, chunk, s.u, batch, channel, start, steps)
    load_rows(scratch, chunk + ROW, s.delta, batch, channel, start, steps)
    bias = load(scratch, biases)
    for at in range(chunk, chunk + steps * LANES, LANES):
        step = load(scratch, at + ROW) + bias
        slope = spread(ONE)
        if s.smooth:
            slope = sigmoid(step)
            step = softplus(step)
        store(scratch, at + ROW, step)
        store(scratch, at + 2 * ROW, step * load(scratch, at))
        store(scratch, at + 3 * ROW, slope)


@njit
def advance(scratch, rates, at, s, batch, time, before, after, decay):  # type: ignore[no-untyped-def]
    """One time step: decay = exp(step A), after = decay before + step u B, y = C . after. `at`: its u in the chunk."""
    step, driven = load(scratch, at + ROW), load(scratch, at + 2 * ROW)
    y = spread(ZERO)
    for n in range(s.B.shape[2]):
        cell = n * LANES
        kept = power_of_two(step * load(scratch, rates + cell))
        now = multiply_add(kept, load(scratch, before + cell), driven * spread(s.B[batch, time, n]))
        store(scratch, decay + cell, kept)
        store(scratch, after + cell, now)
        y = multiply_add(now, spread(s.C[batch, time, n]), y)
    store(scratch, at + 4 * ROW, y)


@njit
def retreat(  # type: ignore[no-untyped-def]
    scratch, rates, at, s, batch, time, before, after, decay, carried, grad_A, grad_B, grad_C
):
    """Back over one time step. Returns the gradients of step and of step * u.

    `carried` enters as the gradient that h of this step receives from the next one, and leaves as what it passes to
    the one before.
    """
    step, driven, grad_y = load(scratch, at + ROW), load(scratch, at + 2 * ROW), load(scratch, at + 6 * ROW)
    by_step, by_driven = spread(ZERO), spread(ZERO)
    for n in range(s.B.shape[2]):
        cell = n * LANES
        g = multiply_add(grad_y, spread(s.C[batch, time, n]), load(scratch, carried + cell))
        store(scratch, grad_C + cell, multiply_add(grad_y, load(scratch, after + cell), load(scratch, grad_C + cell)))
        store(scratch, grad_B + cell, multiply_add(g, driven, load(scratch, grad_B + cell)))
        by_driven = multiply_add(g, spread(s.B[batch, time, n]), by_driven)
        g = g * load(scratch, decay + cell)
        store(scratch, carried + cell, g)
        g = g * load(scratch, before + cell)
        store(scratch, grad_A + cell, multiply_add(g, step, load(scratch, grad_A + cell)))
        by_step = multiply_add(g, load(scratch, rates + cell), by_step)
    return spread(LN_2) * by_step, by_driven


@njit
def gate_output(scratch, chunk, s, skip, steps):  # type: ignore[no-untyped-def]
    """y = (C . h + D u) silu(z), in place."""
    for at in range(chunk, chunk + steps * LANES, LANES):
        y = multiply_add(skip, load(scratch, at), load(scratch, at + 4 * ROW))
        if s.gated:
            z = load(scratch, at + 5 * ROW)
            y = y * (z * sigmoid(z))
        store(scratch, at + 4 * ROW, y)


@njit
def back_through_gate(scratch, chunk, skip, steps):  # type: ignore[no-untyped-def]
    """From the gradient of y to that of C . h, in place; the gradient of z replaces y."""
    for at in range(chunk, chunk + steps * LANES, LANES):
        z, grad = load(scratch, at + 5 * ROW), load(scratch, at + 6 * ROW)
        y = multiply_add(skip, load(scratch, at), load(scratch, at + 4 * ROW))
        gate = sigmoid(z)
        slope = gate * multiply_add(z, spread(ONE) - gate, spread(ONE))
        store(scratch, at + 4 * ROW, grad * y * slope)
        store(scratch, at + 6 * ROW, grad * z * gate)
