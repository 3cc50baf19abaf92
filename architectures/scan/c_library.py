"""Builds selective_scan.c once per machine type and user, and finds the result again."""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("selective_scan.c")
COMPILERS = ("cc", "gcc", "clang")
BUILD_TIMEOUT_S = 120
REQUIRED_FLAGS = ("-std=c99", "-O3", "-fPIC", "-shared", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")
"""Nothing that lets the compiler reorder sums or assume away NaN."""
WISHED_FLAGS = (("-march=native", "-mprefer-vector-width=512"), ("-march=native",), ("-mcpu=native",), ())
"""Tried in this order until a compiler takes one: the first is for x86, the third for ARM."""


class CompilerError(RuntimeError):
    """There is no compiler, it refused the source, or the result could not be stored."""


def cache_folder() -> Path:
    """Where libraries are kept: a folder of this user's, overridden as a whole by SMDIM_BENCH_CACHE."""
    forced = os.environ.get("SMDIM_BENCH_CACHE")
    base = Path(forced) if forced else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smdim-bench"
    return base / "scan"


def _compiler() -> str:
    wished = os.environ.get("CC", "").split()
    for candidate in (*wished[:1], *COMPILERS):
        found = shutil.which(candidate)
        if found:
            return found
    raise CompilerError(f"no C compiler found (tried {', '.join((*wished[:1], *COMPILERS))})")


def _processor() -> str:
    """What -march=native depends on: a folder shared by different machines must not mix their libraries."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompilerError(f"{command[0]} could not be run: {error}") from error


def _build(compiler: str, target: Path) -> None:
    """Compile beside the target and move it there in one step, so that two processes may build at once."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=".so", dir=target.parent)
    except OSError as error:
        raise CompilerError(f"cannot store the built library in {target.parent}: {error}") from error
    os.close(handle)
    unfinished = Path(name)
    try:
        complaint = ""
        for wished in WISHED_FLAGS:
            result = _run([compiler, *REQUIRED_FLAGS, *wished, str(SOURCE), "-o", name])
            if result.returncode == 0:
                unfinished.chmod(0o755)
                unfinished.replace(target)
                return
            complaint = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise CompilerError(f"{compiler} failed on {SOURCE.name}: {complaint}")
    finally:
        unfinished.unlink(missing_ok=True)


@cache
def built_library() -> Path:
    """Path of the shared library, built now if this compiler, source and processor have none yet (about a second).

    Raises CompilerError where that cannot be.
    """
    compiler = _compiler()
    version = _run([compiler, "--version"]).stdout
    parts = (SOURCE.read_text(), version, _processor(), str(REQUIRED_FLAGS), str(WISHED_FLAGS))
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
    target = cache_folder() / f"selective_scan_{digest}.so"
    if not target.exists():
        _build(compiler, target)
    return target
