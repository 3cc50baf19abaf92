"""How the threads of a measuring process wait for work.

Threads of OpenMP that spin for long stall those of other runtimes (numba's, the scan's own); ones that sleep at once
are woken late again and again: many small operations then take twice as long. So they spin for some ten microseconds.
"""

from __future__ import annotations

WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "20000"}
"""Environment variables; they must be set before torch is imported."""
