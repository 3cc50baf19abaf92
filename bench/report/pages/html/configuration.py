"""The full configuration and environment behind a study, as its folder keeps them, folded away in the page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from bench.files import read_json
from bench.store.cells import CellFolder

LARGEST_BYTES = 2_000_000  # of all cells together; beyond it the page names the files instead


def configuration_html(folder: Path, cell_ids: Iterable[str]) -> str:
    """The study, the environments that cells ran in (each once, with its cells), and every cell's settings."""
    parts = []
    study = read_json(folder / "study.json")
    if study is not None:
        content = {key: value for key, value in study.items() if key != "cells"}
        parts.append(_folded("Study", content))
    cells = [(cell_id, CellFolder(folder / cell_id)) for cell_id in cell_ids]
    parts += _environments(cells)
    settings = {cell_id: found for cell_id, cell in cells if (found := cell.configuration()) is not None}
    size = len(json.dumps(settings))
    if settings and size <= LARGEST_BYTES:
        inner = "".join(_folded(cell_id, content) for cell_id, content in settings.items())
        parts.append(f"<details><summary>Settings of the {len(settings)} cells</summary>{inner}</details>")
    elif settings:
        parts.append(f"<p>Settings of the {len(settings)} cells: in <code>cell.json</code> of each cell's folder.</p>")
    return "\n".join(parts) or "<p>The results folder keeps no configuration.</p>"


def _environments(cells: Iterable[tuple[str, CellFolder]]) -> list[str]:
    seen: dict[str, list[str]] = {}
    for cell_id, cell in cells:
        environment = cell.environment()
        if environment:
            seen.setdefault(json.dumps(environment, indent=2, sort_keys=True), []).append(cell_id)
    return [
        f"<details><summary>Environment of {len(ids)} cells "
        f"({escape(', '.join(ids[:3]))}{', ...' if len(ids) > 3 else ''})"
        f"</summary><pre>{escape(text)}</pre></details>"
        for text, ids in seen.items()
    ]


def _folded(title: str, content: Any) -> str:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"
