"""Each measured name is written once, where it is registered; other product code uses the constants from there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from bench.store.columns import COLUMNS
from metrics.quantities import quantities

ROOT = Path(__file__).parents[2]
PACKAGES = ("architectures", "metrics", "bench", "tools")
NAMES = {one.name for one in quantities()} - set(COLUMNS)  # "parameters" is a column of the table too


def uncounted(tree: ast.AST) -> Iterator[ast.AST]:
    """Strings that are no use of a name: docstrings, `__all__` (functions) and the argument of a registration."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            yield node.value
        if isinstance(node, ast.Assign) and "__all__" in {getattr(target, "id", "") for target in node.targets}:
            yield from ast.walk(node.value)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "").lstrip("_").startswith("register"):
            yield from node.args[:1]


def literals(source: str) -> list[tuple[int, str]]:
    """Line and text of every string that holds registered names and nothing else."""
    tree = ast.parse(source)
    left_out = {id(node) for node in uncounted(tree)}
    strings = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return [
        (node.lineno, node.value)
        for node in strings
        if id(node) not in left_out and (words := node.value.split()) and set(words) <= NAMES
    ]


def test_product_code_holds_no_metric_name_as_a_literal():
    found = {
        f"{path.relative_to(ROOT)}:{line}": text
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, text in literals(path.read_text())
    }
    assert found == {}


def test_a_planted_literal_is_found():
    assert literals('"""oa_mean"""\nshown = ["oa_mean"]\n') == [(2, "oa_mean")]
    assert literals('shown = "oa_mean drift_oa".split()\n') == [(1, "oa_mean drift_oa")]
    assert literals('name = f"{prefix}step_latency"\n') == [(1, "step_latency")]
    assert literals('NAME = register("oa_mean", "1", "higher")\nnote = "oa_mean is high"\n') == []
    assert literals('print("oa_mean")\n') == [(1, "oa_mean")]


def test_every_name_is_registered_with_a_definition_of_its_own():
    definitions = [one.definition for one in quantities()]
    assert len(NAMES) > 100 and len(set(definitions)) == len(definitions)


def test_the_list_of_metrics_has_each_with_what_is_better(capsys):
    from bench.cli.listing import _metrics

    _metrics()
    listed = capsys.readouterr().out
    assert "oa_mean" in listed and "nearest" in listed
