"""Threads that share the items of one call of a CPU kernel; it releases the interpreter lock, so plain ones suffice."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

import numpy as np
import torch

Task = Callable[[np.ndarray, int, int], None]
"""Computes the items first .. last - 1, given scratch memory (float32) of its own."""

PORTIONS_PER_THREAD = 4
"""Items are handed out in about this many portions per thread, so that a delayed core does not delay the rest."""

SMALLEST_SHARE = 1 << 19
"""Updates of one state at one step (about 0.5 ms of a backward pass): no thread is started for less than this."""

_pools: dict[int, ThreadPoolExecutor] = {}
os.register_at_fork(after_in_child=_pools.clear)  # a forked child inherits the pool but none of its threads


@contextmanager
def _subnormals_flushed() -> Iterator[None]:
    """A block in which this thread rounds subnormal numbers to zero: a state that decays through them would slow each
    step a hundredfold.

    Torch can set this for the calling thread but not read it, so a product shows how it was set.
    """
    flushed_before = bool(np.float32(1e-40) * np.float32(1.0) == 0.0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed_before)


def _pool(helpers: int) -> ThreadPoolExecutor:
    if helpers not in _pools:
        _pools[helpers] = ThreadPoolExecutor(helpers, thread_name_prefix="selective-scan")
    return _pools[helpers]


def run_items(task: Task, items: int, scratch_floats: int, updates: int) -> None:
    """Run `task` over all items on at most torch.get_num_threads() threads, the calling one among them.

    updates: how many times a state is updated, B L D N; small scans run on fewer threads. What an item computes must
    not depend on others.
    """
    threads = min(torch.get_num_threads(), items, max(1, updates // SMALLEST_SHARE))
    portion = items if threads == 1 else max(1, items // (threads * PORTIONS_PER_THREAD))
    tickets = count()

    def work() -> None:
        scratch = np.empty(scratch_floats, dtype=np.float32)
        with _subnormals_flushed():
            for ticket in tickets:
                first = ticket * portion
                if first >= items:
                    return
                task(scratch, first, min(first + portion, items))

    if threads == 1:
        work()
        return
    pool = _pool(torch.get_num_threads() - 1)
    helpers = [pool.submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        started = [helper for helper in helpers if not helper.cancel()]  # the others did not start in time
        for helper in started:
            helper.result()
