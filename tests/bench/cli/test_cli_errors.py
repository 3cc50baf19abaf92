"""How the program ends when a path cannot be used."""

import errno

import pytest

from bench import cli


def ending(monkeypatch, capsys, error):
    monkeypatch.setattr(cli, "app", lambda: (_ for _ in ()).throw(error))
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, capsys.readouterr().err


def test_a_path_that_cannot_be_used_is_named_in_one_line(monkeypatch, capsys):
    code, line = ending(monkeypatch, capsys, OSError(errno.EROFS, "Read-only file system", "results/a.csv"))
    assert (code, line) == (2, "smdim-bench: results/a.csv: read-only file system\n")


def test_a_full_disk_says_what_to_do(monkeypatch, capsys):
    code, line = ending(monkeypatch, capsys, OSError(errno.ENOSPC, "No space left on device", "results/a.csv"))
    assert code == 2
    assert line.startswith("smdim-bench: no space left to write results/a.csv; free some")


def test_an_error_of_ours_keeps_its_traceback(monkeypatch):
    def fail():
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(OSError, match="Bad file descriptor"):
        cli.main()
