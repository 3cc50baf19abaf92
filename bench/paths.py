"""Folders outside the results folder: corpora and caches."""

from __future__ import annotations

import os
from pathlib import Path

from bench.errors import UserError


def cache_folder() -> Path:
    """Folder of caches (token arrays, fetched corpora): `$SMDIM_BENCH_CACHE`, else `~/.cache/smdim-bench`.

    Raises UserError where neither is there: no HOME, and a user id without an entry.
    """
    chosen = os.environ.get("SMDIM_BENCH_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "smdim-bench"
    except RuntimeError as error:
        raise UserError("no home folder for caches; name a folder in SMDIM_BENCH_CACHE") from error
