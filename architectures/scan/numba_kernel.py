"""The `numba` kernel: the algorithm of selective_scan.c where there is no C compiler, compiled on first use.

See host.py for lanes, blocks, groups and items. The forward pass runs the recurrence over chunks of time steps. The
backward pass keeps the state at the start of every chunk, then goes back over the chunks, replaying one at a time, so
that nothing of size B L D N exists. Scratch memory is one flat float32 array, cut up by offsets.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import boolean, float32, int64, njit, types
from torch import Tensor

from architectures.scan import host, numba_lanes, numba_steps
from architectures.scan.c_library import cache_folder
from architectures.scan.inputs import ScanGradients, ScanInputs
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


class _Given(NamedTuple):
    """What a scan reads: the fields of host.HostScan; an absent vector is empty, an absent z is u."""

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


class _Wanted(NamedTuple):
    """What the backward pass writes; grad_z is grad_u where there is no z."""

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
    rates: int
    skip: int
    bias: int
    h: int
    decay: int
    grad_B: int
    grad_C: int
    chunk: int
    starts: int
    end: int


_rows, _matrix, _vector = float32[:, :, :], float32[:, ::1], float32[::1]
_given_types = (*(_rows,) * 4, _matrix, _rows, _rows, _vector, _vector, boolean, boolean, int64)
_partial = float32[:, :, :, :]
_wanted_types = (_rows, _rows, _rows, float32[:, :, ::1], _partial, _partial, _matrix, _matrix)


@njit
def _group(s, item):  # type: ignore[no-untyped-def]
    """Batch row, group, its first channel and its number of blocks."""
    blocks = (s.u.shape[1] + LANES - 1) // LANES
    groups = (blocks + s.group_blocks - 1) // s.group_blocks
    group = item % groups
    return item // groups, group, group * s.group_blocks * LANES, min(s.group_blocks, blocks - group * s.group_blocks)


def _scan_forward(  # type: ignore[no-untyped-def]
    u, delta, z, grad_y, A, B, C, skip, bias, smooth, gated, group_blocks, y, scratch, first, last
):
    """Items first .. last - 1; item i is group i % groups of batch row i // groups.

    The arguments are those of _Given one by one: numba takes an array of any strides as an argument, not in a tuple.
    """
    s = _Given(u, delta, z, grad_y, A, B, C, skip, bias, smooth, gated, group_blocks)
    cells = s.A.shape[1] * LANES
    decay, rates, skips = 2 * cells, 3 * cells, 4 * cells
    biases, chunk = skips + LANES, skips + 2 * LANES
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
                    advance(scratch, rates, chunk + t * LANES, s, batch, start + t, before, after, decay)
                    before, after = after, before
                if s.gated:
                    load_rows(scratch, chunk + 5 * ROW, s.z, batch, channel, start, steps)
                gate_output(scratch, chunk, s, load(scratch, skips), steps)
                store_rows(scratch, chunk + 4 * ROW, y, batch, channel, start, steps)


def _forward_floats(scan: host.HostScan) -> int:
    return LANES * (4 * scan.A.shape[1] + 2) + CHUNK_ROWS * ROW


def _places(length: int, state: int, group_blocks: int) -> _Places:
    cells, chunks = state * LANES, (length + STEPS - 1) // STEPS
    grad_A = group_blocks * cells  # from 0 to here: what is carried from one chunk to the one before
    grad_skip = grad_A + group_blocks * cells
    grad_bias = grad_skip + group_blocks * LANES
    rates = grad_bias + group_blocks * LANES
    skip = rates + group_blocks * cells
    bias = skip + group_blocks * LANES
    h = bias + group_blocks * LANES
    decay = h + (STEPS + 1) * cells
    grad_B = decay + STEPS * cells
    grad_C = grad_B + STEPS * cells
    chunk = grad_C + STEPS * cells
    starts = chunk + CHUNK_ROWS * ROW
    end = starts + chunks * group_blocks * cells
    return _Places(grad_A, grad_skip, grad_bias, rates, skip, bias, h, decay, grad_B, grad_C, chunk, starts, end)


_places_compiled = njit(_places)


@njit
def _keep_starts(scratch, at, s, batch, channel, k):  # type: ignore[no-untyped-def]
    """The states in which the chunks of the k-th block of a group begin."""
    cells, length = s.A.shape[1] * LANES, s.u.shape[2]
    before, after = at.h, at.h + cells
    scratch[before : before + cells] = ZERO
    for start in range(0, length, STEPS):
        kept = at.starts + (start // STEPS * s.group_blocks + k) * cells
        scratch[kept : kept + cells] = scratch[before : before + cells]
        if start + STEPS >= length:
            return
        form_steps(scratch, at.chunk, s, batch, channel, start, STEPS, at.bias + k * LANES)
        for t in range(STEPS):
            step_at = at.chunk + t * LANES
            advance(scratch, at.rates + k * cells, step_at, s, batch, start + t, before, after, at.decay)
            before, after = after, before


@njit
def _back_over_chunk(scratch, at, s, w, batch, channel, k, start):  # type: ignore[no-untyped-def]
    """One chunk of the k-th block of a group: replay its states, then walk back over its steps."""
    cells, steps = s.A.shape[1] * LANES, min(STEPS, s.u.shape[2] - start)
    rates, sums_skip, sums_bias = at.rates + k * cells, at.grad_skip + k * LANES, at.grad_bias + k * LANES
    form_steps(scratch, at.chunk, s, batch, channel, start, steps, at.bias + k * LANES)
    load_rows(scratch, at.chunk + 6 * ROW, s.grad_y, batch, channel, start, steps)
    kept = at.starts + (start // STEPS * s.group_blocks + k) * cells
    scratch[at.h : at.h + cells] = scratch[kept : kept + cells]
    for t in range(steps):
        h, decay = at.h + t * cells, at.decay + t * cells
        advance(scratch, rates, at.chunk + t * LANES, s, batch, start + t, h, h + cells, decay)
    skip = load(scratch, at.skip + k * LANES)
    if s.gated:
        load_rows(scratch, at.chunk + 5 * ROW, s.z, batch, channel, start, steps)
        back_through_gate(scratch, at.chunk, skip, steps)
        store_rows(scratch, at.chunk + 4 * ROW, w.grad_z, batch, channel, start, steps)
    for t in range(steps - 1, -1, -1):
        h, decay, here, cell = at.h + t * cells, at.decay + t * cells, at.chunk + t * LANES, t * cells
        by_step, by_driven = retreat(
            scratch, rates, here, s, batch, start + t, h, h + cells, decay, k * cells, at.grad_A + k * cells,
            at.grad_B + cell, at.grad_C + cell,
        )  # fmt: skip
        u, step, g = load(scratch, here), load(scratch, here + ROW), load(scratch, here + 6 * ROW)
        by_delta = multiply_add(by_driven, u, by_step) * load(scratch, here + 3 * ROW)
        store(scratch, sums_skip, multiply_add(g, u, load(scratch, sums_skip)))
        store(scratch, sums_bias, by_delta + load(scratch, sums_bias))
        store(scratch, here, multiply_add(by_driven, step, skip * g))
        store(scratch, here + 2 * ROW, by_delta)
    store_rows(scratch, at.chunk, w.grad_u, batch, channel, start, steps)
    store_rows(scratch, at.chunk + 2 * ROW, w.grad_delta, batch, channel, start, steps)


def _scan_backward(  # type: ignore[no-untyped-def]
    u, delta, z, grad_y, A, B, C, skip, bias, smooth, gated, group_blocks,
    grad_u, grad_delta, grad_z, grad_A, grad_B, grad_C, grad_skip, grad_bias, scratch, first, last,
):  # fmt: skip
    """Items as in _scan_forward; partial sums as host.HostScan describes them."""
    s = _Given(u, delta, z, grad_y, A, B, C, skip, bias, smooth, gated, group_blocks)
    w = _Wanted(grad_u, grad_delta, grad_z, grad_A, grad_B, grad_C, grad_skip, grad_bias)
    length, state = s.u.shape[2], s.A.shape[1]
    cells = state * LANES
    at = _places_compiled(length, state, s.group_blocks)
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


def _sources_digest() -> str:
    """Of all that is compiled together: numba's disk cache by itself notices a change in the calling file only."""
    files = (__file__, *(str(module.__file__) for module in (host, numba_lanes, numba_steps)))
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()[:16]


@cache
def _compiled(which: str) -> Callable[..., None]:
    """The forward or backward function, from the disk cache (under NUMBA_CACHE_DIR, or ours) or compiled now."""
    forward = which == "forward"
    function: Callable[..., None] = _scan_forward if forward else _scan_backward
    results = (_rows,) if forward else _wanted_types
    signature = types.void(*_given_types, *results, _vector, int64, int64)
    config: Any = numba.config
    users_folder = config.CACHE_DIR
    config.CACHE_DIR = str(Path(users_folder or cache_folder()) / f"numba_{_sources_digest()}")
    try:
        return njit(signature, cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # numba found no folder it may write its cache to
        return njit(signature, nogil=True, error_model="numpy")(function)
    finally:
        config.CACHE_DIR = users_folder


def unusable_reason() -> str:
    """Runs wherever numba can be imported."""
    return ""


def _bind(scan: host.HostScan, which: str) -> tuple[host.Task, int]:
    compiled, nothing = _compiled(which), np.zeros(0, dtype=np.float32)
    given = _Given(
        u=scan.u,
        delta=scan.delta,
        z=scan.u if scan.z is None else scan.z,
        grad_y=scan.u if scan.grad_y is None else scan.grad_y,
        A=scan.A,
        B=scan.B,
        C=scan.C,
        skip=nothing if scan.skip is None else scan.skip,
        bias=nothing if scan.bias is None else scan.bias,
        smooth=scan.softplus,
        gated=scan.z is not None,
        group_blocks=scan.group_blocks,
    )
    results: tuple[Any, ...] = (scan.y,)
    floats = _forward_floats(scan)
    if which == "backward":
        grads = {name: getattr(scan, name) for name in _Wanted._fields}
        results = _Wanted(**(grads | {"grad_z": scan.grad_u if scan.grad_z is None else scan.grad_z}))
        floats = _places(scan.u.shape[2], scan.A.shape[1], scan.group_blocks).end

    def task(scratch: np.ndarray, first: int, last: int) -> None:
        compiled(*given, *results, scratch, first, last)

    return task, floats


def forward(inputs: ScanInputs) -> Tensor:
    """y (B, D, L), computed in float32, in the type of u."""
    return host.forward(inputs, lambda scan: _bind(scan, "forward"))


def backward(inputs: ScanInputs, grad_BDL: Tensor) -> ScanGradients:
    """Gradients of all arguments, each in its argument's type."""
    return host.backward(inputs, grad_BDL, lambda scan: _bind(scan, "backward"))
