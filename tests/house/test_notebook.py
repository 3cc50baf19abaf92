"""The notebook of docs/: its cells run in order on the committed results, and no output is kept."""

from __future__ import annotations

import json
import re

import pytest
from pages import ROOT

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
CELLS = json.loads(NOTEBOOK.read_text())["cells"]


def test_its_code_runs_in_order(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(NOTEBOOK.parent)
    names: dict[str, object] = {}
    for number, cell in enumerate(CELLS):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    verdicts = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    others = ("smdim", "mamba", "mamba-causal", "smdim-stem4")
    assert verdicts == [[metric, arm] for metric in ("bits_per_token", "kernel_distance") for arm in others]


def test_it_keeps_no_outputs_and_its_links_resolve() -> None:
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in CELLS)
    text = "\n".join("".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith("http")]
    assert links and all((NOTEBOOK.parent / link).exists() for link in links)
