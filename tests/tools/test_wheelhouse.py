"""Which wheels an offline machine is given; gathering them needs a network and is no test."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from wheelhouse import WheelhouseError, copied, is_left_out, reached

ROOT = Path(__file__).parents[2]
REQUIREMENTS = {
    "ours": ["torch>=2", "Music_Tokens ; python_version >= '3.12'", "old; python_version < '3.12'", "x; extra == 'y'"],
    "torch": ["nvidia-cublas; sys_platform == 'linux'", "deep"],
    "music-tokens": ["deep", "mac-only; sys_platform == 'darwin'"],
    "deep": ["ours"],
    "old": [],
    "nvidia-cublas": [],
    "pytest": ["deep"],
}  # fmt: skip


def test_what_is_needed_is_followed_but_not_through_what_is_there() -> None:
    assert reached(["Ours"], REQUIREMENTS, ["torch"], "3.12") == ["deep", "music-tokens", "ours"]
    assert reached(["ours"], REQUIREMENTS, ["torch"], "3.11") == ["old", "ours"]
    everything = reached(["ours", "pytest"], REQUIREMENTS, ["nvidia-*"], "3.12")
    assert everything == ["deep", "music-tokens", "ours", "pytest", "torch"]
    named = reached(["ours", "NVIDIA_ml.py"], REQUIREMENTS | {"nvidia-ml-py": []}, ["torch", "nvidia-*"], "3.11")
    assert named == ["nvidia-ml-py", "old", "ours"]


def test_a_need_that_was_not_resolved_is_named() -> None:
    with pytest.raises(WheelhouseError, match="mac-only: needed"):
        reached(["ours"], REQUIREMENTS | {"deep": ["mac-only"]}, ["torch"], "3.12")


def test_patterns_leave_out_whole_families() -> None:
    assert is_left_out("NVIDIA_cudnn.cu13", ["nvidia-*"]) and is_left_out("Pillow", ["pillow"])
    assert not is_left_out("torchaudio", ["torch"])


def test_the_projects_wheel_is_made_of_a_clean_copy(tmp_path: Path) -> None:
    clean = copied(ROOT, tmp_path / "clean")
    assert (clean / "bench" / "studies" / "quickstart.yaml").is_file()
    assert sorted(path.name for path in clean.iterdir()) == [
        "LICENSE", "README.md", "architectures", "bench", "metrics", "pyproject.toml"
    ]  # fmt: skip
    assert not list(clean.rglob("__pycache__"))


def test_a_version_that_is_none_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "tools" / "wheelhouse.py"), str(tmp_path), "--python", "python3"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "wheelhouse: PYTHON=python3: allowed: a version such as 3.12\n")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(("given", "version"), [([], "3.12"), (["PYTHON=3.11"], "3.11"), (["PYTHON=python3"], "3.12")])
def test_make_hands_on_the_other_machines_python(given: list[str], version: str) -> None:
    command = ["make", "--dry-run", "--no-print-directory", "wheelhouse", *given]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"wheelhouse\.py wheelhouse --python {re.escape(version)} ", told)
    assert (
        "torch triton nvidia-*" in told
        and '--also "pytest hypothesis nvidia-ml-py"' in told
        and '"fvcore iopath"' in told
    )
