"""Folders outside the results folder: corpora and caches."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Folder of caches (token arrays, fetched corpora): `$SMDIM_BENCH_CACHE`, else `~/.cache/smdim-bench`."""
    chosen = os.environ.get("SMDIM_BENCH_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "smdim-bench"
