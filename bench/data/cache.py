"""Cached files that are checked before they are used: JSON and arrays with their own hash."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from bench.errors import UserError
from bench.files import canonical_hash, file_sha256, write_atomically

WHOLE_HASH = 64


class CacheError(UserError):
    """The cache cannot be written."""


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turn a failed write (no space, no permission) into one line for the user."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            words = "no space left"
        else:
            words = f"cannot write ({error.strerror or error})"
        raise CacheError(f"{words} in {folder}; free some, or name another folder in SMDIM_BENCH_CACHE") from error


def write_json(path: Path, content: Any) -> None:
    """Write JSON with its hash, whole or not at all."""
    record = {"check": canonical_hash(content, WHOLE_HASH), "content": content}
    with writing_to(path.parent):
        write_atomically(path, json.dumps(record))


def read_json(path: Path) -> Any | None:
    """What `write_json` wrote; None when absent, truncated or edited."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        content = record["content"]
        if record["check"] != canonical_hash(content, WHOLE_HASH):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content


def write_array(path: Path, array: np.ndarray) -> None:
    """Write `path` (.npy) and its hash beside it, each whole or not at all."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    data = buffer.getvalue()
    with writing_to(path.parent):
        write_atomically(path, data)
        write_atomically(_check_path(path), hashlib.sha256(data).hexdigest())


def read_array(path: Path) -> np.ndarray | None:
    """The array of `write_array`, memory-mapped and read-only; None when absent, truncated or edited."""
    try:
        if _check_path(path).read_text(encoding="utf-8") != file_sha256(path):
            return None
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None


def _check_path(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


@contextmanager
def publishing(folder: Path) -> Iterator[Path]:
    """A new folder to fill, which becomes `folder` in one step at the end, replacing what lies there.

    Nothing is left behind when the block raises. Safe with several processes: the last one to finish wins.
    """
    with writing_to(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield fresh
        with writing_to(folder.parent):
            fresh.chmod(0o755)
            _replace_folder(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _replace_folder(fresh: Path, folder: Path) -> None:
    """Give `fresh` the place of `folder`, which is removed only then, and put back where that fails."""
    replaced: list[Path] = []
    try:
        for _ in range(100):
            try:
                fresh.rename(folder)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            replaced.append(Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.old.")))
            with suppress(OSError):
                folder.rename(replaced[-1])
        raise OSError(errno.EBUSY, "another process keeps writing there")
    finally:
        for old in reversed(replaced):
            if not folder.exists():
                with suppress(OSError):
                    old.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
