"""What the README shows works: its mixer passes the contract and joins a study, its studies are valid."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.study.grid import load_study

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def smdim_bench(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "bench", *arguments], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_study_shown_is_valid(tmp_path: Path) -> None:
    shown = blocks("yaml")
    assert len(shown) == 2
    for text in shown:
        path = tmp_path / "study.yaml"
        path.write_text(text)
        assert load_study(path).combinations()


def test_the_mixer_shown_passes_the_contract_and_joins_a_study(tmp_path: Path) -> None:
    (code,) = [text for text in blocks("python") if "register_mixer" in text]
    (tmp_path / "my_block.py").write_text(code)
    assert "FAILED" not in smdim_bench(tmp_path, "check", "my_block")
    (study,) = [text for text in blocks("yaml") if "plugins" in text]
    small = study.replace("{width: 208, layers: 6}", "{width: 64, layers: 6}")
    small = re.sub(r"train: \{.*\}", "train: {steps: 2, batch: 2, warmup_steps: 1, validations: 0}", small)
    small = small.replace("seeds: [0, 1, 2]", "seeds: [0]").replace(
        "lengths: [512, 2048]", "lengths: [64], rounds: 2, time_cap_s: 5"
    )
    small = small.replace("  model:", "  length: 64\n  sample: {pieces: 2, steps: 4}\n  model:")
    (tmp_path / "mine.yaml").write_text(small)
    smdim_bench(tmp_path, "run", "mine.yaml")
    frame = bench.load_results(tmp_path / "results" / "mine").frame
    timed = frame[(frame.metric == "step_latency") & (frame.kind == "efficiency")]
    assert sorted(timed.arm) == ["XFA*2", "smdim"]
    assert (timed.value > 0).all()


@pytest.mark.parametrize("target", ["bench", "test", "lint", "benchmarks"])
def test_every_make_target_named_exists(target: str) -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert f"make {target}" in README or target == "lint"
