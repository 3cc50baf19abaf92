"""Imports run one way: a room imports only from rooms below it, and no two files import each other."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORDER = (  # from the lowest room to the highest; a longer name is a room inside a shorter one
    "architectures",
    "metrics.quantities",
    "metrics.result",
    "metrics.statistics",
    "metrics.cost",
    "metrics.music",
    "metrics",
    "bench.errors",
    "bench.versions",
    "bench.paths",
    "bench.files",
    "bench.glyphs",
    "bench.plugins",
    "bench.launcher",
    "bench.child",
    "bench.data",
    "bench.diffusion",
    "bench.training",
    "bench.study",
    "bench.citation",
    "bench.store",
    "bench.measure.rows",
    "bench.measure.efficiency",
    "bench.measure.quality",
    "bench.measure",
    "bench.run",
    "bench.report.presentation",
    "bench.report.rows",
    "bench.report.analysis",
    "bench.report.tables",
    "bench.report.claims",
    "bench.report.figures",
    "bench.report.pages",
    "bench.report",
    "bench.generate",
    "bench.listen",
    "bench.cli",
    "bench",
)
APART = {"architectures": ("metrics", "bench"), "metrics": ("architectures", "bench")}  # room -> what it never imports


def module_name(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


@cache
def import_statements(root: Path) -> dict[Path, list[ast.Import | ast.ImportFrom]]:
    """Product file -> every import in it, also inside functions and for types alone."""
    packages = sorted({room.split(".")[0] for room in ORDER})
    return {
        path: [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
        for package in packages
        for path in (root / package).rglob("*.py")
    }


@cache
def imports(root: Path) -> dict[str, set[str]]:
    """Module -> the modules of this project that it imports."""
    files = {module_name(path, root): path for path in import_statements(root)}
    found: dict[str, set[str]] = {}
    for module, path in files.items():
        named = set()
        for node in import_statements(root)[path]:
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            else:
                assert node.level == 0 and node.module, f"{path}: a relative import"
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                named |= {name if name in files else node.module for name in inner}
        found[module] = named & set(files)
    return found


def room_of(module: str) -> int:
    rooms = [place for place, room in enumerate(ORDER) if f"{module}.".startswith(f"{room}.")]
    assert rooms, f"{module}: in no room; add it to ORDER"
    return max(rooms, key=lambda place: len(ORDER[place]))


def arrows_up(edges: dict[str, set[str]]) -> list[str]:
    return [
        f"{module} -> {other}"
        for module, others in sorted(edges.items())
        for other in sorted(others)
        if room_of(module) < room_of(other)
    ]


def circles(edges: dict[str, set[str]]) -> list[str]:
    """Each module that can be reached from itself."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(edges[start])
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting += edges[module]
        return seen

    return [module for module in sorted(edges) if module in reached(module)]


def test_no_arrow_leads_up() -> None:
    assert arrows_up(imports(ROOT)) == []


def test_no_circle_between_files() -> None:
    assert circles(imports(ROOT)) == []


def test_architectures_and_metrics_stand_apart() -> None:
    for module, others in imports(ROOT).items():
        for apart in APART.get(module.split(".")[0], ()):
            wrong = [other for other in others if other.split(".")[0] == apart]
            assert not wrong, f"{module} imports {wrong}"


@pytest.mark.parametrize(
    ("files", "wrong"),
    [
        ({"bench/store/a.py": "def f():\n    from bench.run import b", "bench/run/b.py": ""}, "up"),
        ({"bench/run/a.py": "import bench.run.b", "bench/run/b.py": "from bench.run import a"}, "circle"),
        (
            {
                "bench/run/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from bench.run.b import B",
                "bench/run/b.py": "from bench.run.a import A",
            },
            "circle",
        ),
        ({"bench/run/a.py": "from bench.store.b import B", "bench/store/b.py": ""}, ""),
    ],
)
def test_a_planted_fault_is_found(tmp_path: Path, files: dict[str, str], wrong: str) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    edges = imports(tmp_path)
    assert bool(arrows_up(edges)) == (wrong == "up")
    assert bool(circles(edges)) == (wrong == "circle")


def test_optional_packages_are_imported_in_one_file_each() -> None:
    for package in ("mamba_ssm", "flash_attn", "causal_conv1d", "ray", "submitit", "music21"):
        users = []
        for path, nodes in import_statements(ROOT).items():
            for node in nodes:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                users += [path] * any(name.split(".")[0] == package for name in names)
        assert len(set(users)) <= 1, f"{package}: {users}"
