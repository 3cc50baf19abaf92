"""The forward pass of the `numba` scan over its items, to be compiled, with what the backward pass has of it too.

Sixteen channels run side by side in the lanes of a vector. A block is sixteen channels of one batch row, a group a few
blocks in turn, an item one group: the unit of work for a thread. Every item writes its own part of the output and its
own partial sums, so results do not depend on how many threads run.

The forward pass runs the recurrence over chunks of time steps. Scratch memory is one flat float32 array, cut up by
offsets.
"""

from typing import Any, NamedTuple

from numba import boolean, float32, int16, int64, njit, types

from architectures.scan.numba_lanes import load
from architectures.scan.numba_steps import (
    CHUNK_ROWS,
    LANES,
    ROW,
    STEPS,
    ZERO,
    advance,
    form_steps,
    gate_output,
    load_constants,
    load_rows,
    store_rows,
)
from architectures.scan.numba_team import SHARED_TYPES, on_team


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


ROWS, _halves, MATRIX, _vector = float32[:, :, :], int16[:, :, :], float32[:, ::1], float32[::1]
OTHERS = (MATRIX, ROWS, ROWS, _vector, _vector, boolean, boolean, int64)
IN_BLOCKS = {False: (types.none, boolean), True: (int64, boolean)}
FORWARD_TYPES = {
    (own, half): types.void(*SHARED_TYPES, *(rows,) * 4, *OTHERS, *more, rows)
    for own, more in IN_BLOCKS.items()
    for half, rows in ((False, ROWS), (True, _halves))
}
"""Whether blocks replace the state, and whether u, delta, z and y are in bfloat16 -> types of the arguments."""


@njit
def group_of(s, item):  # type: ignore[no-untyped-def]
    """Batch row, group, its first channel and its number of blocks."""
    blocks = (s.u.shape[1] + LANES - 1) // LANES
    groups = (blocks + s.group_blocks - 1) // s.group_blocks
    group = item % groups
    return item // groups, group, group * s.group_blocks * LANES, min(s.group_blocks, blocks - group * s.group_blocks)


@njit
def enter_block(scratch, block, streams, time, before, saved, cells):  # type: ignore[no-untyped-def]
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
        batch, _, first_channel, blocks = group_of(s, item)
        for channel in range(first_channel, first_channel + blocks * LANES, LANES):
            load_constants(scratch, rates, skips, biases, s, channel)
            scratch[:cells] = ZERO
            before, after = 0, cells
            for start in range(0, s.u.shape[2], STEPS):
                steps = min(STEPS, s.u.shape[2] - start)
                form_steps(scratch, chunk, s, batch, channel, start, steps, biases)
                for t in range(steps):
                    enter_block(scratch, s.block, s.streams, start + t, before, saved, cells)
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


def forward_floats(given: ScanArrays) -> int:
    """Floats of scratch memory that an item of the forward pass needs."""
    return LANES * (5 * given.A.shape[1] + 2) + CHUNK_ROWS * ROW
