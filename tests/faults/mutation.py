"""Damaged input by the thousand: whatever is read, the answer is a result or one line, never a traceback or a hang."""

from __future__ import annotations

import io
import json
import random
import signal
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from bench.data.packaged_corpora import DEMO_FOLDER, list_demo
from bench.data.reading import UnreadableError, note_arrays, piece_bytes, read_piece
from bench.errors import UserError
from bench.run.estimate import Estimator
from bench.run.overview import overview
from bench.store.bundle import export_bundle, import_bundle
from bench.store.cells import Store
from bench.store.reuse import OtherStudies
from bench.store.table import load_results
from bench.study.grid import STUDIES_FOLDER, Cell, load_study

LONGEST_S = 20
PIECES_OF_TEXT = (
    b"null", b"[]", b"{}", b"-1", b"1e999", b"nan", b".nan", b"0", b"true", b'""', b"&a", b"*a", b"!!python/object:x",
    b"../../x", b"\xff\xfe", b"\0", b"99999999999999999999", b"\n", b"- ", b": ",
    b"<<", b"include: x.yaml\n", b"2026-11-22",
)  # fmt: skip
Reader = Callable[[random.Random, Path], bool]


def mutated(data: bytes, draw: random.Random) -> bytes:
    """`data` with one to eight bytes or spans changed, dropped, doubled, moved or replaced."""
    value = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 8))):
        at = draw.randrange(len(value) + 1)
        end = min(len(value), at + draw.choice((1, 1, 2, 4, 16, 256)))
        kind = draw.randrange(7)
        if kind == 0 and at < len(value):
            value[at] = draw.randrange(256)
        elif kind == 1 and at < len(value):
            value[at] ^= 1 << draw.randrange(8)
        elif kind == 2:
            del value[at:end]
        elif kind == 3:
            value[at:at] = value[at:end]
        elif kind == 4:
            value[at:end] = draw.choice(PIECES_OF_TEXT)
        elif kind == 5:
            del value[at:]
        else:
            value[at:at] = draw.choice(PIECES_OF_TEXT)
    return bytes(value)


def fuzz(reader: Reader, inputs: int, seed: int, folder: Path) -> Counter[str]:
    """Feed a reader; how many inputs were taken and how many refused with one line. Anything else is raised."""

    def too_long(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"{reader.__name__} did not answer within {LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, too_long)
    found: Counter[str] = Counter()
    try:
        for number in range(inputs):
            signal.alarm(LONGEST_S)
            try:
                taken = reader(random.Random(f"{seed} {number}"), folder)
            except (UserError, UnreadableError) as refusal:
                assert "\n" not in str(refusal), f"input {number}: more than one line: {refusal}"
                taken = False
            except Exception as error:
                raise AssertionError(f"{reader.__name__}, input {number} of seed {seed}: {error!r}") from error
            found["taken" if taken else "refused"] += 1
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return found


def fuzz_apart(reader: Reader, inputs: int, seed: int, folder: Path) -> Counter[str]:
    """`fuzz` in a folder of its own, for several processes at once."""
    own = folder / str(seed)
    own.mkdir()
    return fuzz(reader, inputs, seed, own)


def read_study(draw: random.Random, folder: Path) -> bool:
    """A shipped study, damaged; sometimes with a damaged override."""
    text = draw.choice(sorted(STUDIES_FOLDER.glob("*.yaml"))).read_bytes()
    path = folder / "study.yaml"
    path.write_bytes(mutated(text, draw))
    words = [mutated(b"train.steps=500", draw).decode(errors="replace")] if draw.random() < 0.2 else []
    load_study(path, words)
    return True


def read_store(draw: random.Random, folder: Path) -> bool:
    """Results of three cells with one damaged file, read by everything that reads results."""
    store = make_results(folder)
    path = draw.choice(sorted(path for path in store.folder.rglob("*") if path.is_file()))
    whole = path.read_bytes()
    path.write_bytes(mutated(whole, draw))
    try:
        found = overview(store)
        found.left_s()
        load_results(store.folder)
        OtherStudies(Store(folder, "other")).find(CELLS[0])
        Estimator(folder).estimate(CELLS[0])
        store.cell(CELLS[0].id).attempts()
    finally:
        path.write_bytes(whole)
    return all(cell.state == "done" for cell in found.cells)


def read_bundle(draw: random.Random, folder: Path) -> bool:
    """An exported study, damaged as a file or, packed anew, inside; nothing may appear outside the results folder."""
    store = make_results(folder / "origin")
    bundle, inside = folder / "bundle.zip", folder / "inside"
    if not bundle.exists():
        export_bundle(store.folder, bundle)
    data = bundle.read_bytes()
    changed = folder / "changed.zip"
    changed.write_bytes(mutated(data, draw) if draw.random() < 0.4 else _packed_anew(data, draw))
    before = sorted(path.name for path in folder.iterdir())
    try:
        imported = import_bundle(changed, inside / "results")
        for path in (inside / "results").rglob("*"):
            assert path.resolve().is_relative_to(imported.folder.resolve().parent)
        load_results(imported.folder)
        return True
    finally:
        left = sorted(path.name for path in folder.iterdir())
        assert set(left) <= {*before, "inside"}, left
        assert not inside.exists() or [path.name for path in inside.iterdir()] == ["results"]
        _remove(inside)


def _packed_anew(data: bytes, draw: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    victim = draw.choice(sorted(content))
    if draw.random() < 0.3:
        content[mutated(victim.encode(), draw).decode(errors="replace").replace("\0", "")] = content.pop(victim)
    else:
        content[victim] = mutated(content[victim], draw)
    if draw.random() < 0.5:  # an attacker who knows the format: sizes and checksums are right
        content["manifest.json"] = _manifest_for(content)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, one in content.items():
            archive.writestr(name or "x", one)
    return packed.getvalue()


def _manifest_for(content: dict[str, bytes]) -> bytes:
    import hashlib

    files = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in content.items()
        if name != "manifest.json"
    }
    return json.dumps({"bundle": 1, "format": 1, "study": "toy", "files": files}).encode()


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def read_midi(draw: random.Random, folder: Path) -> bool:
    """A demo piece, damaged."""
    pieces = list_demo(DEMO_FOLDER).sources
    path = folder / "piece.mid"
    piece = draw.choice(pieces)
    path.write_bytes(mutated(piece_bytes(piece.path, piece.member), draw))
    note_arrays(read_piece(path))
    return True


CELLS = [
    Cell(
        "quality",
        {"arm": "a", "seed": seed, "length": 8, "corpus": "demo", "parameters": 10, "version": "f1"},
        {"kind": "quality", "seed": seed, "length": 8, "train": {"steps": 3, "batch": 2}},
    )
    for seed in range(3)
]


def make_results(results: Path) -> Store:
    """A study `toy` of three finished cells; made once a folder."""
    store = Store(results, "toy")
    if (store.folder / "table.parquet").exists():
        return store
    store.write_plan({"name": "toy", "question": "?"}, CELLS, [])
    for cell in CELLS:
        folder = store.cell(cell.id)
        folder.begin(cell)
        folder.mark_running({"device": "cpu"})
        folder.finish("done", [{"metric": "training_time", "value": 1.0, "unit": "s", "raw": [1.0]}], started=1.0)
    load_results(store.folder).save()
    return store
