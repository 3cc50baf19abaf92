"""Bundles: what one brings, and those that are not what they say."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest

from bench.errors import UserError
from bench.store import bundle as bundle_module
from bench.store.bundle import export_bundle, import_bundle, is_safe
from bench.store.cells import Store
from bench.study.grid import Cell

CELLS = [Cell("quality", {"arm": arm}, {"kind": "quality", "arm": arm}) for arm in ("a", "b", "c", "d")]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two cells that are done, the first with a checkpoint, one that failed and one still to run."""
    store = Store(tmp_path / "results", "toy")
    store.write_plan({"name": "toy", "question": "?", "measure": {"quality": {}}}, CELLS, [])
    for one, state in zip(CELLS, ("done", "done", "oom"), strict=False):
        folder = store.cell(one.id)
        folder.begin(one)
        folder.finish(state, [{"metric": "bits_per_token", "value": 4.0, "unit": "bits/token"}])
    (store.cell(CELLS[0].id).path / "checkpoint").mkdir()
    (store.cell(CELLS[0].id).path / "checkpoint" / "weights").write_text("large")
    return store


def test_a_bundle_brings_everything_but_checkpoints(store: Store, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.zip"
    assert export_bundle(store.folder, bundle).cells == 3
    assert not [name for name in zipfile.ZipFile(bundle).namelist() if "checkpoint" in name or "log" in name]
    imported = import_bundle(bundle, tmp_path / "elsewhere", "copy")
    assert imported.cells == 3
    there = Store(tmp_path / "elsewhere", "copy")
    for one in CELLS[:3]:
        assert there.cell(one.id).status() == store.cell(one.id).status()
        assert there.cell(one.id).rows() == store.cell(one.id).rows()
    assert there.plan()["study"]["name"] == "copy"
    with pytest.raises(UserError, match="is there already"):
        import_bundle(bundle, tmp_path / "elsewhere", "copy")


def test_a_report_that_is_written_while_it_is_bundled_is_bundled_once(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, read = store.folder / "report.md", Path.read_bytes
    report.write_text("as it was")
    os.utime(report, (0, 0))  # before 1980, where the dates of zip files begin

    def read_bytes(path: Path) -> bytes:
        content = read(path)
        report.write_text("a run wrote it again, longer")
        return content

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    export_bundle(store.folder, tmp_path / "bundle.zip")
    monkeypatch.undo()
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        assert archive.read("report.md") in (b"as it was", b"a run wrote it again, longer")
    assert import_bundle(tmp_path / "bundle.zip", tmp_path / "elsewhere", "copy").cells == 3


def rewritten(bundle: Path, change) -> Path:  # type: ignore[no-untyped-def]
    with zipfile.ZipFile(bundle) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(content["manifest.json"])
    change(content, manifest)
    content["manifest.json"] = json.dumps(manifest).encode()
    changed = bundle.with_name("changed.zip")
    with zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return changed


def escape(content: dict[str, bytes], manifest: dict[str, dict[str, object]]) -> None:
    content["../evil.txt"] = b"x"
    manifest["files"]["../evil.txt"] = {
        "bytes": 1,
        "sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
    }


def edit(content: dict[str, bytes], manifest: dict[str, object]) -> None:
    name = next(name for name in content if name.endswith("measurements.jsonl"))
    content[name] = content[name].replace(b"4.0", b"3.0")


def bomb(content: dict[str, bytes], manifest: dict[str, object]) -> None:
    content["table.csv"] = b"\0" * 50_000_000
    manifest["files"]["table.csv"] = {"bytes": 10, "sha256": "0" * 64}  # type: ignore[index]


def huge(content: dict[str, bytes], manifest: dict[str, object]) -> None:
    content["table.csv"] = b""
    manifest["files"]["table.csv"] = {"bytes": 10**15, "sha256": "0" * 64}  # type: ignore[index]


def stowaway(content: dict[str, bytes], manifest: dict[str, object]) -> None:
    content["report.md"] = b"x"


def another_format(content: dict[str, bytes], manifest: dict[str, object]) -> None:
    manifest["format"] = 99


def announce(content: dict[str, bytes], manifest: dict[str, object], name: str, data: bytes) -> None:
    content[name] = data
    manifest["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}  # type: ignore[index]


def unplanned(content: dict[str, bytes], manifest: dict[str, object]) -> None:
    name = next(name for name in content if name.endswith("status.json"))
    announce(content, manifest, "quality-other-0123/status.json", content[name])


def unfinished(content: dict[str, bytes], manifest: dict[str, object]) -> None:
    name = next(name for name in content if name.endswith("status.json"))
    announce(content, manifest, name, b'{"state": "running"}')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (unplanned, "holds 'quality-other-0123', which is no cell of its study.json"),
        (unfinished, r"cell quality-\S+ is not finished"),
        (escape, r"'\.\./evil\.txt' is no path"),
        (edit, "does not match its checksum"),
        (bomb, "larger than its manifest"),
        (huge, "at most 8 GiB"),
        (stowaway, "holds other files"),
        (another_format, "format bundle 1, results 99"),
    ],
)
def test_a_bundle_that_is_not_what_it_says_leaves_nothing_behind(store: Store, tmp_path: Path, change, message) -> None:  # type: ignore[no-untyped-def]
    bundle = tmp_path / "bundle.zip"
    export_bundle(store.folder, bundle)
    with pytest.raises(UserError, match=message):
        import_bundle(rewritten(bundle, change), tmp_path / "elsewhere")
    assert not list((tmp_path / "elsewhere").glob("*"))
    assert not (tmp_path / "evil.txt").exists()


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "..", "a/../b/cell.json", "a\\b", "C:/x", "cell.json", "a/b/c/d", "a//cell.json",
     "", "./study.json", "x/checkpoint/weights", "a/samples/../cell.json", "figures/../../x", ".hidden/cell.json"],
)  # fmt: skip
def test_paths_that_a_bundle_may_not_hold(name: str) -> None:
    assert not is_safe(name)


def test_what_is_no_bundle_is_one_line(tmp_path: Path) -> None:
    text = tmp_path / "x.zip"
    text.write_text("not a zip")
    with pytest.raises(UserError, match="not a zip file"):
        import_bundle(text, tmp_path)
    with pytest.raises(UserError, match="No such file"):
        import_bundle(tmp_path / "missing.zip", tmp_path)
    with zipfile.ZipFile(text, "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(UserError, match=r"holds no manifest\.json"):
        import_bundle(text, tmp_path)


def test_files_that_no_bundle_may_hold_are_left_out_and_named(store: Store, tmp_path: Path) -> None:
    (store.folder / "figures").mkdir()
    for name in (".DS_Store", "my figure.png", "bits.png"):
        (store.folder / "figures" / name).write_bytes(b"1")
    exported = export_bundle(store.folder, tmp_path / "bundle.zip")
    assert exported.left_out == ("figures/.DS_Store", "figures/my figure.png")
    imported = import_bundle(tmp_path / "bundle.zip", tmp_path / "elsewhere")
    assert [path.name for path in (imported.folder / "figures").iterdir()] == ["bits.png"]


def test_the_table_of_a_bundle_holds_what_its_cells_hold(store: Store, tmp_path: Path) -> None:
    (store.folder / "table.csv").write_text("of an earlier day")
    export_bundle(store.folder, tmp_path / "bundle.zip")
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        assert archive.read("table.csv").decode().count("bits_per_token") == 3


@pytest.mark.parametrize("output", [".", "..", "results"])
def test_a_folder_is_no_place_for_a_bundle(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r": a folder; allowed: the name of a zip file"):
        export_bundle(store.folder, Path(output))


def test_what_stands_in_the_way_of_an_import_is_not_called_a_damaged_bundle(store: Store, tmp_path: Path) -> None:
    export_bundle(store.folder, tmp_path / "bundle.zip")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=r"/file: a file is in its way; allowed: a folder of results"):
        import_bundle(tmp_path / "bundle.zip", tmp_path / "file")


def test_of_two_imports_at_once_one_wins(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_bundle(store.folder, tmp_path / "bundle.zip")
    check = bundle_module._check_cells

    def other_first(*given: object) -> int:
        monkeypatch.setattr(bundle_module, "_check_cells", check)
        import_bundle(tmp_path / "bundle.zip", tmp_path / "elsewhere")
        return check(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(bundle_module, "_check_cells", other_first)
    with pytest.raises(UserError, match=r"elsewhere/toy is there already"):
        import_bundle(tmp_path / "bundle.zip", tmp_path / "elsewhere")
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["toy"]
