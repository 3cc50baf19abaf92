"""Building the C kernel: once a machine, two processes at once, and the way out where it cannot be built."""

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

from architectures.scan import c_library


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMDIM_BENCH_CACHE", str(tmp_path))
    c_library.built_library.cache_clear()
    yield tmp_path  # type: ignore[misc]
    c_library.built_library.cache_clear()


@pytest.fixture
def compiler() -> None:
    try:
        c_library._compiler()
    except c_library.CompilerError as error:
        pytest.skip(str(error))


def build(_: int) -> str:
    return str(c_library.built_library())


def test_two_processes_building_at_once_leave_one_library(empty_cache: Path, compiler: None) -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        paths = pool.map(build, range(2), chunksize=1)
    assert paths[0] == paths[1]
    assert [path.name for path in (empty_cache / "scan").iterdir()] == [Path(paths[0]).name]


def test_a_built_library_is_not_built_again(empty_cache: Path, compiler: None, monkeypatch: pytest.MonkeyPatch) -> None:
    first = c_library.built_library()
    c_library.built_library.cache_clear()
    monkeypatch.setattr(c_library, "_build", lambda *_: pytest.fail("built a second time"))
    assert c_library.built_library() == first


def test_without_a_compiler_the_next_kernel_runs(tmp_path: Path) -> None:
    """In a process of its own, because what can run is found out once."""
    program = (
        "from architectures.scan import available_kernels, chosen_kernel\n"
        "print(available_kernels()['c']); print(chosen_kernel('cpu'))"
    )
    environment = {"PATH": str(tmp_path), "SMDIM_BENCH_CACHE": str(tmp_path), "HOME": str(tmp_path)}
    root = str(Path(c_library.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=root, capture_output=True, text=True, check=True
    )
    reason, chosen = done.stdout.splitlines()
    assert reason == "no C compiler found (tried cc, gcc, clang)"
    assert chosen == "numba"


def test_a_failing_compiler_is_quoted(
    empty_cache: Path, tmp_path: Path, compiler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.c"
    broken.write_text("this is not C;")
    monkeypatch.setattr(c_library, "SOURCE", broken)
    with pytest.raises(c_library.CompilerError, match=r"failed on broken\.c: .*(error|generated)"):
        c_library.built_library()
    assert not list((empty_cache / "scan").glob("*"))


def test_a_cache_that_cannot_be_written_is_a_reason(
    tmp_path: Path, compiler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SMDIM_BENCH_CACHE", str(tmp_path / "file"))
    c_library.built_library.cache_clear()
    with pytest.raises(c_library.CompilerError, match="cannot store the built library"):
        c_library.built_library()
