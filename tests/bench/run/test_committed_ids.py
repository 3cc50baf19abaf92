"""Ids of the cells of committed results: settings that were added since leave them as they are at their defaults."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.run import plan
from bench.study.content import StudyFile
from bench.study.grid import Study
from bench.study.yaml import Place, validate

COMMITTED = Path(__file__).parents[3] / "results" / "reference" / "cpu-2-cores"
FINGERPRINTS = {"demo/irish": "2cae346640d5ed0103e329ea"}


@pytest.mark.parametrize("name", ["quickstart", "quickstart_rates"])
def test_cells_of_committed_results_keep_their_ids(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = json.loads((COMMITTED / name / "study.json").read_text())
    read = {"fingerprint": FINGERPRINTS[kept["study"]["baseline"]["corpus"]], "mask_id": 3, "pad_id": 0}
    tokens = SimpleNamespace(**read, vocab_size=222, skipped=[])  # what a plan reads of a corpus
    monkeypatch.setattr(plan, "_load_tokens", lambda *_: tokens)
    monkeypatch.setattr(plan, "_check_held_out", lambda *_: None)  # of a corpus that is read
    content = validate(StudyFile, kept["study"], Place(name))
    made = plan.make_plan(Study(content, Place(name), other_machine=True))
    ids = {cell["id"] for cell in kept["cells"]}
    versions = {cell["labels"]["version"] for cell in kept["cells"]}
    alike = [cell for cell in made.cells if cell.kind != "efficiency" and cell.labels["version"] in versions]
    assert [cell.id for cell in alike if cell.id not in ids] == []
