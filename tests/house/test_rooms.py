"""Imports run one way: bench -> architectures, metrics; inside bench as the table below says."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = {"errors", "files", "paths", "child", "versions", "study"}
ALLOWED = {
    "cli": {"run", "report", "generate", "data", "diffusion", "training", "measure", "store"},
    "run": {"measure", "data", "diffusion", "training", "store"},
    "generate": {"data", "diffusion", "training", "measure", "report", "store"},
    "measure": {"data", "diffusion", "training"},
    "training": {"data", "diffusion"},
    "diffusion": set(),
    "data": set(),
    "report": {"store"},
    "store": set(),
    "study": set(),
}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_architectures_and_metrics_know_nothing_of_the_others() -> None:
    for room, others in {"architectures": {"metrics", "bench"}, "metrics": {"architectures", "bench"}}.items():
        for path in (ROOT / room).rglob("*.py"):
            roots = {name.split(".")[0] for name in imported(path)}
            assert not roots & others, f"{path.relative_to(ROOT)} imports {roots & others}"


def test_rooms_of_bench_import_one_way() -> None:
    for path in (ROOT / "bench").rglob("*.py"):
        parts = path.relative_to(ROOT / "bench").with_suffix("").parts
        room = parts[0]
        if room in ("__init__", "__main__"):
            continue
        for name in imported(path):
            pieces = name.split(".")
            if pieces[0] != "bench" or len(pieces) < 2 or pieces[1] == room:
                continue
            allowed = ALLOWED.get(room, set()) | SHARED
            assert pieces[1] in allowed or ".".join(pieces[1:3]) in allowed, f"bench/{'/'.join(parts)}.py: {name}"


def test_optional_packages_are_imported_in_one_file_each() -> None:
    for package in ("mamba_ssm", "flash_attn", "causal_conv1d", "ray", "submitit", "music21"):
        users = [
            path
            for room in ("bench", "architectures", "metrics")
            for path in (ROOT / room).rglob("*.py")
            if any(name.split(".")[0] == package for name in imported(path))
        ]
        assert len(users) <= 1, f"{package}: {users}"
