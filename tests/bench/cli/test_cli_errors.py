"""How the program ends when a path cannot be used."""

import ast
import errno
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
