"""How the program ends when a path cannot be used."""

import errno
import os
import signal
import sys
import time

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


def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize(
    ("handle", "code", "line"),
    [
        (lambda: os.open("/dev/full", os.O_WRONLY), 2, "smdim-bench: no space left to write results"),
        (closed_pipe, 1, ""),
    ],
)
def test_what_is_printed_to_a_full_disk_or_a_closed_pipe_is_no_traceback(handle, code, line, monkeypatch, capsys):
    with os.fdopen(handle(), "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(cli, "app", lambda: print("a" * 99))
        with pytest.raises(SystemExit) as end:
            cli.main()
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    assert end.value.code == code
    assert capsys.readouterr().err.startswith(line)


def test_sigterm_ends_a_command_as_ctrl_c_does(monkeypatch, capsys):
    def command():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            print("given back", file=sys.stderr)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(cli, "app", command)
    with pytest.raises(SystemExit) as end:
        cli.main()
    signal.signal(signal.SIGTERM, before)
    assert end.value.code == 143
    assert capsys.readouterr().err.startswith("given back\nsmdim-bench: interrupted; ")


def test_counts_of_threads_that_are_no_numbers_are_left_out(monkeypatch, capsys):
    wrong = {"OMP_NUM_THREADS": "abc", "MKL_NUM_THREADS": "4,2", "NUMBA_NUM_THREADS": "0", "OPENBLAS_NUM_THREADS": ""}
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    cli._prepare_threads()
    assert not {*wrong} & {*os.environ}
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" ")[0] for line in lines] == [f"{name}={wrong[name]}" for name in list(wrong)[:2]] + [
        "NUMBA_NUM_THREADS=0"
    ]
    for name, value in {"OMP_NUM_THREADS": "4,2", "MKL_NUM_THREADS": " 8 "}.items():
        monkeypatch.setenv(name, value)
    cli._prepare_threads()
    assert (os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]) == ("4,2", " 8 ")
