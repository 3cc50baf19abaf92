"""Threads that share the items of one CPU scan. The kernels release the interpreter lock, so plain threads suffice."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import count

import numpy as np
import torch

Task = Callable[[np.ndarray, int, int], None]
"""Computes the items first .. last - 1, given scratch memory (float32) of its own."""

GRABS_PER_THREAD = 4
"""Items are handed out in about this many portions a thread, so that one core held up does not hold up the rest."""

_pools: dict[int, ThreadPoolExecutor] = {}
os.register_at_fork(after_in_child=_pools.clear)  # a forked child inherits the pool but none of its threads


def _pool(threads: int) -> ThreadPoolExecutor:
    if threads not in _pools:
        # A state that decays through the subnormal numbers would slow each step a hundredfold: flush them to zero, in
        # these threads only.
        _pools[threads] = ThreadPoolExecutor(
            threads, thread_name_prefix="selective-scan", initializer=torch.set_flush_denormal, initargs=(True,)
        )
    return _pools[threads]


def run_items(task: Task, items: int, scratch_floats: int) -> None:
    """Run `task` over all items on torch.get_num_threads() threads. What an item computes must not depend on others."""
    threads = min(torch.get_num_threads(), items)
    portion = max(1, items // (threads * GRABS_PER_THREAD))
    tickets = count()

    def work() -> None:
        scratch = np.empty(scratch_floats, dtype=np.float32)
        for ticket in tickets:
            first = ticket * portion
            if first >= items:
                return
            task(scratch, first, min(first + portion, items))

    jobs = [_pool(torch.get_num_threads()).submit(work) for _ in range(threads)]
    wait(jobs)
    for job in jobs:
        job.result()
