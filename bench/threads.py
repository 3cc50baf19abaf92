"""How the threads of a measuring process wait for work.

Threads of OpenMP that spin for long stall those of other runtimes (numba's, the scan's own); ones that sleep at once
are woken late again and again: many small operations then take twice as long. So they spin for some ten microseconds.
"""

from __future__ import annotations

import os

WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "20000"}
"""Environment variables; they must be set before torch is imported."""
COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def measuring_environment(threads: int) -> dict[str, str]:
    """This process's environment for a child that measures: a fixed number of threads, that wait as above, and output
    that is passed on at once."""
    return os.environ | dict.fromkeys(COUNTS, str(threads)) | WAITING | {"PYTHONUNBUFFERED": "1"}
