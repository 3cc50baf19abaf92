"""What travels: the RO-Crate of a bundle, the folder that is committed, and how the software is cited."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from bench.citation import AUTHOR, LICENCE, TITLE, citation
from bench.errors import UserError
from bench.store.bundle import export_bundle, import_bundle
from bench.store.cells import MODEL, CellFolder, Store
from bench.store.crate import crate
from bench.store.light import copy_light
from bench.store.table import load_results
from bench.study.grid import Cell
from bench.versions import SOFTWARE

ROOT = Path(__file__).parents[3]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of one finished timing, one finished training and one cell that has not begun."""
    store = Store(tmp_path / "results", "toy")
    rows = {
        "efficiency": {"metric": "step_latency", "value": 2.0, "raw": [2.0], "round_sizes": [1]},
        "quality": {"metric": "bits_per_token", "value": 3.5},
    }
    cells = [Cell(kind, {"arm": "smdim"}, {"of": kind}) for kind in rows]
    for cell in cells:
        folder = store.cell(cell.id)
        folder.begin(cell)
        folder.mark_running({"device": "a CPU", "libraries": {"torch": "2.13"}})
        (folder.path / "history.jsonl").write_text('{"step": 1}\n')
        (folder.path / "checkpoint").mkdir()
        (folder.path / "checkpoint" / "weights.safetensors").write_bytes(b"w")
        folder.samples.mkdir()
        (folder.samples / "000.mid").write_bytes(b"MThd")
        folder.finish("done", [rows[cell.kind]])
    later = Cell("quality", {"arm": "mamba"}, {"of": "later"})
    store.write_plan({"name": "toy", "question": "Does  it\ntravel?"}, [*cells, later], [])
    load_results(store.folder).save()
    return store.folder


def entities(archive: Path) -> tuple[dict, dict[str, dict]]:
    with zipfile.ZipFile(archive) as opened:
        content = json.loads(opened.read("ro-crate-metadata.json"))
    return content, {entity["@id"]: entity for entity in content["@graph"]}


def test_a_crate_has_the_structure_of_ro_crate_1_1(study: Path, tmp_path: Path) -> None:
    export_bundle(study, tmp_path / "toy.zip", described=True, licence="CC-BY-4.0")
    content, found = entities(tmp_path / "toy.zip")
    assert content["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    descriptor, root = found["ro-crate-metadata.json"], found["./"]
    assert descriptor["@type"] == "CreativeWork" and descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert root["@type"] == "Dataset" and root["name"] == "Results of the study toy"
    assert root["description"] == "Does it travel?" and len(root["datePublished"]) == len("2026-01-31")
    assert root["license"] == {"@id": "https://spdx.org/licenses/CC-BY-4.0"}
    assert found["https://spdx.org/licenses/CC-BY-4.0"]["name"] == "CC-BY-4.0"
    linked = [value["@id"] for entity in found.values() for value in entity.values() if isinstance(value, dict)]
    assert {one for one in linked if not one.startswith("https://w3id.org")} <= set(found)
    assert len(found) == len(content["@graph"]) and all("@type" in entity for entity in found.values())


def test_every_file_of_the_bundle_is_described_with_its_checksum(study: Path, tmp_path: Path) -> None:
    exported = export_bundle(study, tmp_path / "toy.zip", described=True)
    _, found = entities(tmp_path / "toy.zip")
    files = {name: entity for name, entity in found.items() if entity["@type"] == "File"}
    with zipfile.ZipFile(tmp_path / "toy.zip") as opened:
        names = set(opened.namelist()) - {"manifest.json", "ro-crate-metadata.json"}
        assert set(files) == names == {part["@id"] for part in found["./"]["hasPart"]}
        for name, entity in files.items():
            data = opened.read(name)
            assert (entity["contentSize"], entity["sha256"]) == (str(len(data)), hashlib.sha256(data).hexdigest())
    assert exported.files == len(names) + 1
    assert {entity["encodingFormat"] for name, entity in files.items() if name.endswith(".mid")} == {"audio/midi"}
    assert found["./"]["license"] == {"@id": "#licence"} and found["#licence"]["name"] == "No licence stated"


def test_the_software_and_the_run_are_named(study: Path, tmp_path: Path) -> None:
    export_bundle(study, tmp_path / "toy.zip", described=True)
    _, found = entities(tmp_path / "toy.zip")
    software = found["#software"]
    assert software["version"] == SOFTWARE and software["softwareRequirements"] == ["torch 2.13"]
    assert found["./"]["citation"] == {"@id": "#software"} and software["creditText"] == citation()
    run = found["#run"]
    assert run["instrument"] == {"@id": "#software"} and run["result"] == {"@id": "./"}
    assert run["description"] == f"On a CPU; described by version {SOFTWARE}"


def test_names_are_addresses() -> None:
    found = crate({"name": "x"}, {"a b/é%.mid": {"bytes": 1, "sha256": "0"}}, "2026-01-31", {})
    assert found["@graph"][-1]["@id"] == "a%20b/%C3%A9%25.mid"


def test_a_crate_is_imported_as_the_study_it_was(study: Path, tmp_path: Path) -> None:
    export_bundle(study, tmp_path / "toy.zip", described=True)
    imported = import_bundle(tmp_path / "toy.zip", tmp_path / "elsewhere")
    assert not (imported.folder / "ro-crate-metadata.json").exists()
    assert len(load_results(imported.folder).frame) == 2
    export_bundle(study, tmp_path / "plain.zip")
    with zipfile.ZipFile(tmp_path / "plain.zip") as opened:
        assert "ro-crate-metadata.json" not in opened.namelist()


def test_a_light_copy_has_table_and_raw_figures_and_is_read(study: Path, tmp_path: Path) -> None:

    def report(folder: Path) -> None:
        for name in ("report.md", "report.html", "tables/bits.csv", "figures/bits.png", "figures/bits.csv"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(f"{len(load_results(folder).frame)} rows")

    copied = copy_light(study, tmp_path / "light", report)
    files = [path for path in (tmp_path / "light").rglob("*") if path.is_file()]
    assert copied.files == len(files) and copied.bytes == sum(path.stat().st_size for path in files)
    assert (tmp_path / "light" / "report.md").read_text() == "2 rows" and not (tmp_path / "light" / "tables").exists()
    written = {path.relative_to(tmp_path / "light").as_posix() for path in (tmp_path / "light").rglob("*.*")}
    cells = {path.parent.name: path.name for path in (tmp_path / "light").glob("*-*/*")}
    assert {"study.json", "table.parquet", "environment.json", "figures/bits.png"} <= written
    assert not {"report.html", "figures/bits.csv"} & written  # `report` writes them again
    assert [(name.split("-")[0], file) for name, file in sorted(cells.items())] == [
        ("efficiency", "measurements.jsonl"),
        ("quality", "history.jsonl"),
    ]
    timed = {cell["id"]: cell.get(MODEL) for cell in Store(tmp_path, "light").plan()["cells"]}
    assert all(timed[cell] == CellFolder(study / cell).model_hash() for cell in cells if cell.startswith("eff"))
    frame = load_results(tmp_path / "light").frame
    assert dict(zip(frame["metric"], frame["value"], strict=True)) == {"step_latency": 2.0, "bits_per_token": 3.5}
    (study / "table.parquet").write_bytes(b"of an earlier day")
    copy_light(study, tmp_path / "again")
    assert load_results(tmp_path / "again").frame.equals(frame.assign(study="toy"))
    for taken in (study, tmp_path / "light"):
        with pytest.raises(UserError, match=r" is there already; allowed: a new or an empty folder"):
            copy_light(study, taken)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--crate", "--license", "CC BY"], "--license 'CC BY': allowed: an SPDX identifier, such as CC-BY-4.0"),
        (["--license", "MIT"], "--license: allowed: with --crate, whose metadata names it"),
        (["--light", "--crate"], "--light, --crate: allowed: one of them"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(
    words: list[str], message: str, study: Path, tmp_path: Path
) -> None:
    from bench.cli import app

    outcome = CliRunner().invoke(app, ["export", str(study), "-o", str(tmp_path / "x.zip"), *words])
    assert isinstance(outcome.exception, UserError) and message in str(outcome.exception)
    assert not (tmp_path / "x.zip").exists()


def test_the_citation_file_says_what_the_product_says() -> None:
    """Required keys and types of the Citation File Format 1.2.0, and the same words as reports and crates."""
    if not (ROOT / "CITATION.cff").is_file():
        pytest.skip("the citation file lies beside the sources only")
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    allowed = {"cff-version", "message", "title", "authors", "abstract", "type", "version", "license", "keywords"}
    assert found["cff-version"] == "1.2.0" and set(found) <= allowed and found["type"] == "software"
    assert found["title"] == TITLE and found["license"] == LICENCE and found["version"] == SOFTWARE
    assert found["authors"] == [{"name": AUTHOR}]
    assert citation() == f"{AUTHOR}. {TITLE}, version {SOFTWARE}."
    assert all(isinstance(found[key], str) for key in ("message", "title", "abstract"))
    assert found["keywords"] and all(isinstance(one, str) for one in found["keywords"])
