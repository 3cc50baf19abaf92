"""A study's results as one zip file: all but checkpoints and logs, each file with its checksum.

`manifest.json` comes first and names every file with its size and SHA-256. Import checks everything: it reads no more
than the manifest allows, writes into a new folder inside the results folder, and renames that at the end.
"""

from __future__ import annotations

import errno
import hashlib
import json
import lzma
import re
import shutil
import struct
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from bench import versions
from bench.errors import UserError, quoted
from bench.files import file_sha256, read_json, to_json
from bench.store.cells import FINISHED, Status, Store
from bench.store.crate import CRATE, crate
from bench.store.table import load_results
from bench.store.vectors import VECTORS, parquet_bytes

MANIFEST = "manifest.json"
BUNDLE_FORMAT = 1
STUDY_FILES = ("study.json", "table.csv", "table.parquet", "table.index.json", "report.md", "report.html")
CELL_FILES = (
    "cell.json", "environment.json", "measurements.jsonl", "status.json", "history.jsonl", "data.json", VECTORS,
)  # fmt: skip
FOLDERS = ("figures", "tables")  # of the study
MOST_BYTES = 8 << 30
MOST_FILES = 2_000_000
MANIFEST_BYTES = 512 << 20
NAME = re.compile(r"[^\W_][\w.+=@-]{0,199}")
DAMAGED = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, RuntimeError,
    ValueError, LookupError, OverflowError, OSError,
)  # fmt: skip
DAMAGED_ERRNO = (None, errno.EINVAL, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)


@dataclass(frozen=True)
class Bundle:
    """Size of a bundle, the study's folder, and the files that were left out since no bundle may hold their names."""

    folder: Path
    cells: int
    files: int
    bytes: int
    left_out: tuple[str, ...] = ()


def export_bundle(folder: Path, output: Path, *, described: bool = False, licence: str = "") -> Bundle:
    """Write the study in `folder` to a zip file at `output`, finished cells only; `described`: with the metadata of an
    RO-Crate, `licence` being the SPDX identifier of the results' licence. Raises UserError, OSError."""
    if output.is_dir() or not output.name:
        raise UserError(f"{output}: a folder; allowed: the name of a zip file")
    store = Store(folder.parent, folder.name)
    plan = store.plan()
    statuses = {cell["id"]: store.cell(cell["id"]).status() for cell in plan["cells"]}
    done = {cell_id: status for cell_id, status in statuses.items() if status.state in FINISHED}
    frame = load_results(folder).frame
    contents = {"table.csv": frame.to_csv(index=False).encode(), "table.parquet": parquet_bytes(frame)}
    paths = [folder / name for name in STUDY_FILES if name not in contents]
    paths += [path for name in FOLDERS for path in sorted((folder / name).rglob("*"))]
    for cell_id in done:
        cell = store.cell(cell_id)
        paths += [cell.path / name for name in CELL_FILES] + sorted(cell.samples.glob("*"))
    files = [path for path in paths if path.is_file() and not path.is_symlink()]
    named = {path.relative_to(folder).as_posix(): path for path in files}
    left_out = sorted(name for name in named if not is_safe(name))
    entries: dict[str, Any] = {}
    manifest = {"bundle": BUNDLE_FORMAT, "format": versions.FORMAT, "study": plan["study"]["name"]}
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{output.name}.partial")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in (one for one in named if one not in left_out):
                content = named[name].read_bytes()
                entries[name] = _entry(content)
                info = zipfile.ZipInfo.from_file(named[name], name, strict_timestamps=False)
                archive.writestr(info, content, zipfile.ZIP_DEFLATED)
            entries |= {name: _entry(content) for name, content in contents.items()}
            if described:
                contents[CRATE] = _crate(store, plan["study"], done, entries, licence)
                entries[CRATE] = _entry(contents[CRATE])
            for name, content in contents.items():
                archive.writestr(name, content)
            archive.writestr(MANIFEST, to_json(manifest | {"files": entries}, indent=1))
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)
    return Bundle(folder, len(done), len(entries), output.stat().st_size, tuple(left_out))


def _entry(content: bytes) -> dict[str, Any]:
    """What the manifest says of a file."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _crate(
    store: Store, study: dict[str, Any], done: Mapping[str, Status], files: dict[str, Any], licence: str
) -> bytes:
    """The RO-Crate metadata of a study whose cells `done` are exported as `files`."""
    ended = [status.ended for status in done.values() if status.ended]
    date = datetime.fromtimestamp(max(ended, default=time.time()), UTC).date().isoformat()
    environments = [store.cell(one).environment() for one in done]
    devices = dict.fromkeys(str(one["device"]) for one in environments if one.get("device"))
    environment = {**(environments[0] if done else {}), "device": "; ".join(devices)}
    return to_json(crate(study, files, date, environment, licence), indent=1).encode()


def import_bundle(bundle: Path, results: Path, name: str | None = None) -> Bundle:
    """Add the study in `bundle` to `results`, under `name` where one is given.

    Raises UserError for a path that leaves the folder, a wrong size or checksum, a file that is not
    announced, another format, a name that is taken; then nothing is left behind.
    """
    try:
        archive = zipfile.ZipFile(bundle)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        problem = getattr(error, "strerror", None) or "not a zip file, or a damaged one"
        raise UserError(f"{bundle}: {problem}") from error
    with archive:
        try:
            manifest = _manifest(archive, bundle)
            study = name or manifest["study"]
            if not NAME.fullmatch(study):
                raise UserError(f"{bundle}: {quoted(study)} cannot be a study's name; give one with --as")
            target = results / study
            _make_room(target)
            return _unpack(archive, manifest["files"], bundle, target)
        except DAMAGED as error:
            if isinstance(error, OSError) and error.errno not in DAMAGED_ERRNO:
                raise  # a full disk, a folder that cannot be written
            raise UserError(f"{bundle}: damaged: {str(error).splitlines()[0] if str(error) else 'cut off'}") from error


def _manifest(archive: zipfile.ZipFile, bundle: Path) -> dict[str, Any]:
    names = [entry.filename for entry in archive.infolist()]
    if MANIFEST not in names:
        raise UserError(f"{bundle}: holds no {MANIFEST}, so `smdim-bench export` did not write it")
    with archive.open(MANIFEST) as stream:
        text = stream.read(MANIFEST_BYTES + 1)
    try:
        manifest = json.loads(text) if len(text) <= MANIFEST_BYTES else None
    except (ValueError, RecursionError):
        manifest = None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise UserError(f"{bundle}: {MANIFEST} cannot be read")
    if manifest.get("bundle") != BUNDLE_FORMAT or manifest.get("format") != versions.FORMAT:
        found = f"bundle {manifest.get('bundle')}, results {manifest.get('format')}"
        raise UserError(f"{bundle}: format {found}; this version reads {BUNDLE_FORMAT} and {versions.FORMAT}")
    if not isinstance(manifest.get("study"), str):
        raise UserError(f"{bundle}: {MANIFEST} names no study")
    _check_entries(names, manifest["files"], bundle)
    return manifest


def _check_entries(names: list[str], files: dict[str, Any], bundle: Path) -> None:
    total = 0
    for name, entry in files.items():
        if not is_safe(name):
            raise UserError(f"{bundle}: {quoted(name)} is no path a bundle may hold")
        try:
            size, checksum = entry["bytes"], entry["sha256"]
        except (KeyError, TypeError):
            size, checksum = None, None
        if not isinstance(size, int) or isinstance(size, bool) or size < 0 or not isinstance(checksum, str):
            raise UserError(f"{bundle}: {MANIFEST} gives no size and checksum for {quoted(name)}")
        total += size
    if len(files) > MOST_FILES or total > MOST_BYTES:
        raise UserError(
            f"{bundle}: unpacks to {len(files):,} files, {total / 2**30:,.1f} GiB; at most {MOST_BYTES >> 30} GiB"
        )
    lower = {name.lower() for name in files}
    if len(lower) < len(files):
        raise UserError(f"{bundle}: names a file twice")
    if sorted(names) != sorted([MANIFEST, *files]):
        different = sorted(set(names) ^ {MANIFEST, *files})
        shown = ", ".join(map(repr, different[:3])) or "one twice"
        raise UserError(f"{bundle}: holds other files than its {MANIFEST} names: {shown}")
    if "study.json" not in files:
        raise UserError(f"{bundle}: holds no study.json")


def is_safe(name: str) -> bool:
    """Whether a bundle may hold this path: a file of a study or a cell, a sample, a figure, inside its folder."""
    parts = PurePosixPath(name).parts
    if not parts or "/".join(parts) != name or not all(NAME.fullmatch(part) for part in parts):
        return False
    if len(parts) == 1:
        return name in STUDY_FILES or name == CRATE
    if parts[0] in FOLDERS:
        return len(parts) <= 4
    return (len(parts) == 2 and parts[1] in CELL_FILES) or (len(parts) == 3 and parts[1] == "samples")


def _taken(target: Path) -> UserError:
    return UserError(f"{target} is there already; give another name with --as")


def _make_room(target: Path) -> None:
    """Make the folder of results. Raises UserError where the study is there, or a file in its way."""
    if target.exists():
        raise _taken(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{target.parent}: a file is in its way; allowed: a folder of results") from None


def _unpack(archive: zipfile.ZipFile, files: dict[str, Any], bundle: Path, target: Path) -> Bundle:
    fresh = Path(tempfile.mkdtemp(prefix=".import-", dir=target.parent))
    try:
        for name, entry in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _extract(archive, name, entry, path, bundle)
        plan = read_json(fresh / "study.json") or {}
        if isinstance(plan.get("study"), dict):
            plan["study"]["name"] = target.name
        (fresh / "study.json").write_text(to_json(plan, indent=2), encoding="utf-8")
        count = _check_cells(Store(fresh.parent, fresh.name), files, bundle)
        for path in (*fresh.glob("table.*"), *fresh.glob(CRATE)):
            path.unlink()  # rebuilt from the cells; the crate names what no longer is as it was
        fresh.chmod(0o755)
        try:
            fresh.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise _taken(target) from None
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return Bundle(target, count, len(files), bundle.stat().st_size)


def _check_cells(store: Store, files: Iterable[str], bundle: Path) -> int:
    """Number of cells that the bundle holds. Raises UserError unless each is of the study and finished."""
    held = sorted({name.partition("/")[0] for name in files if "/" in name}.difference(FOLDERS))
    if unknown := set(held).difference(cell["id"] for cell in store.plan()["cells"]):
        raise UserError(f"{bundle}: holds {quoted(min(unknown))}, which is no cell of its study.json")
    states = [store.cell(one).status().state for one in held]
    if "damaged" in states:
        raise UserError(f"{bundle}: {states.count('damaged')} cells do not match their own checksums")
    for one, state in zip(held, states, strict=True):
        if state not in FINISHED:
            raise UserError(f"{bundle}: cell {one} is not finished")
    return len(held)


def _extract(archive: zipfile.ZipFile, name: str, entry: dict[str, Any], path: Path, bundle: Path) -> None:
    if archive.getinfo(name).file_size > entry["bytes"]:  # no more than this is ever read from the archive
        raise UserError(f"{bundle}: {name} is larger than its {MANIFEST} says")
    with archive.open(name) as source, path.open("wb") as stream:
        shutil.copyfileobj(source, stream)
    if path.stat().st_size != entry["bytes"] or file_sha256(path) != entry["sha256"]:
        raise UserError(f"{bundle}: {name} does not match its checksum")
