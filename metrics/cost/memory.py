"""Peak memory of a call: resident memory on a CPU, the allocator's peaks on CUDA, else NaN with a reason."""

from __future__ import annotations

import ctypes
import gc
import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_HIGH_WATER_MARK = b"5"
"""What proc(5) says to write to `clear_refs` to set the peak resident set size back to the present one."""

REQUEST = re.compile(r"(?:tried|unable) to allocate (?P<size>[\d.]+) ?(?P<unit>bytes|[kmgt]ib)", re.IGNORECASE)
"""Size of a failed allocation in messages of torch's allocators (CPU: bytes, CUDA: GiB and the like) and numpy."""
UNIT_BYTES = {"bytes": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


@dataclass(frozen=True)
class PeakMemory:
    """Peak of one call in bytes. `peak_bytes` is NaN with a `reason` where the device has no such figure.

    On a CPU: `peak_bytes` is the growth of the resident set over `baseline_bytes`, the resident set before. Linux keeps
    its high-water mark by counters of each core, which lag by up to 32 pages: a peak is up to 0.125 MiB a core too low.
    On CUDA: `peak_bytes` is what the allocator handed out, `reserved_bytes` what it held, `device_bytes` what is
    used on the whole device by the driver (other processes included).
    """

    peak_bytes: float
    kind: str
    reason: str = ""
    baseline_bytes: float = math.nan
    reserved_bytes: float = math.nan
    device_bytes: float = math.nan


def resident_bytes(field: str = "VmRSS") -> float:
    """Resident memory of this process (`VmRSS`), its high-water mark (`VmHWM`), ...; NaN where there is no /proc."""
    with suppress(OSError):
        for line in STATUS.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(f"{field}:"):
                return float(line.split()[1]) * 1024
    return math.nan


def give_back_free_memory() -> None:
    """Collect garbage and hand freed heap pages back, so that new memory is neither hidden nor overstated."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def memory_baseline(device: torch.device | str = "cpu") -> float:
    """Bytes in use before the model exists, to be handed to `peak_memory`; NaN where they cannot be known."""
    kind = torch.device(device)
    give_back_free_memory()
    if kind.type == "cuda":
        torch.cuda.empty_cache()
        return float(torch.cuda.memory_allocated(kind))
    return resident_bytes() if kind.type == "cpu" else math.nan


def peak_memory(
    function: Callable[[], Any], *, device: torch.device | str = "cpu", baseline_bytes: float | None = None
) -> PeakMemory:
    """Run `function` once and return the most memory in use meanwhile, over `baseline_bytes` (default: just before).

    Take the baseline with `memory_baseline` before the model is built and the growth holds weights, gradients,
    optimiser state, activations and workspace. On a CPU call `function` once before (untimed), else pages of
    library code that are touched for the first time count as well. Raises whatever `function` raises.
    """
    kind = torch.device(device)
    if kind.type == "cuda":
        return _cuda_peak(function, kind, baseline_bytes)
    if kind.type != "cpu":
        function()
        return PeakMemory(math.nan, kind.type, f"peak memory is not available on {kind.type}")
    give_back_free_memory()
    baseline = resident_bytes() if baseline_bytes is None else baseline_bytes
    try:
        CLEAR_REFS.write_bytes(RESET_HIGH_WATER_MARK)
    except OSError as problem:
        function()
        return PeakMemory(math.nan, "resident", f"the high-water mark cannot be reset here ({problem.strerror})")
    function()
    peak = resident_bytes("VmHWM")
    if math.isnan(peak - baseline):
        return PeakMemory(math.nan, "resident", "this system does not report the resident memory of a process")
    return PeakMemory(peak - baseline, "resident", baseline_bytes=baseline)


def _cuda_peak(function: Callable[[], Any], device: torch.device, baseline_bytes: float | None) -> PeakMemory:
    """Peaks of the caching allocator and the driver's figure for the device."""
    torch.cuda.synchronize(device)
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    baseline = float(torch.cuda.memory_allocated(device)) if baseline_bytes is None else baseline_bytes
    function()
    torch.cuda.synchronize(device)
    free, total = torch.cuda.mem_get_info(device)
    return PeakMemory(
        peak_bytes=torch.cuda.max_memory_allocated(device) - baseline,
        kind="cuda allocator",
        baseline_bytes=baseline,
        reserved_bytes=float(torch.cuda.max_memory_reserved(device)),
        device_bytes=float(total - free),
    )


def limit_growth(growth_bytes: float) -> None:
    """Let this process take at most `growth_bytes` more private memory than now; beyond it, allocations fail.

    Linux only (RLIMIT_DATA counts private writable mappings, unlike the address space, which torch reserves freely).
    Raises ValueError for a limit that is not positive and on systems without such a limit.
    """
    if not growth_bytes > 0:  # NaN as well
        raise ValueError(f"memory limit = {growth_bytes:g} bytes: it must be positive")
    present = private_bytes()
    if sys.platform != "linux" or math.isnan(present):
        raise ValueError("a memory limit can only be set on Linux")
    _limit_data(present + growth_bytes)


def _limit_data(most_bytes: float) -> int:
    """Set the limit of private memory (infinite: the hard limit); returns the one before."""
    import resource

    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard if math.isinf(most_bytes) else int(most_bytes), hard))
    return before


@contextmanager
def limit_lifted() -> Iterator[None]:
    """A block without the limit of `limit_growth`, for work that is not the model's."""
    with growth_limited(0.0, math.inf):
        yield


def private_bytes() -> float:
    """Private writable memory that this process has mapped, what RLIMIT_DATA counts; NaN where there is no /proc."""
    return resident_bytes("VmData")


@contextmanager
def growth_limited(start_bytes: float, growth_bytes: float, device: torch.device | str = "cpu") -> Iterator[None]:
    """A block in which this process may have at most `growth_bytes` more private memory than `start_bytes`.

    Linux and CPU only; elsewhere nothing is limited: on CUDA the allocator's peak shows what a block took.
    """
    if torch.device(device).type != "cpu" or sys.platform != "linux" or math.isnan(start_bytes):
        yield
        return
    before = _limit_data(start_bytes + growth_bytes)
    try:
        yield
    finally:
        _limit_data(before)


def requested_bytes(problem: BaseException) -> float:
    """Size of the allocation that failed, from the exception's message; NaN where it has none."""
    found = REQUEST.search(str(problem))
    return float(found["size"]) * UNIT_BYTES[found["unit"].lower()] if found else math.nan


def held_bytes(device: torch.device | str = "cpu") -> float:
    """Memory that this process holds now, as its limit counts it: private on a CPU, allocated on CUDA; else NaN."""
    kind = torch.device(device)
    if kind.type == "cuda":
        return float(torch.cuda.memory_allocated(kind))
    return private_bytes() if kind.type == "cpu" else math.nan


def largest_that_fits(fits: Callable[[int], bool], *, step: int = 1, limit: int = 1 << 20) -> int:
    """The largest multiple of `step`, at most `limit`, for which `fits(size)` is true; 0 when `step` does not fit.

    Doubles until something does not fit, then halves the gap: about 2 log2(answer / step) trials. `fits` must be true
    up to some size and false beyond, such as "this batch runs within the budget".
    """
    if step < 1 or limit < step:
        raise ValueError(f"step = {step}, limit = {limit}: a positive step and a limit of at least one step")
    good, bad, most = 0, 1, limit // step
    while bad <= most and fits(bad * step):
        good, bad = bad, 2 * bad
    bad = min(bad, most + 1)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle * step) else (good, middle)
    return good * step
