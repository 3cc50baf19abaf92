"""`patterns`, `check` and the rows of `list architectures`, as a user sees them."""

from __future__ import annotations

import sys

import pytest
from typer.testing import CliRunner

from architectures import CATALOG, registry
from architectures.denoiser import registered_denoisers
from bench.cli import app
from bench.cli.architectures import print_architectures
from bench.errors import UserError

BLOCK = """
from architectures import FlopCount, Mixer, register_mixer
from torch import nn

@register_mixer("Y", name="{name}")
class Block(Mixer):
    causal = {causal}

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.linear = nn.Linear(width, width)

    def forward(self, x_BLD):
        return self.linear(x_BLD)

    def flops(self, length: int) -> FlopCount:
        return FlopCount(matmul=2.0 * length * self.width**2)
"""


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a command in a folder of its own, with a registry of its own."""
    registry.registered_mixers()  # the built-in ones stay
    monkeypatch.setattr(registry, "_BY_LETTER", dict(registry._BY_LETTER))
    monkeypatch.setattr(registry, "_BY_NAME", dict(registry._BY_NAME))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield lambda *arguments: CliRunner().invoke(app, arguments)
    for name in ("command_good", "command_bad"):
        sys.modules.pop(name, None)


def test_patterns_lists_a_family_for_a_studys_axis(run):
    result = run("patterns", "--plain", "permute(MFA)*8")
    assert result.exit_code == 0
    assert result.output.split() == ["MFA*8", "MAF*8", "FMA*8", "FAM*8", "AMF*8", "AFM*8"]


def test_patterns_shows_which_orders_are_rotations(run):
    rows = {line.split()[0]: line.split()[-1] for line in run("patterns", "permute(MFA)*8").output.splitlines()[1:]}
    assert rows == {"MFA*8": "AMF", "FAM*8": "AMF", "AMF*8": "AMF", "MAF*8": "AFM", "AFM*8": "AFM", "FMA*8": "AFM"}


def test_a_malformed_pattern_is_the_users_to_mend(run):
    result = run("patterns", "MFX*8")
    assert isinstance(result.exception, UserError)
    assert "character 3 ('X')" in str(result.exception)


def test_check_passes_a_sound_block_from_the_current_folder(run, tmp_path):
    (tmp_path / "command_good.py").write_text(BLOCK.format(name="command-good", causal=True))
    result = run("check", "command_good", "--device", "cpu")
    assert result.exit_code == 0
    assert "Y [command-good] on cpu" in result.output and "FAILED" not in result.output


def test_check_names_the_broken_point_and_fails(run, tmp_path):
    (tmp_path / "command_bad.py").write_text(BLOCK.format(name="command-bad", causal=False))
    result = run("check", "command_bad", "--device", "cpu")
    assert result.exit_code == 1
    (failed,) = [line for line in result.output.splitlines() if line.startswith("FAILED")]
    assert "sees what it declares" in failed


@pytest.mark.parametrize("arguments", [("check", "no_such_module"), ("check", "M", "--device", "tpu"), ("check", "Q")])
def test_what_cannot_be_checked_is_the_users_to_mend(run, arguments):
    assert isinstance(run(*arguments).exception, UserError)


def test_listing_shows_every_arm_uncut_on_80_columns(capsys):
    from rich.console import Console

    print_architectures(Console(width=80, file=sys.stdout))
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split()[1] for line in lines[1:] if line and not line.startswith(" ")}
    for name, arm in CATALOG.items():
        assert rows[name] == arm.pattern
    assert len(lines) == 4 + 2 * len(
        [*CATALOG, *registered_denoisers()]
    )  # a title, what the figures are, the header, and an empty line at the end
    assert any(line.strip().startswith("Mamba bidirectional (split); ") for line in lines)
