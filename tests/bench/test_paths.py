"""Folder of caches: named by a variable, else below the home folder, else one line."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from bench.errors import UserError
from bench.paths import cache_folder


def test_the_folder_of_caches_follows_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/one")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("SMDIM_BENCH_CACHE", raising=False)
    assert cache_folder() == Path("/home/one/.cache/smdim-bench")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/smdim-bench")
    monkeypatch.setenv("SMDIM_BENCH_CACHE", "/here")
    assert cache_folder() == Path("/here")


def test_without_a_home_folder_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME", "SMDIM_BENCH_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(UserError, match="no home folder for caches; name a folder in SMDIM_BENCH_CACHE"):
        cache_folder()
