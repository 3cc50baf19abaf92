"""Download one file over HTTP: resumed when it breaks off, limited in size, checked before it gets its name."""

from __future__ import annotations

import http.client
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.data.cache import read_json, write_json, writing_to
from bench.errors import UserError
from bench.files import file_sha256

CHUNK_BYTES = 1 << 18
MAX_DOWNLOAD_BYTES = 1 << 30
TIMEOUT_S = 60.0
PAUSE_S = 1.0
STALLED_TRIES = 4
"""Tries in a row that bring nothing new before giving up."""
MAX_TRIES = 50

BytesProgress = Callable[[int, int | None], None]
"""Called with the bytes that are here and, where known, those there will be."""


class FetchError(UserError):
    """A download failed, or brought something else than what was published."""


class _BrokeOff(Exception):
    """The connection ended early; trying again may help."""


@dataclass
class _Part:
    """The bytes so far, with the address and entity tag they came from, and what is known of the whole."""

    path: Path
    address: str
    size_bytes: int | None
    progress: BytesProgress | None

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def record(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def kept(self) -> dict[str, Any]:
        """The address and the entity tag that the bytes come from."""
        return read_json(self.record) or {}

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)


@contextmanager
def downloaded(
    address: str,
    target: Path,
    *,
    sha256: str | None = None,
    size_bytes: int | None = None,
    progress: BytesProgress | None = None,
) -> Iterator[None]:
    """Write what lies at an http(s) address to `target`, whole and checked, or raise FetchError with one line; until
    the block ends no other process fetches it.

    Bytes gather in `target`.part, from which this and later calls go on. `size_bytes` and `sha256` are the published
    ones; a file that differs is thrown away. No more than 1 GiB is taken.
    """
    if not address.startswith(("http://", "https://")):
        raise FetchError(f"{address}: only http and https addresses can be fetched")
    part = _Part(target.with_name(target.name + ".part"), address, size_bytes, progress)
    with writing_to(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target):
        if part.kept().get("address") != address:
            part.clear()
        _gather(part)
        found = file_sha256(part.path)
        if sha256 is not None and found != sha256:
            part.clear()
            raise FetchError(f"{address} is not the published file: its sha256 is {found}, published is {sha256}")
        with writing_to(target.parent):
            part.path.replace(target)
        part.clear()
        yield


def _gather(part: _Part) -> None:
    stalled = 0
    for _ in range(MAX_TRIES):
        before = part.size
        try:
            _try_once(part)
            return
        except (_BrokeOff, urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", None) or error
            stalled = 0 if part.size > before else stalled + 1
        if stalled >= STALLED_TRIES:
            break
        time.sleep(PAUSE_S * 2**stalled)
    raise FetchError(
        f"{part.address} broke off after {part.size} bytes ({reason}); the same command goes on from there"
    )


def _try_once(part: _Part) -> None:
    have = part.size
    try:
        answer = urllib.request.urlopen(_request(part, have), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        _judge(error, part)
        return
    except ValueError as error:
        raise FetchError(f"{part.address} is no address: {error}") from None
    with answer:
        resumed = answer.status == 206 and _range_start(answer) == have
        if answer.status == 206 and not resumed:
            part.clear()
            raise _BrokeOff("the server gave another range than asked for")
        have = have if resumed else 0
        total = _total(answer, have)
        _check_size(part, total, have)
        write_json(part.record, {"address": part.address, "tag": answer.headers.get("ETag")})
        limit = part.size_bytes or MAX_DOWNLOAD_BYTES
        with writing_to(part.path.parent), part.path.open("ab" if resumed else "wb") as sink:
            for chunk in _chunks(answer):
                have += len(chunk)
                if have > limit:
                    break
                sink.write(chunk)
                if part.progress is not None:
                    part.progress(have, total)
        if have > limit:
            part.clear()
            raise FetchError(f"{part.address} sends more than the {limit} bytes that are allowed")
        if total is not None and have < total:
            raise _BrokeOff(f"{have} of {total} bytes")


def _chunks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """Chunks until the end; a network error becomes _BrokeOff, so that an OSError of the caller is one of the disk."""
    while True:
        try:
            chunk = answer.read(CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise _BrokeOff(str(error) or type(error).__name__) from error
        if not chunk:
            return
        yield chunk


def _request(part: _Part, have: int) -> urllib.request.Request:
    headers = {"User-Agent": "smdim-bench", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        tag = part.kept().get("tag")
        if tag and not tag.startswith("W/"):
            headers["If-Range"] = tag
    return urllib.request.Request(part.address, headers=headers)


def _judge(error: urllib.error.HTTPError, part: _Part) -> None:
    """Return when the refused range means that all bytes are here; otherwise try again or give up."""
    if error.code == 416:
        if error.headers.get("Content-Range", "").endswith(f"/{part.size}"):
            return
        part.clear()
        raise _BrokeOff("the server has no such range; starting anew")
    if error.code >= 500 or error.code in (408, 429):
        raise _BrokeOff(f"HTTP {error.code}")
    raise FetchError(f"{part.address} cannot be had: HTTP {error.code} {error.reason}")


def _range_start(answer: http.client.HTTPResponse) -> int:
    words = answer.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0]
    return int(words) if words.isdigit() else -1


def _total(answer: http.client.HTTPResponse, have: int) -> int | None:
    length = answer.headers.get("Content-Length", "")
    return have + int(length) if length.isdigit() else None


def _check_size(part: _Part, total: int | None, have: int) -> None:
    if total is None:
        return
    if part.size_bytes is not None and total != part.size_bytes:
        part.clear()
        raise FetchError(
            f"{part.address} is not the published file: it has {total} bytes, published are {part.size_bytes}"
        )
    if total > MAX_DOWNLOAD_BYTES:
        raise FetchError(f"{part.address} has {total} bytes, more than the {MAX_DOWNLOAD_BYTES} that are allowed")
    free = shutil.disk_usage(part.path.parent).free
    if total - have > free:
        raise FetchError(f"no space left in {part.path.parent}: {total - have} bytes are needed, {free} are free")


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold a lock so that two downloads do not write one file; without file locks the checksum has to do."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with writing_to(target.parent):
        lock = target.with_name(target.name + ".lock").open("wb")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FetchError(f"another process is fetching {target.name}; wait for it") from None
        yield
