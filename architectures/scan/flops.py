"""How many floating-point operations a selective scan is said to do, and how many it does."""

COUNTED_PER_ELEMENT = 9
"""Per (batch, time, channel, state): the Mamba authors' figure (mamba issue 110); it describes the associative scan."""
EXECUTED_PER_ELEMENT = 7
"""A sequential kernel: step*A, exp, decay*h + input (2), input*B, and C.h (2); exp is counted as one."""


def scan_flops(batch: int, length: int, channels: int, state: int) -> tuple[int, int]:
    """FLOPs of one forward scan as (counted, executed), a multiply-add being two.

    counted = 9 B L D N, the number papers report (so that tables compare); executed = 7 B L D N, what the sequential
    kernels of this package do, exp taken as one operation. Both leave out what is linear in B L D alone (skip, gate,
    softplus).
    """
    elements = batch * length * channels * state
    return COUNTED_PER_ELEMENT * elements, EXECUTED_PER_ELEMENT * elements
