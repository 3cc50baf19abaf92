"""Bundles damaged as bytes, as archives, in their manifest and in what they hold, with checksums made right."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import warnings
import zipfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from mutation import GIVEN, RESULTS, WORDS, change_within, mutated

from bench.files import canonical_hash, to_json
from bench.store.bundle import MANIFEST, export_bundle, import_bundle
from bench.store.cells import SUMMED, Store
from bench.store.table import load_results
from bench.store.vectors import Vector, write_vectors
from bench.study.grid import Cell

CELLS = [
    Cell(
        "quality",
        {"arm": "a", "seed": seed, "length": 8, "corpus": "demo", "parameters": 10, "version": "f1"},
        {"kind": "quality", "seed": seed, "length": 8, "train": {"steps": 3, "batch": 2}},
    )
    for seed in range(3)
]
NAMES = (
    "../x", "../../x", "../../../x", "../kept.txt", "../../kept.txt", "/tmp/x", "{}/x", "{}/kept.txt", "..", ".", "",
    "/", "//x", "C:\\x", "..\\x",
    "a/../../x", "./study.json", "study.json/", "Study.json", "study.json ", "study.json", "figures//x",
    "figures/a/b/c/d/e", "figures/x.svg/y",
    "figures", "figures/", "tables/../../x", "{cell}/samples/../../../x", "{cell}/samples/new.mid", "{cell}/samples",
    "{cell}/log.txt",
    "{cell}/checkpoint/x", "{cell}", "other-a-123/cell.json", "figures/CON", "figures/.hidden",
    "figures/" + "a" * 300, "figures/x\0y", "figures/é",
    "figures/\u202ex", "figures/a\nb", "table.csv", "table.other", "manifest.json",
)  # fmt: skip
LINK = 0o120777 << 16


def make_results(results: Path, cells: int = len(CELLS)) -> Store:
    """A study `toy` of finished cells; made once a folder."""
    store = Store(results, "toy")
    if (store.folder / "table.parquet").exists():
        return store
    store.write_plan({"name": "toy", "question": "?"}, CELLS[:cells], [])
    for cell in CELLS[:cells]:
        folder = store.cell(cell.id)
        folder.begin(cell)
        folder.mark_running({"device": "cpu"})
        write_vectors(folder.path, [Vector("nats", "test", 0, "song", 8, 1.5, 7.0)])
        folder.finish("done", [{"metric": "training_time", "value": 1.0, "unit": "s", "raw": [1.0]}], started=1.0)
    folder.samples.mkdir()
    (folder.samples / "piece-000.mid").write_bytes(b"MThd")
    (store.folder / "figures").mkdir()
    (store.folder / "figures" / "cost.svg").write_text("<svg/>")
    load_results(store.folder).save()
    return store


@cache
def exported(folder: Path) -> dict[str, bytes]:
    """Content of a bundle of two cells."""
    origin = folder / "origin"
    export_bundle(make_results(origin, 2).folder, folder / "whole.zip")
    shutil.rmtree(origin)
    with zipfile.ZipFile(folder / "whole.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sha(data: bytes) -> str:
    """Checksum as manifests hold it."""
    return hashlib.sha256(data).hexdigest()


def manifest_for(content: dict[str, bytes], draw: random.Random) -> bytes:
    """A manifest of the content, right in most of its parts."""
    files = {name: {"bytes": len(data), "sha256": sha(data)} for name, data in content.items() if name != MANIFEST}
    manifest: object = json.loads(content[MANIFEST]) | {"files": files}
    if draw.random() < 0.15:
        manifest = change_within(manifest, draw)
    if isinstance(manifest, dict) and draw.random() < 0.1:
        manifest["study"] = draw.choice(WORDS)
    return json.dumps(manifest).encode()


def sum_again(content: dict[str, bytes]) -> None:
    """Make the checksums in each status.json right."""
    for name in [name for name in content if name.endswith("/status.json")]:
        try:
            status = json.loads(content[name])
            status.pop("check", None)
            for one in SUMMED:
                if (path := name.replace("status.json", one)) in content:
                    status[f"{Path(one).stem}_sha256"] = sha(content[path])
            content[name] = to_json(status | {"check": canonical_hash(status)}).encode()
        except (ValueError, AttributeError, TypeError):
            continue


def change_inside(content: dict[str, bytes], draw: random.Random, folder: Path) -> None:
    """One file of a bundle changed, named otherwise, left out or added."""
    victim = draw.choice(sorted(content))
    kind = draw.random()
    cell = next(name.partition("/")[0] for name in content if name.endswith("cell.json"))
    named = draw.choice(NAMES).replace("{cell}", cell).replace("{}", str(folder))
    if kind < 0.15 and victim != MANIFEST:
        content[named] = content.pop(victim)
    elif kind < 0.3:
        content[named] = draw.choice(sorted(content.values()))
    elif kind < 0.4 and victim != MANIFEST:
        del content[victim]
    elif victim.endswith((".json", ".jsonl")) and kind < 0.85:
        lines = content[victim].splitlines() if victim.endswith("l") else [content[victim]]
        at = draw.randrange(len(lines))
        try:
            lines[at] = json.dumps(change_within(json.loads(lines[at]), draw)).encode()
        except ValueError:
            return
        content[victim] = b"".join(line + b"\n" for line in lines)
    else:
        content[victim] = mutated(content[victim], draw)


def packed(content: dict[str, bytes], path: Path, draw: random.Random) -> None:
    """A zip file of the content; now and then with links, doubled members and other ways of compression."""
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data in content.items():
            info = zipfile.ZipInfo(name)
            info.filename = name  # as it is, also where no writer would
            info.compress_type = draw.choice(
                (zipfile.ZIP_DEFLATED,) * 20 + (zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
            )
            info.external_attr = LINK if draw.random() < 0.01 else 0o644 << 16
            info.create_system = draw.choice((0, 3))
            for _ in range(2 if draw.random() < 0.005 else 1):
                archive.writestr(info, data)
        if draw.random() < 0.03:
            archive.comment = b"PK\5\6" + bytes(18)


def read_bundle(draw: random.Random, folder: Path) -> bool:
    """A bundle whose import, exported and imported again, is the same study; nothing appears beside it."""
    results, changed = folder / RESULTS, folder / GIVEN / "changed.zip"
    content = dict(exported(folder / GIVEN))
    for _ in range(draw.choice((0, 1, 1, 2))):
        change_inside(content, draw, folder)
    if draw.random() < 0.7:
        sum_again(content)
    if MANIFEST in content and draw.random() < 0.8:
        with suppress(ValueError, TypeError, AttributeError):
            content[MANIFEST] = manifest_for(content, draw)
    packed(content, changed, draw)
    if draw.random() < 0.15:
        changed.write_bytes(mutated(changed.read_bytes(), draw))
    name = draw.choice(WORDS) if draw.random() < 0.05 else None
    try:
        try:
            imported = import_bundle(changed, results, name)
        except BaseException:
            assert not any(results.iterdir()), "left behind"
            raise
        assert imported.folder.parent == results, imported.folder
        assert [path.name for path in results.iterdir()] == [imported.folder.name]
        assert not any(path.is_symlink() for path in results.rglob("*"))
        table = load_results(imported.folder).frame
        export_bundle(imported.folder, folder / GIVEN / "again.zip")
        again = import_bundle(folder / GIVEN / "again.zip", results, "again")
        one, other = files_of(imported.folder), files_of(again.folder)
        different = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
        assert not different, f"exported and imported again it differs: {different}"
        assert load_results(again.folder).frame.assign(study="").equals(table.assign(study="")), "its table differs"
        return True
    finally:
        shutil.rmtree(results)
        results.mkdir()


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a study but the name that it has."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    plan = json.loads(found["study.json"])
    plan["study"]["name"] = ""
    return found | {"study.json": json.dumps(plan).encode()}
