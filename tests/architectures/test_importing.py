"""Importing the package, the pattern language and the arms is quick: every command does one of them."""

import subprocess
import sys

import pytest

LIGHT = (  # what is quick to import or do; in one interpreter, for a module once imported stays
    "from architectures.pattern import BlockPattern",
    "import architectures; dir(architectures)",
    "from architectures import BlockPattern; BlockPattern.parse('MFA*8').cycle",
    "from bench.study.grid import load_study; load_study('quickstart')",
    "import metrics; metrics.read_notes, metrics.quality_table",
    "import bench.store.table, bench.report.tables.quality, bench.report.claims.measured, bench.report.figures",
    "import bench.report.pages.writer, bench.report.pages.terminal, bench.report.rows.pieces",
    "from metrics.quantities import quantities; quantities()",
    "import bench.cli, bench.cli.architectures",
    "import contextlib, io; from bench.cli.listing import _metrics\n"
    "with contextlib.redirect_stdout(io.StringIO()): _metrics()",
)


def modules_after(code: str, *names: str) -> list[str]:
    """Which of the modules a fresh interpreter has imported after `code`."""
    program = f"import sys\n{code}\nprint(*[name for name in {names!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_neither_torch_nor_a_tokenizer_is_imported() -> None:
    checked = "\n".join(f"{code}\nfound({code!r})" for code in LIGHT)
    names = ("torch", "miditok", "muspy")
    program = f"def found(code):\n    print(*[f'{{name}} after {{code}}' for name in {names} if name in sys.modules])"
    assert modules_after(f"{program}\n{checked}") == []


def test_the_compiler_is_not_imported_with_the_arms() -> None:
    code = (
        "from architectures.building import shapes_only\n"
        "from architectures.catalog import CATALOG, build\n"
        "with shapes_only():\n"
        "    for name in CATALOG: build(name, vocab_size=11)"
    )
    assert modules_after(code, "torch", "torch._dynamo", "sympy") == ["torch"]


def test_a_pattern_finds_its_mixers_whatever_was_imported_before() -> None:
    code = "from architectures.config import BackboneConfig; BackboneConfig(11, '[hyena]GSC')"
    assert modules_after(code, "architectures.mamba2") == ["architectures.mamba2"]


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    import architectures

    with pytest.raises(AttributeError, match="module 'architectures' has no attribute 'Nobody'"):
        _ = architectures.Nobody
