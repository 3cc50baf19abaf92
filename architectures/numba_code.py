"""Functions that numba compiles on first use, kept on disk for later processes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor


def compiled(function: Callable[..., None], types: Any, *sources: ModuleType) -> Callable[..., None]:
    """`function` for arguments of `types`, from the disk cache (under NUMBA_CACHE_DIR, or ours) or compiled now.

    sources: the modules of all that is compiled with it; numba's cache by itself notices a change of one file only.
    """
    config: Any = numba.config
    users_folder = config.CACHE_DIR
    digest = hashlib.sha256(b"".join(Path(str(one.__file__)).read_bytes() for one in sources)).hexdigest()[:16]
    try:
        config.CACHE_DIR = str(Path(users_folder or _cache_folder()) / f"numba_{digest}")
        return numba.njit(types, cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # no home folder, or numba found none that it may write its cache to
        return numba.njit(types, nogil=True, error_model="numpy")(function)
    finally:
        config.CACHE_DIR = users_folder


def array_of(tensor: Tensor) -> np.ndarray:
    """The memory of a tensor as compiled functions take it: of bfloat16, which numpy lacks, its bits as integers."""
    return tensor.view(torch.int16).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


def _cache_folder() -> Path:
    """Where compiled functions are kept: below SMDIM_BENCH_CACHE, or the user's folder of caches."""
    forced = os.environ.get("SMDIM_BENCH_CACHE")
    base = Path(forced) if forced else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smdim-bench"
    return base / "scan"
