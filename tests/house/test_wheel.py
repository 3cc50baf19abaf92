"""The built wheel alone, in an empty folder, lists what there is and runs a study on the corpus it carries."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUDY = """\
name: from-wheel
question: does the wheel carry all it needs
baseline:
  corpus: demo/irish
  length: 256
  model: {width: 32, layers: 2}
  diffusion: {steps: 32}
  train: {steps: 2, batch: 2, warmup_steps: 1, validations: 0}
  sample: {pieces: 2, steps: 4}
measure:
  quality: {}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the unpacked wheel and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    for room in ("bench", "architectures", "metrics"):
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(source)], check=True, capture_output=True)
    shutil.rmtree(source)
    (wheel,) = folder.glob("smdim_bench-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(site: Path, folder: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(site), "SMDIM_BENCH_CACHE": str(folder / "cache")}
    command = [sys.executable, "-P", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_studies_corpus_and_licences(site: Path) -> None:
    assert (site / "bench" / "studies" / "quickstart.yaml").is_file()
    demo = site / "bench" / "data" / "demo"
    assert sorted(path.name for path in demo.glob("*.tar.xz")) == ["irish.tar.xz", "lieder.tar.xz"]
    assert sum(path.stat().st_size for path in demo.rglob("*") if path.is_file()) < 1e6
    assert len(list((demo / "LICENSES").iterdir())) == 2
    assert not list(site.glob("tests*"))


def test_the_wheel_alone_lists_and_runs(site: Path, tmp_path: Path) -> None:
    assert run(site, tmp_path, "-c", "import bench; print(bench.__file__)").startswith(str(site))
    assert "quickstart" in run(site, tmp_path, "-m", "bench", "list", "studies")
    (tmp_path / "study.yaml").write_text(STUDY)
    assert "2 cells to run" in run(site, tmp_path, "-m", "bench", "run", "study.yaml")
    assert (tmp_path / "results" / "from-wheel" / "report.md").is_file()
    assert len(list(tmp_path.glob("results/from-wheel/quality-*/samples/*.mid"))) == 2
