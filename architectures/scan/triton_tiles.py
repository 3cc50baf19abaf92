"""The selective scan in Triton, as it runs on the GPU. The only file that imports triton.

Time is cut into chunks. A program computes one chunk of one batch row and loops over the channels of a group, with the
chunk's B and C, (N, T), in registers, so each is read once a group. Nothing of size B x D x L x N exists:
`chunk_ends` and `chunk_gradients` reduce each chunk to what it passes on, (B, chunks, D, N), `carry` joins the chunks,
and `outputs` and `gradients` replay a chunk by an associative scan along T. What is summed over channels, batch rows or
chunks is written as partial sums and added up by the caller, so the result does not depend on the order of programs.

Positions are in scan order; `_where` turns them into places in memory, so a reversed scan reads and writes backward
without a copy. Padding (time beyond L, channels beyond D, states beyond N) has step 0: it keeps the state as it is.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def _after(decay_1, input_1, decay_2, input_2):
    """h -> decay h + input, the first step and then the second."""
    return decay_1 * decay_2, decay_2 * input_1 + input_2


@triton.jit
def _where(position, length, REVERSE: tl.constexpr):
    if REVERSE:
        return length - 1 - position
    return position


@triton.jit
def _softplus(x):
    """log(1 + e^x) with relative precision for small results, where 1 + e^x has lost most of e^x."""
    small = tl.exp2(tl.abs(x) * -LOG2_E)
    wide = 1.0 + small
    rounded = wide - 1.0
    log1p = tl.where(rounded == 0.0, small, tl.log(wide) * (small / tl.where(rounded == 0.0, 1.0, rounded)))
    return tl.maximum(x, 0.0) + log1p


@triton.jit
def _row(pointer, position, valid, stride, length, REVERSE: tl.constexpr):
    """(T,) of one channel in float32, 0 where not valid."""
    return tl.load(pointer + _where(position, length, REVERSE) * stride, mask=valid, other=0.0).to(tl.float32)


@triton.jit
def _step(pointer, bias, position, valid, stride, length, SOFTPLUS: tl.constexpr, REVERSE: tl.constexpr):
    """(T,): delta + bias, and the step the recurrence takes; both 0 where not valid."""
    raw = _row(pointer, position, valid, stride, length, REVERSE) + bias
    step = raw
    if SOFTPLUS:
        step = _softplus(raw)
    return raw, tl.where(valid, step, 0.0)


@triton.jit
def _matrix(pointer, states, position, stride_n, stride_t, N, length, inside, REVERSE: tl.constexpr):
    """(N, T) of B or C in float32, 0 beyond N, where not inside, and beyond L."""
    mask = (states < N)[:, None] & inside[None, :]
    at = states[:, None] * stride_n + _where(position, length, REVERSE)[None, :] * stride_t
    return tl.load(pointer + at, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def chunk_ends(
    u, delta, A, B, bias, ends, totals,
    u_b, u_d, u_t, delta_b, delta_d, delta_t, B_b, B_n, B_t,
    D, N, L, chunks,
    T: tl.constexpr, STATES: tl.constexpr, GROUP: tl.constexpr,
    SOFTPLUS: tl.constexpr, BIAS: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """ends (B, chunks, D, N): the state at a chunk's end when it starts from 0; totals (B, chunks, D): its summed step.

    No scan: the input of time t is weighted by exp(A times the steps still to come).
    """
    chunk, group, row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    states = tl.arange(0, STATES)
    position = chunk * T + tl.arange(0, T)
    inside = position < L
    in_chunk = inside & (position + 1 < (chunk + 1) * T) & (position + 1 < L)
    B_NT = _matrix(B + row * B_b, states, position, B_n, B_t, N, L, inside, REVERSE)
    for d in range(group * GROUP, tl.minimum((group + 1) * GROUP, D)):
        shift = tl.load(bias + d).to(tl.float32) if BIAS else 0.0
        delta_row = delta + row * delta_b + d * delta_d
        _, step = _step(delta_row, shift, position, inside, delta_t, L, SOFTPLUS, REVERSE)
        _, later = _step(delta_row, shift, position + 1, in_chunk, delta_t, L, SOFTPLUS, REVERSE)
        to_come = tl.cumsum(later, 0, reverse=True)
        driven = step * _row(u + row * u_b + d * u_d, position, inside, u_t, L, REVERSE)
        rate = tl.load(A + d * N + states, mask=states < N, other=0.0).to(tl.float32) * LOG2_E
        weighted = tl.exp2(rate[:, None] * to_come[None, :]) * driven[None, :] * B_NT
        cell = (row * chunks + chunk) * D + d
        tl.store(ends + cell * N + states, tl.sum(weighted, 1), mask=states < N)
        tl.store(totals + cell, tl.sum(step, 0))


@triton.jit
def _silu_parts(z):
    gate = tl.sigmoid(z)
    return gate, z * gate


@triton.jit
def chunk_gradients(
    grad_y, delta, A, C, z, bias, ends,
    y_b, y_d, y_t, delta_b, delta_d, delta_t, C_b, C_n, C_t, z_b, z_d, z_t,
    D, N, L, chunks,
    T: tl.constexpr, STATES: tl.constexpr, GROUP: tl.constexpr,
    SOFTPLUS: tl.constexpr, BIAS: tl.constexpr, GATE: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """ends (B, chunks, D, N): the gradient that a chunk alone sends to the state before it."""
    chunk, group, row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    states = tl.arange(0, STATES)
    position = chunk * T + tl.arange(0, T)
    inside = position < L
    C_NT = _matrix(C + row * C_b, states, position, C_n, C_t, N, L, inside, REVERSE)
    for d in range(group * GROUP, tl.minimum((group + 1) * GROUP, D)):
        shift = tl.load(bias + d).to(tl.float32) if BIAS else 0.0
        _, step = _step(delta + row * delta_b + d * delta_d, shift, position, inside, delta_t, L, SOFTPLUS,
                        REVERSE)  # fmt: skip
        passed = tl.cumsum(step, 0)
        grad = _row(grad_y + row * y_b + d * y_d, position, inside, y_t, L, REVERSE)
        if GATE:
            _, silu = _silu_parts(_row(z + row * z_b + d * z_d, position, inside, z_t, L, REVERSE))
            grad *= silu
        rate = tl.load(A + d * N + states, mask=states < N, other=0.0).to(tl.float32) * LOG2_E
        weighted = tl.exp2(rate[:, None] * passed[None, :]) * grad[None, :] * C_NT
        cell = (row * chunks + chunk) * D + d
        tl.store(ends + cell * N + states, tl.sum(weighted, 1), mask=states < N)


@triton.jit
def carry(ends, totals, A, D, N, chunks, BACKWARD: tl.constexpr, CELLS: tl.constexpr):
    """In place: what each chunk adds becomes what each chunk receives, in the order of time or BACKWARD."""
    row = tl.program_id(1).to(tl.int64)
    cells = tl.program_id(0) * CELLS + tl.arange(0, CELLS)  # d * N + n
    real = cells < D * N
    rate = tl.load(A + cells, mask=real, other=0.0).to(tl.float32) * LOG2_E
    received = tl.zeros((CELLS,), dtype=tl.float32)
    for i in range(chunks):
        chunk = row * chunks + (chunks - 1 - i if BACKWARD else i)
        place = ends + chunk * D * N + cells
        added = tl.load(place, mask=real, other=0.0)
        total = tl.load(totals + chunk * D + cells // N, mask=real, other=0.0)
        tl.store(place, received, mask=real)
        received = added + tl.exp2(rate * total) * received


@triton.jit
def outputs(
    u, delta, A, B, C, skip, z, bias, starts, y,
    u_b, u_d, u_t, delta_b, delta_d, delta_t, B_b, B_n, B_t, C_b, C_n, C_t, z_b, z_d, z_t,
    D, N, L, chunks,
    T: tl.constexpr, STATES: tl.constexpr, GROUP: tl.constexpr,
    SOFTPLUS: tl.constexpr, BIAS: tl.constexpr, SKIP: tl.constexpr, GATE: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """y (B, D, L), contiguous, from the states in which the chunks start."""
    chunk, group, row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    states = tl.arange(0, STATES)
    position = chunk * T + tl.arange(0, T)
    inside = position < L
    B_NT = _matrix(B + row * B_b, states, position, B_n, B_t, N, L, inside, REVERSE)
    C_NT = _matrix(C + row * C_b, states, position, C_n, C_t, N, L, inside, REVERSE)
    for d in range(group * GROUP, tl.minimum((group + 1) * GROUP, D)):
        shift = tl.load(bias + d).to(tl.float32) if BIAS else 0.0
        _, step = _step(delta + row * delta_b + d * delta_d, shift, position, inside, delta_t, L, SOFTPLUS, REVERSE)
        u_T = _row(u + row * u_b + d * u_d, position, inside, u_t, L, REVERSE)
        rate = tl.load(A + d * N + states, mask=states < N, other=0.0).to(tl.float32) * LOG2_E
        decay = tl.exp2(rate[:, None] * step[None, :])
        kept, h_NT = tl.associative_scan((decay, B_NT * (step * u_T)[None, :]), 1, _after)
        start = tl.load(starts + ((row * chunks + chunk) * D + d) * N + states, mask=states < N, other=0.0)
        y_T = tl.sum((h_NT + kept * start[:, None]) * C_NT, 0)
        if SKIP:
            y_T += tl.load(skip + d).to(tl.float32) * u_T
        if GATE:
            _, silu = _silu_parts(_row(z + row * z_b + d * z_d, position, inside, z_t, L, REVERSE))
            y_T *= silu
        tl.store(y + (row * D + d) * L + _where(position, L, REVERSE), y_T.to(y.dtype.element_ty), mask=inside)


@triton.jit
def gradients(
    grad_y, u, delta, A, B, C, skip, z, bias, starts, passed_back,
    grad_u, grad_delta, grad_A, grad_B, grad_C, grad_skip, grad_z, grad_bias,
    y_b, y_d, y_t, u_b, u_d, u_t, delta_b, delta_d, delta_t, B_b, B_n, B_t, C_b, C_n, C_t, z_b, z_d, z_t,
    D, N, L, chunks,
    T: tl.constexpr, STATES: tl.constexpr, GROUP: tl.constexpr,
    SOFTPLUS: tl.constexpr, BIAS: tl.constexpr, SKIP: tl.constexpr, GATE: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """grad_u, grad_delta, grad_z (B, D, L); partial sums grad_A (B, chunks, D, N), grad_skip and grad_bias
    (B, chunks, D), grad_B and grad_C (B, groups, N, L). `starts`: states before the chunks, `passed_back`: the gradient
    that the state after the chunk receives from later ones, times the decay into it."""
    chunk, group, row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    states = tl.arange(0, STATES)
    position = chunk * T + tl.arange(0, T)
    inside = position < L
    has_earlier = inside & (position > chunk * T)
    has_later = (position + 1 < (chunk + 1) * T) & (position + 1 < L)
    B_NT = _matrix(B + row * B_b, states, position, B_n, B_t, N, L, inside, REVERSE)
    C_NT = _matrix(C + row * C_b, states, position, C_n, C_t, N, L, inside, REVERSE)
    B_before_NT = _matrix(B + row * B_b, states, position - 1, B_n, B_t, N, L, has_earlier, REVERSE)
    grad_B_NT = tl.zeros((STATES, T), dtype=tl.float32)
    grad_C_NT = tl.zeros((STATES, T), dtype=tl.float32)
    for d in range(group * GROUP, tl.minimum((group + 1) * GROUP, D)):
        shift = tl.load(bias + d).to(tl.float32) if BIAS else 0.0
        delta_row, u_row = delta + row * delta_b + d * delta_d, u + row * u_b + d * u_d
        raw, step = _step(delta_row, shift, position, inside, delta_t, L, SOFTPLUS, REVERSE)
        _, earlier = _step(delta_row, shift, position - 1, has_earlier, delta_t, L, SOFTPLUS, REVERSE)
        _, later = _step(delta_row, shift, position + 1, has_later, delta_t, L, SOFTPLUS, REVERSE)
        u_T = _row(u_row, position, inside, u_t, L, REVERSE)
        u_before_T = _row(u_row, position - 1, has_earlier, u_t, L, REVERSE)
        A_N = tl.load(A + d * N + states, mask=states < N, other=0.0).to(tl.float32)
        rate = (A_N * LOG2_E)[:, None]
        cell = (row * chunks + chunk) * D + d
        start = tl.load(starts + cell * N + states, mask=states < N, other=0.0)
        received = tl.load(passed_back + cell * N + states, mask=states < N, other=0.0)
        # the states before each step, by a scan of what happened one step earlier: no cancellation as in h - input
        kept, h_before_NT = tl.associative_scan(
            (tl.exp2(rate * earlier[None, :]), B_before_NT * (earlier * u_before_T)[None, :]), 1, _after
        )
        remembered_NT = tl.exp2(rate * step[None, :]) * (h_before_NT + kept * start[:, None])
        h_NT = remembered_NT + B_NT * (step * u_T)[None, :]
        grad = _row(grad_y + row * y_b + d * y_d, position, inside, y_t, L, REVERSE)
        D_d = tl.load(skip + d).to(tl.float32) if SKIP else 0.0
        place = (row * D + d) * L + _where(position, L, REVERSE)
        if GATE:
            z_T = _row(z + row * z_b + d * z_d, position, inside, z_t, L, REVERSE)
            gate, silu = _silu_parts(z_T)
            by_z = grad * (tl.sum(h_NT * C_NT, 0) + D_d * u_T) * gate * (1.0 + z_T * (1.0 - gate))
            tl.store(grad_z + place, by_z.to(grad_z.dtype.element_ty), mask=inside)
            grad *= silu
        sent, g_NT = tl.associative_scan(
            (tl.exp2(rate * later[None, :]), C_NT * grad[None, :]), 1, _after, reverse=True
        )
        g_NT += sent * received[:, None]
        grad_B_NT += g_NT * (step * u_T)[None, :]
        grad_C_NT += h_NT * grad[None, :]
        by_decay_NT = g_NT * remembered_NT
        by_driven = tl.sum(g_NT * B_NT, 0)
        by_delta = tl.sum(by_decay_NT * A_N[:, None], 0) + by_driven * u_T
        if SOFTPLUS:
            by_delta *= tl.sigmoid(raw)
        by_delta = tl.where(inside, by_delta, 0.0)
        by_u = by_driven * step + D_d * grad
        tl.store(grad_u + place, by_u.to(grad_u.dtype.element_ty), mask=inside)
        tl.store(grad_delta + place, by_delta.to(grad_delta.dtype.element_ty), mask=inside)
        tl.store(grad_A + cell * N + states, tl.sum(by_decay_NT * step[None, :], 1), mask=states < N)
        if SKIP:
            tl.store(grad_skip + cell, tl.sum(grad * u_T, 0))
        if BIAS:
            tl.store(grad_bias + cell, tl.sum(by_delta, 0))
    share = ((row * tl.num_programs(1) + group) * N + states)[:, None] * L + _where(position, L, REVERSE)[None, :]
    mask = (states < N)[:, None] & inside[None, :]
    tl.store(grad_B + share, grad_B_NT, mask=mask)
    tl.store(grad_C + share, grad_C_NT, mask=mask)
