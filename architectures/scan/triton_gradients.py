"""The backward pass of the selective scan in Triton, with chunks, blocks and lanes as in `triton_tiles`.

`chunk_gradients` reduces each chunk to the gradient that it sends back, `carry` joins the chunks, `gradients` goes back
through a chunk from there, and through each block first ahead, from the marks that `chunk_ends` left. What is summed
over channels, batch rows or chunks is written as partial sums and added up by the caller, so the result does not depend
on the order of programs.
"""

import triton
import triton.language as tl

from architectures.scan.triton_blocks import (
    LOG2_E,
    blocks_of,
    columns,
    constant,
    gate_parts,
    gated,
    group_rates,
    place_of,
    row_columns,
    step_columns,
    store_columns,
    store_sums,
    zeros,
)


@triton.jit(do_not_specialize=["chunks", "blocks"])
def chunk_gradients(
    grad_y, delta, A, C, z, bias, ends,
    y_b, y_d, y_t, delta_b, delta_d, delta_t, C_b, C_n, C_t, z_b, z_d, z_t,
    D, N, L, chunks, blocks,
    GROUP: tl.constexpr, LANES: tl.constexpr,
    SOFTPLUS: tl.constexpr, BIAS: tl.constexpr, GATE: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """ends (B, chunks, N, D): the gradient that a chunk alone sends to the state before it."""
    chunk, row = tl.program_id(0), tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * LANES + tl.arange(0, LANES)
    real = channel < D
    shift = constant(bias, channel, real, BIAS)
    ends += (row * chunks + chunk) * N * D + channel
    count = blocks_of(chunk, blocks, L)
    for i in range(count):
        block = chunk * blocks + place_of(i, count, not REVERSE)
        _, steps = step_columns(delta + row * delta_b, channel * delta_d, delta_t, shift, block, L, real, SOFTPLUS,
                                REVERSE)  # fmt: skip
        grad = columns(grad_y + row * y_b, channel * y_d, y_t, block, L, real, REVERSE)
        if GATE:
            gates = columns(z + row * z_b, channel * z_d, z_t, block, L, real, REVERSE)
            grad = gated(grad, gates)
        later = tl.full((LANES,), i, tl.int32) > 0
        for first in range(0, N, GROUP):
            rates = group_rates(A, channel, first, N, real, GROUP)
            for k in tl.static_range(GROUP):
                n = first + k
                c = row_columns(C + row * C_b + n * C_n, C_t, block, L, REVERSE)
                g = tl.load(ends + n * D, mask=real & later, other=0.0)
                for j in tl.static_range(8):
                    g = (g + c[7 - j] * grad[7 - j]) * tl.exp2(rates[k] * steps[7 - j])
                tl.store(ends + n * D, g, mask=real)


@triton.jit(do_not_specialize=["chunks", "blocks"])
def gradients(
    grad_y, u, delta, A, B, C, skip, z, bias, starts, marks, passed, passed_back,
    grad_u, grad_delta, grad_A, grad_B, grad_C, grad_skip, grad_z, grad_bias,
    y_b, y_d, y_t, u_b, u_d, u_t, delta_b, delta_d, delta_t, B_b, B_n, B_t, C_b, C_n, C_t, z_b, z_d, z_t,
    D, N, L, chunks, blocks,
    LANES: tl.constexpr,
    SOFTPLUS: tl.constexpr, BIAS: tl.constexpr, SKIP: tl.constexpr, GATE: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """grad_u, grad_delta, grad_z (B, D, L); partial sums grad_A (B, chunks, N, D), grad_skip and grad_bias
    (B, chunks, D), grad_B and grad_C (B, groups, N, L). `starts`: states before the chunks; `passed_back`: the gradient
    that the state after a chunk receives from later ones, which is overwritten."""
    chunk, row = tl.program_id(0), tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * LANES + tl.arange(0, LANES)
    real = channel < D
    shift = constant(bias, channel, real, BIAS)
    through = constant(skip, channel, real, SKIP)
    by_skip, by_bias = tl.zeros((LANES,), tl.float32), tl.zeros((LANES,), tl.float32)
    cell = row * chunks + chunk
    count = blocks_of(chunk, blocks, L)
    for i in range(count):
        block = chunk * blocks + place_of(i, count, not REVERSE)
        mark = row * chunks * blocks + block
        delta_row, u_row, z_row, y_row = delta + row * delta_b, u + row * u_b, z + row * z_b, grad_y + row * y_b
        _, steps = step_columns(delta_row, channel * delta_d, delta_t, shift, block, L, real, SOFTPLUS, REVERSE)
        fed = columns(u_row, channel * u_d, u_t, block, L, real, REVERSE)
        grad = columns(y_row, channel * y_d, y_t, block, L, real, REVERSE)
        if GATE:
            gates = columns(z_row, channel * z_d, z_t, block, L, real, REVERSE)
            grad = gated(grad, gates)
        driven = ()
        for j in tl.static_range(8):
            driven = driven + (steps[j] * fed[j],)
            by_skip += grad[j] * fed[j]
        since = tl.load(passed + mark * D + channel, mask=real, other=0.0)
        found, by_driven, by_rate = zeros(8, LANES), zeros(8, LANES), zeros(8, LANES)
        later = tl.full((LANES,), i, tl.int32) > 0
        for n in range(N):
            at = (cell * N + n) * D + channel
            A_n = tl.load(A + channel * N + n, mask=real, other=0.0)
            rate = A_n * LOG2_E
            b = row_columns(B + row * B_b + n * B_n, B_t, block, L, REVERSE)
            c = row_columns(C + row * C_b + n * C_n, C_t, block, L, REVERSE)
            state = tl.load(marks + (mark * N + n) * D + channel, mask=real, other=0.0)
            state += tl.exp2(rate * since) * tl.load(starts + at, mask=real, other=0.0)
            decays, kept, of_C, summed = (), (), (), ()
            for j in tl.static_range(8):
                decays = decays + (tl.exp2(rate * steps[j]),)
                kept = kept + (decays[j] * state,)
                state = kept[j] + driven[j] * b[j]
                of_C = of_C + (state * grad[j],)
                summed = summed + (found[j] + state * c[j],)
            found = summed
            g = tl.load(passed_back + at, mask=real, other=0.0)
            of_A = tl.load(grad_A + at, mask=real & later, other=0.0)
            of_B, of_driven, of_rate = (), (), ()
            for k in tl.static_range(8):
                g += c[7 - k] * grad[7 - k]
                by_decay = g * kept[7 - k]
                of_A += by_decay * steps[7 - k]
                of_B = (g * driven[7 - k],) + of_B
                of_driven = (by_driven[7 - k] + g * b[7 - k],) + of_driven
                of_rate = (by_rate[7 - k] + by_decay * A_n,) + of_rate
                g *= decays[7 - k]
            by_driven, by_rate = of_driven, of_rate
            tl.store(passed_back + at, g, mask=real)
            tl.store(grad_A + at, of_A, mask=real)
            share = ((row * tl.num_programs(1) + tl.program_id(1)) * N + n) * L
            store_sums(grad_B + share, of_B, block, L, REVERSE)
            store_sums(grad_C + share, of_C, block, L, REVERSE)
        # read again what the loop over states left no registers for
        raw, _ = step_columns(delta_row, channel * delta_d, delta_t, shift, block, L, real, False, REVERSE)
        fed = columns(u_row, channel * u_d, u_t, block, L, real, REVERSE)
        by_u, by_delta = (), ()
        for j in tl.static_range(8):
            slope = tl.sigmoid(raw[j]) if SOFTPLUS else 1.0
            by_u = by_u + (by_driven[j] * steps[j] + through * grad[j],)
            by_delta = by_delta + ((by_rate[j] + by_driven[j] * fed[j]) * slope,)
            by_bias += tl.where(block * 8 + (7 - j if REVERSE else j) < L, by_delta[j], 0.0)
        if GATE:
            given = columns(y_row, channel * y_d, y_t, block, L, real, REVERSE)
            gates = columns(z_row, channel * z_d, z_t, block, L, real, REVERSE)
            by_z = ()
            for j in tl.static_range(8):
                gate, _ = gate_parts(gates[j])
                by_gate = given[j] * gate * (1.0 + gates[j] * (1.0 - gate))
                by_z = by_z + (by_gate * (found[j] + through * fed[j]),)
        store_columns(grad_u + row * D * L, channel * L, by_u, block, L, real, REVERSE)
        store_columns(grad_delta + row * D * L, channel * L, by_delta, block, L, real, REVERSE)
        if GATE:
            store_columns(grad_z + row * D * L, channel * L, by_z, block, L, real, REVERSE)
    if SKIP:
        tl.store(grad_skip + cell * D + channel, by_skip, mask=real)
    if BIAS:
        tl.store(grad_bias + cell * D + channel, by_bias, mask=real)
