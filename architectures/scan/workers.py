"""Threads that share the items of a compiled CPU kernel: those of torch's own loops, or of a pool beside them."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from architectures.scan.numba_team import team_address

PORTIONS_PER_THREAD = 4
"""Items are handed out in about this many portions per thread, so that a delayed core does not delay the rest."""

SMALLEST_SHARE = 1 << 19
"""Updates of one state at one step (about 0.5 ms of a backward pass): no thread of the pool is woken for less."""

SMALLEST_TEAM_SHARE = 1 << 15
"""The same for a thread of torch, which stays awake for a while after torch's own loops."""

APART = 32
"""Floats between the scratch memory of two threads, so that no line of a cache holds some of both."""

_pools: dict[int, ThreadPoolExecutor] = {}
os.register_at_fork(after_in_child=_pools.clear)  # a forked child inherits the pool but none of its threads
_OWNER = os.getpid()
"""A process forked from this one does not ask OpenMP for the threads that it has not inherited either."""


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


def run_items(
    function: Callable[..., None], arguments: Sequence[Any], items: int, scratch_floats: int, updates: int
) -> None:
    """Run the compiled `function(share, scratch, *arguments)` over all items on at most torch.get_num_threads()
    threads, the calling one among them.

    share, scratch: see `numba_team.on_team`; scratch_floats: those of one thread. updates: how many times a state is
    updated, B L D N; small scans run on fewer threads. What an item computes must not depend on others.
    """
    address = team_address() if os.getpid() == _OWNER else 0
    smallest = SMALLEST_TEAM_SHARE if address else SMALLEST_SHARE
    threads = min(torch.get_num_threads(), items, max(1, updates // smallest))
    portion = items if threads == 1 else max(1, items // (threads * PORTIONS_PER_THREAD))
    share = np.array((address, threads, portion, items, 0, 0))  # as numba_team names them
    scratch = np.empty((threads, scratch_floats + APART), dtype=np.float32)
    if address and threads > 1:
        function(share, scratch, *arguments)
        return

    def work() -> None:
        with _subnormals_flushed():
            function(share, scratch, *arguments)

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
