"""A run as `train` leaves it, made in a second: one step on the demo corpus."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("generate")
    done = CliRunner().invoke(
        app,
        [
            *("train", "AF", "--corpus", "demo/irish", "--length", "256", "--budget", "1steps", "--batch", "2"),
            *("--model", "width=32", "--train", "validations=0", "--train", "final_validation_windows=1"),
            *("--name", "tiny", "--results", str(results)),
        ],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    return results / "train" / "tiny"
