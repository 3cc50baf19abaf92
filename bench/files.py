"""Atomic writes, JSON, and hashes and differences of settings."""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` to `path` so that a reader, or a run after a crash, sees the old file or the whole new one.

    Bytes of a file name that are no UTF-8 are written as their numbers, `\\udce9`.
    A device or a pipe (`-o /dev/null`) is written to, never replaced by a file.
    Raises OSError (no space, read-only folder) with the old file untouched and no temporary file left behind.
    """
    data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    if path.exists() and not path.is_file() and not path.is_dir():
        path.write_bytes(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical_hash(value: Any, length: int = 16) -> str:
    """First `length` hex digits of the SHA-256 of `value` as sorted JSON: equal settings, equal name."""
    return hashlib.sha256(_CANONICAL.encode(value).encode()).hexdigest()[:length]


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file, or None where the file is missing, cut or something else, numbers that are not finite
    among it."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_float=_finite_float, parse_constant=_finite_float)
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file with one a line, without lines that a crash cut short. Raises OSError."""
    found = []
    for text in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        with suppress(ValueError):
            line = json.loads(text)
            found += [line] if isinstance(line, dict) else []
    return found


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not finite")
    return number


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON text; NaN and infinities become null, so that any JSON reader can read it."""
    return json.dumps(finite(value), indent=indent, allow_nan=False, ensure_ascii=False)


def finite(value: Any) -> Any:
    """The value with None for NaN and infinities, inside of mappings and sequences too; sequences become lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings as `train.steps` -> value; lists stay whole."""
    if not isinstance(value, dict):
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= flat(item, f"{prefix}.{key}" if prefix else str(key))
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """(key, value here, value there) of all that differs between two nested mappings; None for what is not there."""
    left, right = flat(one), flat(other)
    keys = dict.fromkeys([*left, *right])
    return [(key, left.get(key), right.get(key)) for key in keys if left.get(key) != right.get(key)]
