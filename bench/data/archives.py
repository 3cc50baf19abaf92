"""Unpack zip and tar archives of unknown origin: nothing leaves the folder, no links, no bombs."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast

from bench.data.cache import writing_to
from bench.errors import UserError, quoted

MAX_FILES = 100_000
MAX_FILE_BYTES = 256 << 20
MAX_TOTAL_BYTES = 2 << 30
MAX_LISTED_BYTES = 16 << 30
"""Of everything listed in a tar, wanted or not: it has to be read through to the end."""
COPY_BYTES = 1 << 20
DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, ValueError,
    IndexError,
)  # fmt: skip
"""What the libraries raise for archives that are damaged."""

Wanted = Callable[[PurePosixPath], bool]
Member = tuple[str, Callable[[], IO[bytes] | None]]
"""Name and opener of a regular file in an archive."""


class ArchiveError(UserError):
    """An archive is damaged, of an unknown kind, or holds what a data set never needs."""


def unpack(archive: Path, folder: Path, wanted: Wanted = lambda path: True) -> list[Path]:
    """Write the wanted regular files of a zip or (compressed) tar under `folder`; returns them in archive order.

    Refuses, with ArchiveError: names that are absolute or climb out with "..", links and devices, more than 100,000
    files, a file above 256 MiB or 2 GiB in all (counted while writing, whatever the archive claims), encrypted or
    damaged archives. What was written before stays in `folder`, so give a temporary one.
    """
    written: list[Path] = []
    total = 0
    try:
        for count, (name, opener) in enumerate(_members(archive), start=1):
            if count > MAX_FILES:
                raise ArchiveError(f"{archive.name} holds more than {MAX_FILES} files")
            path = safe_name(name, archive.name)
            if not wanted(path):
                continue
            target = folder / path
            with writing_to(folder):
                target.parent.mkdir(parents=True, exist_ok=True)
            with writing_to(target.parent):
                sink = target.open("wb")
            with sink, cast(IO[bytes], opener()) as source:
                total = _copy(
                    source, sink, total, f"{archive.name} unpacks to more than is allowed (at {quoted(name)})"
                )
            written.append(target)
    except DAMAGED as error:
        raise ArchiveError(f"{archive.name} is damaged ({str(error) or type(error).__name__})") from None
    except RuntimeError as error:
        raise ArchiveError(f"{archive.name} cannot be unpacked ({error})") from None
    except OSError as error:
        raise ArchiveError(f"{archive.name} cannot be read ({error.strerror or error})") from None
    return written


def safe_name(name: str, archive: str) -> PurePosixPath:
    """The member's path below the target folder; ArchiveError when it points anywhere else."""
    path = PurePosixPath(name)
    odd = "\\" in name or "\0" in name or (len(name) > 1 and name[1] == ":")
    if path.is_absolute() or ".." in path.parts or odd or not path.parts:
        raise ArchiveError(f"{archive} holds the unsafe path {quoted(name)}")
    return path


def _copy(source: IO[bytes], sink: IO[bytes], total: int, refusal: str) -> int:
    """Copy one file; the bytes unpacked by then, `total` of them before it."""
    size = 0
    while chunk := source.read(COPY_BYTES):
        size += len(chunk)
        if size > MAX_FILE_BYTES or total + size > MAX_TOTAL_BYTES:
            raise ArchiveError(refusal)
        with writing_to(Path(sink.name).parent):
            sink.write(chunk)
    return total + size


def _members(archive: Path) -> Iterator[Member]:
    if zipfile.is_zipfile(archive):
        yield from _zip_members(archive)
    elif _is_tar(archive):
        yield from _tar_members(archive)
    else:
        raise ArchiveError(f"{archive.name} is neither a zip nor a tar archive")


def _is_tar(archive: Path) -> bool:
    try:
        return tarfile.is_tarfile(archive)
    except (EOFError, zlib.error, lzma.LZMAError):
        return False


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as bundle:
        for info in bundle.infolist():
            kind = (info.external_attr >> 16) & 0o170000
            if kind not in (0, 0o100000, 0o040000):
                raise ArchiveError(f"{archive.name} holds a link or device: {quoted(info.filename)}")
            if not info.is_dir():
                yield info.filename, partial(bundle.open, info)


def _tar_members(archive: Path) -> Iterator[Member]:
    listed = 0
    with tarfile.open(archive) as bundle:
        for info in bundle:
            listed += info.size
            if listed > MAX_LISTED_BYTES:
                raise ArchiveError(f"{archive.name} unpacks to more than is allowed (at {quoted(info.name)})")
            if info.isdir():
                continue
            if not info.isfile():
                raise ArchiveError(f"{archive.name} holds a link or device: {quoted(info.name)}")
            yield info.name, partial(bundle.extractfile, info)
