"""Importing the package, the pattern language and the arms is quick: every command does one of them."""

import subprocess
import sys

import pytest


def modules_after(code: str, *names: str) -> list[str]:
    """Which of the modules a fresh interpreter has imported after `code`."""
    program = f"import sys\n{code}\nprint(*[name for name in {names!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    "code",
    [
        "import architectures; dir(architectures)",
        "from architectures import BlockPattern; BlockPattern.parse('MFA*8').cycle",
        "from architectures.pattern import BlockPattern",
        "import bench.report.pages.writer",
        "import bench.cli",
    ],
)
def test_torch_is_not_imported(code: str) -> None:
    assert modules_after(code, "torch") == []


def test_the_compiler_is_not_imported_with_the_arms() -> None:
    code = (
        "from architectures.backbone import shapes_only\n"
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

    with pytest.raises(AttributeError, match="module 'architectures' has no attribute 'Denoiser'"):
        _ = architectures.Denoiser
