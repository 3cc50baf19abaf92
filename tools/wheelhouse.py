"""Wheels for a machine without a network: this project and what it needs, less what such a machine has already.

`make wheelhouse PYTHON=3.12` on a machine with a network; `pip install --no-index --find-links wheelhouse smdim-bench`
on the other. Uses nothing but Python and pip, so that it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(28, 16, -1)] + ["manylinux2014_x86_64"]
PROJECT = "smdim-bench"
ROOMS = ("bench", "architectures", "metrics")
MB = 1e6


class WheelhouseError(Exception):
    """The wheels could not be gathered; the message is one line."""


def canonical(name: str) -> str:
    """A distribution's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_left_out(name: str, without: Iterable[str]) -> bool:
    """Whether one of the patterns (`nvidia-*`) names this distribution."""
    return any(fnmatch.fnmatchcase(canonical(name), pattern.lower()) for pattern in without)


def reached(
    roots: Iterable[str], requirements: Mapping[str, Iterable[str]], without: Iterable[str], python: str
) -> list[str]:
    """Distributions that the roots need, not through one that is left out: sorted canonical names. A root is asked for
    by name and stays, whatever pattern it fits.

    `requirements`: of each distribution that was resolved, by canonical name, its Requires-Dist lines.
    """
    from pip._vendor.packaging.requirements import Requirement

    environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    environment |= {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
    }
    asked = {canonical(root) for root in roots}
    found, open_names = set[str](), list(asked)
    while open_names:
        name = open_names.pop()
        if name in found or (name not in asked and is_left_out(name, without)):
            continue
        if name not in requirements:
            raise WheelhouseError(f"{name}: needed, but not among what was resolved")
        found.add(name)
        for line in requirements[name]:
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate(environment):
                open_names.append(canonical(wanted.name))
    return sorted(found)


def gather(
    folder: Path, *, source: Path, python: str, also: list[str], from_source: list[str], without: list[str]
) -> None:
    """Fill `folder`, which is emptied of wheels first."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    pins = ["--constraint", str(source / "constraints.txt")]
    with tempfile.TemporaryDirectory() as scratch:
        clean = copied(source, Path(scratch) / "source")
        _pip("wheel", "--no-deps", "--wheel-dir", str(folder), *pins, str(clean), *from_source)
    impure = [path.name for path in folder.glob("*.whl") if not path.name.endswith("-none-any.whl")]
    if impure:
        raise WheelhouseError(f"{impure[0]}: built here, but for this machine alone; take it out of --from-source")
    target = ["--python-version", python, "--implementation", "cp", "--only-binary=:all:", "--find-links", str(folder)]
    target += [word for platform in PLATFORMS for word in ("--platform", platform)]
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        asked = ["--dry-run", "--ignore-installed", "--target", scratch, "--report", str(report)]
        _pip("install", *asked, *target, *pins, PROJECT, *also)
        resolved: list[dict[str, Any]] = [item["metadata"] for item in json.loads(report.read_bytes())["install"]]
    requirements = {canonical(one["name"]): one.get("requires_dist", []) for one in resolved}
    versions = {canonical(one["name"]): one["version"] for one in resolved}
    names = reached([PROJECT, *also], requirements, without, python)
    built = {canonical(path.name.split("-")[0]) for path in folder.glob("*.whl")}
    missing = [f"{name}=={versions[name]}" for name in names if name not in built]
    _pip("download", "--no-deps", "--dest", str(folder), *target, *missing)


def copied(source: Path, target: Path) -> Path:
    """What the project's wheel is made of, away from what earlier builds left in the checkout."""
    target.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(source / name, target / name)
    for room in ROOMS:
        shutil.copytree(source / room, target / room, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def _pip(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()[-1:]
        raise WheelhouseError(f"pip {words[0]}: {lines[0] if lines else 'failed'}")


def main() -> int:
    """Gather, list with sizes, and fail above the size allowed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--source", type=Path, default=Path(), help="checkout of the project")
    parser.add_argument("--python", default="3.12", help="version of the other machine's Python")
    parser.add_argument("--also", default="", help="further distributions, such as pytest, left out by no pattern")
    parser.add_argument("--from-source", default="", help="those that are published as source alone, in pure Python")
    parser.add_argument("--without", default="", help="names or patterns of what the other machine has")
    parser.add_argument("--most-mb", type=float, default=30.0, help="largest size of all wheels together")
    words = parser.parse_args()
    if not re.fullmatch(r"3\.\d+", words.python):
        print(f"wheelhouse: PYTHON={words.python}: allowed: a version such as 3.12", file=sys.stderr)
        return 2
    lists = {name: getattr(words, name).split() for name in ("also", "from_source", "without")}
    try:
        gather(words.folder, source=words.source, python=words.python, **lists)
    except WheelhouseError as problem:
        print(f"wheelhouse: {problem}", file=sys.stderr)
        return 1
    sizes = {path.name: path.stat().st_size / MB for path in sorted(words.folder.glob("*.whl"))}
    for name, size in sizes.items():
        print(f"{size:7.2f} MB  {name}")
    total = sum(sizes.values())
    print(f"{total:7.2f} MB  in {len(sizes)} wheels for Python {words.python}: {words.folder}/")
    if total > words.most_mb:
        print(f"wheelhouse: over {words.most_mb:g} MB; leave out more (WHEELHOUSE_WITHOUT)", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
