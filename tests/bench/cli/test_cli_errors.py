"""How the program ends when a path cannot be used."""

import ast
import errno
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench import cli
from bench.errors import UserError, quoted


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


NAME = "C:\\new 'é 音\u3000' \udce9 two\nlines \x1b[31m"
LINE = "C:\\new 'é 音\u3000' \\xe9 two\\nlines \\x1b[31m"


def test_a_name_in_an_error_is_shown_as_it_is_in_one_line(monkeypatch, capsys):
    assert str(UserError(NAME)) == LINE
    assert ending(monkeypatch, capsys, UserError(f"no study {quoted(NAME)}")) == (
        2,
        f"smdim-bench: no study '{LINE}'\n",
    )
    assert ending(monkeypatch, capsys, OSError(errno.EISDIR, "Is a directory", NAME))[1].startswith(
        f"smdim-bench: {LINE}: "
    )
    assert (quoted("a\\b"), quoted(2), quoted("2"), quoted(None)) == (r"'a\b'", "2", "'2'", "None")


def test_no_error_shows_a_text_as_python_would_write_it():
    bench = Path(cli.__file__).parents[1]
    found = [
        path.relative_to(bench).as_posix()
        for path in bench.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FormattedValue) and node.conversion == ord("r")
    ]
    assert sorted(found) == ["glyphs.py", "report/pages/html/elements.py"]  # characters without a font; numbers


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["metrics", "x", "--reference", "y", "--bar-beats", "1e-9"],
            "--bar-beats 1e-09: allowed: 0.25 to 64.0 quarter",
        ),
        (["metrics", "x", "--reference", "y", "--bar-beats", "nan"], "--bar-beats nan: allowed: 0.25 to 64.0 quarter"),
        (["metrics", "x", "--reference", "y", "--seed", "-1"], "'--seed': Input should be greater than or equal to 0"),
        (["train", "AF", "--seed", "-1"], "'--seed': Input should be greater than or equal to 0"),
        (
            ["train", "AF", "--train", "clip=Infinity", "--budget", "1steps"],
            "train.clip: inf: Input should be a finite number",
        ),
    ],
)
def test_a_number_that_cannot_be_used_is_refused_before_anything_runs(words, message, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(cli.app, words)
    assert message in f"{result.output} {result.exception}" and result.exit_code != 0


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
        (
            lambda: os.open("/dev/full", os.O_WRONLY),
            2,
            "smdim-bench: no space left to write results or what is printed; free some and run the same command "
            "again\n",
        ),
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
    assert capsys.readouterr().err == line


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
    assert capsys.readouterr().err == "given back\nsmdim-bench: interrupted\n"


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
