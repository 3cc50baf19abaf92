"""The forward pass of the selective scan in Triton, as it runs on the GPU.

Time is cut into chunks, chunks into blocks of eight steps. A program computes one chunk of LANES channels of one batch
row, a channel a lane, step by step; softplus is computed once a step, B and C are read for all lanes at once. The
states, (B, chunks, N, D), stay where they are read from: a lane goes through a block with GROUP of them in registers.
`chunk_ends` reduces each chunk to what it adds, `carry` joins the chunks, `outputs` goes through a chunk from there.

Chunks and blocks count places in memory. A reversed scan takes them and their steps from the last to the first, with
the loads of a forward one. Padding (time beyond L, channels beyond D) has step 0: it keeps the state as it is.
"""

import triton
import triton.language as tl

from architectures.scan.triton_blocks import (
    LOG2_E,
    blocks_of,
    columns,
    constant,
    gated,
    group_rates,
    place_of,
    row_columns,
    step_columns,
    store_columns,
)


@triton.jit(do_not_specialize=["chunks", "blocks"])
def chunk_ends(
    u, delta, A, B, bias, ends, totals, marks, passed,
    u_b, u_d, u_t, delta_b, delta_d, delta_t, B_b, B_n, B_t,
    D, N, L, chunks, blocks,
    GROUP: tl.constexpr, LANES: tl.constexpr,
    SOFTPLUS: tl.constexpr, BIAS: tl.constexpr, REVERSE: tl.constexpr, MARKS: tl.constexpr,
):  # fmt: skip
    """ends (B, chunks, N, D): the state at a chunk's end when it starts from 0; totals (B, chunks, D): its summed step.
    With MARKS the same before each block: marks (B, chunks blocks, N, D), passed (B, chunks blocks, D)."""
    chunk, row = tl.program_id(0), tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * LANES + tl.arange(0, LANES)
    real = channel < D
    shift = constant(bias, channel, real, BIAS)
    ends += (row * chunks + chunk) * N * D + channel
    total = tl.zeros((LANES,), tl.float32)
    count = blocks_of(chunk, blocks, L)
    for i in range(count):
        block = chunk * blocks + place_of(i, count, REVERSE)
        mark = row * chunks * blocks + block
        if MARKS:
            tl.store(passed + mark * D + channel, total, mask=real)
        _, steps = step_columns(delta + row * delta_b, channel * delta_d, delta_t, shift, block, L, real, SOFTPLUS,
                                REVERSE)  # fmt: skip
        fed = columns(u + row * u_b, channel * u_d, u_t, block, L, real, REVERSE)
        driven = ()
        for j in tl.static_range(8):
            driven = driven + (steps[j] * fed[j],)
            total += steps[j]
        later = tl.full((LANES,), i, tl.int32) > 0
        for first in range(0, N, GROUP):
            rates = group_rates(A, channel, first, N, real, GROUP)
            for k in tl.static_range(GROUP):
                n = first + k
                b = row_columns(B + row * B_b + n * B_n, B_t, block, L, REVERSE)
                state = tl.load(ends + n * D, mask=real & later, other=0.0)
                if MARKS:
                    tl.store(marks + (mark * N + n) * D + channel, state, mask=real)
                for j in tl.static_range(8):
                    state = tl.exp2(rates[k] * steps[j]) * state + driven[j] * b[j]
                tl.store(ends + n * D, state, mask=real)
    tl.store(totals + (row * chunks + chunk) * D + channel, total, mask=real)


@triton.jit(do_not_specialize=["chunks"])
def carry(ends, totals, A, D, N, chunks, DOWN: tl.constexpr, CELLS: tl.constexpr, AHEAD: tl.constexpr):
    """In place: what each chunk adds becomes what each chunk receives, from the first chunk to the last, or DOWN."""
    row = tl.program_id(1).to(tl.int64)
    cells = tl.program_id(0) * CELLS + tl.arange(0, CELLS)  # n D + d
    real = cells < N * D
    rate = tl.load(A + cells % D * N + cells // D, mask=real, other=0.0) * LOG2_E
    received = tl.zeros((CELLS,), tl.float32)
    for i in range(0, chunks, AHEAD):
        added, decays = (), ()
        for j in tl.static_range(AHEAD):  # read ahead: the loads do not wait for the sums
            inside = real & (tl.full((CELLS,), i + j, tl.int32) < chunks)
            chunk = row * chunks + place_of(i + j, chunks, DOWN)
            added = added + (tl.load(ends + chunk * N * D + cells, mask=inside, other=0.0),)
            decays = decays + (tl.exp2(rate * tl.load(totals + chunk * D + cells % D, mask=inside, other=0.0)),)
        for j in tl.static_range(AHEAD):
            chunk = row * chunks + place_of(i + j, chunks, DOWN)
            inside = real & (tl.full((CELLS,), i + j, tl.int32) < chunks)
            tl.store(ends + chunk * N * D + cells, received, mask=inside)
            received = added[j] + decays[j] * received


@triton.jit(do_not_specialize=["chunks", "blocks"])
def outputs(
    u, delta, A, B, C, skip, z, bias, states, y,
    u_b, u_d, u_t, delta_b, delta_d, delta_t, B_b, B_n, B_t, C_b, C_n, C_t, z_b, z_d, z_t,
    D, N, L, chunks, blocks,
    GROUP: tl.constexpr, LANES: tl.constexpr,
    SOFTPLUS: tl.constexpr, BIAS: tl.constexpr, SKIP: tl.constexpr, GATE: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """y (B, D, L), contiguous. states (B, chunks, N, D): before the chunks; overwritten with those after them."""
    chunk, row = tl.program_id(0), tl.program_id(2).to(tl.int64)
    channel = tl.program_id(1) * LANES + tl.arange(0, LANES)
    real = channel < D
    shift = constant(bias, channel, real, BIAS)
    through = constant(skip, channel, real, SKIP)
    states += (row * chunks + chunk) * N * D + channel
    count = blocks_of(chunk, blocks, L)
    for i in range(count):
        block = chunk * blocks + place_of(i, count, REVERSE)
        _, steps = step_columns(delta + row * delta_b, channel * delta_d, delta_t, shift, block, L, real, SOFTPLUS,
                                REVERSE)  # fmt: skip
        fed = columns(u + row * u_b, channel * u_d, u_t, block, L, real, REVERSE)
        driven, found = (), ()
        for j in tl.static_range(8):
            driven = driven + (steps[j] * fed[j],)
            found = found + (through * fed[j],)
        for first in range(0, N, GROUP):
            rates = group_rates(A, channel, first, N, real, GROUP)
            for k in tl.static_range(GROUP):
                n = first + k
                b = row_columns(B + row * B_b + n * B_n, B_t, block, L, REVERSE)
                c = row_columns(C + row * C_b + n * C_n, C_t, block, L, REVERSE)
                state = tl.load(states + n * D, mask=real, other=0.0)
                summed = ()
                for j in tl.static_range(8):
                    state = tl.exp2(rates[k] * steps[j]) * state + driven[j] * b[j]
                    summed = summed + (found[j] + state * c[j],)
                found = summed
                tl.store(states + n * D, state, mask=real)
        if GATE:
            gates = columns(z + row * z_b, channel * z_d, z_t, block, L, real, REVERSE)
            found = gated(found, gates)
        store_columns(y + row * D * L, channel * L, found, block, L, real, REVERSE)
