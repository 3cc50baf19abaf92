"""The `c` kernel: selective_scan.c, built by the machine's compiler on first use and called through ctypes."""

import ctypes
from functools import cache

import numpy as np
from torch import Tensor

from architectures.scan import host
from architectures.scan.c_library import CompilerError, built_library
from architectures.scan.inputs import ScanGradients, ScanInputs


class _Rows(ctypes.Structure):
    """Mirrors `Rows` of selective_scan.c: a pointer and its strides, counted in floats."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("batch", ctypes.c_int64),
        ("channel", ctypes.c_int64),
        ("time", ctypes.c_int64),
    )


_COUNTS = ("batch", "channels", "length", "state", "group_blocks", "softplus")
_ROWS = ("u", "delta", "z", "y", "grad_y", "grad_u", "grad_delta", "grad_z", "B", "C", "grad_B", "grad_C")
_VECTORS = ("A", "skip", "bias", "grad_A", "grad_skip", "grad_bias")


class _Scan(ctypes.Structure):
    """Mirrors `Scan` of selective_scan.c."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in _COUNTS),
        *((name, _Rows) for name in _ROWS),
        *((name, ctypes.c_void_p) for name in _VECTORS),
    )


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(built_library()))
    for name in ("forward_scratch", "backward_scratch"):
        getattr(library, name).restype = ctypes.c_int64
        getattr(library, name).argtypes = [ctypes.c_void_p]
    for name in ("scan_forward", "scan_backward"):
        getattr(library, name).restype = None
        getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
    for name, expected in (("lane_count", host.LANES), ("chunk_steps", host.CHUNK_STEPS)):
        getattr(library, name).restype = ctypes.c_int64
        assert getattr(library, name)() == expected
    return library


@cache
def unusable_reason() -> str:
    """Builds the library if it is not in the cache; the compiler's complaint, or that there is none."""
    try:
        _library()
    except (CompilerError, OSError) as error:
        return str(error)
    return ""


def _rows(array: np.ndarray | None, order: tuple[int, int, int]) -> _Rows:
    if array is None:
        return _Rows(None, 0, 0, 0)
    batch, channel, time = (array.strides[axis] // array.itemsize for axis in order)
    return _Rows(array.ctypes.data, batch, channel, time)


def _described(scan: host.HostScan) -> _Scan:
    batch, channels, length = scan.u.shape
    described = _Scan(batch, channels, length, scan.A.shape[1], scan.group_blocks, scan.softplus)
    for name in _ROWS:
        by_time = name in ("B", "C")  # (batch, time, state): the place of the channel is not used
        setattr(described, name, _rows(getattr(scan, name), (0, 2, 1) if by_time else (0, 1, 2)))
    for name in _VECTORS:
        array = getattr(scan, name)
        setattr(described, name, None if array is None else array.ctypes.data)
    return described


def _bind(scan: host.HostScan, which: str) -> tuple[host.Task, int]:
    described, library = _described(scan), _library()
    run = getattr(library, f"scan_{which}")

    def task(scratch: np.ndarray, first: int, last: int) -> None:
        run(ctypes.byref(described), scratch.ctypes.data, first, last)

    return task, getattr(library, f"{which}_scratch")(ctypes.byref(described))


def forward(inputs: ScanInputs) -> Tensor:
    """y (B, D, L), computed in float32, in the type of u."""
    return host.forward(inputs, lambda scan: _bind(scan, "forward"))


def backward(inputs: ScanInputs, grad_BDL: Tensor) -> ScanGradients:
    """Gradients of all arguments, each in its argument's type."""
    return host.backward(inputs, grad_BDL, lambda scan: _bind(scan, "backward"))
