"""`doctor` and `profile` as a user calls them."""

from __future__ import annotations

import csv
import json

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.errors import UserError
from bench.measure.efficiency.doctor import Finding


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def findings(monkeypatch):
    """Replaces what the doctor finds."""
    found: list[Finding] = []
    monkeypatch.setattr("bench.measure.efficiency.doctor.examine", lambda device: found)
    return found


def test_doctor_says_what_works_and_what_to_do_for_the_rest(run, findings):
    findings += [
        Finding("scan kernel c", "works", "error 4e-07"),
        Finding("energy", "missing", "no counter", "buy one"),
    ]
    findings.append(Finding("quiet", "fails", "the machine is busy: spinner"))
    result = run("doctor")
    assert result.exit_code == 0
    assert "scan kernel c" in result.output and "-> buy one" in result.output and "spinner" in result.output


def test_doctor_ends_with_an_error_when_a_kernel_fails(run, findings):
    findings.append(Finding("scan kernel c", "fails", "wrong"))
    result = run("doctor")
    assert result.exit_code == 1 and "failing: scan kernel c" in result.output


def test_profile_leaves_a_table_a_chart_and_a_trace(run, tmp_path):
    result = run("profile", "MFA*1", "--length", 64, "--model", "width=32", "--steps", 2, "--output", tmp_path / "out")
    assert result.exit_code == 0 and "feed-forward" in result.output and "scan" in result.output
    rows = list(csv.DictReader((tmp_path / "out" / "profile.csv").open()))
    assert sum(float(row["share"]) for row in rows) == pytest.approx(1, abs=1e-4)
    assert json.loads((tmp_path / "out" / "trace.json").read_text())["traceEvents"]
    assert (tmp_path / "out" / "profile.png").read_bytes().startswith(b"\x89PNG")


def test_a_training_step_is_profiled_with_its_backward_pass_and_optimiser(run, tmp_path):
    words = ("--training", "--precision", "bfloat16", "--batch", 2, "--model", "width=32", "--steps", 2)
    result = run("profile", "MFA*1", "--length", 64, *words, "--output", tmp_path / "out")
    assert result.exit_code == 0 and "training" in result.output
    rows = list(csv.DictReader((tmp_path / "out" / "profile.csv").open()))
    parts = {row["part"] for row in rows}
    assert {"backward", "optimiser", "00 mamba", "02 attention"} <= parts
    assert ("backward", "scan") in {(row["part"], row["kind"]) for row in rows}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("profile", "nope"), "no arm 'nope'"),
        (("profile", "MFA*1", "--length", "63"), "length 63 is not a multiple of stride 4"),
        (("profile", "MFA*1", "--device", "tpu"), "'tpu': not on this machine"),
        (("profile", "MFA*1", "--model", "wdth=3"), "wdth"),
        (("profile", "MFA*1", "--precision", "float8"), "precision = 'float8'; allowed: float32, bfloat16"),
        (("doctor", "--device", "cuda:99"), "'cuda:99': not on this machine"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(run, words, message):
    result = run(*words)
    assert isinstance(result.exception, UserError) and message in str(result.exception)
    assert "\n" not in str(result.exception)
