"""Text that a user gives is printed and drawn as it is written, whatever it holds and whatever the terminal takes."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.text import Text as DrawnText
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bench.child import python_command
from bench.cli.terminal import prepare_streams, print_document, print_line, run_in_utf8, terminal, warn
from bench.glyphs import MissingGlyphWarning, plain_text
from bench.report.figures.style import figure_style, new_figure, render
from bench.report.pages.terminal import print_table
from bench.report.tables.table import Entry, Table
from bench.store.cells import Store
from bench.study.grid import Cell

NAMES = ("smdim [ours]", "[remix]", "see [/cite] for more", "a$b$c_{x", r"cost $\notacommand$ arm", ":smile:", "a\\[b]")
CLI = Path(__file__).parents[3] / "bench" / "cli"


@pytest.mark.parametrize("name", NAMES)
def test_names_are_printed_as_they_are(name, capsys):
    terminal().print(name)
    warn(name)
    printed = capsys.readouterr()
    assert printed.out == f"{name}\n"
    assert printed.err == f"warning: {name}\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_table_of_a_report_is_printed_as_it_is_on_any_console(name):
    text = io.StringIO()
    print_table(Console(file=text, width=200), Table("t", name, (name,), ((Entry(name),),), (name,)))
    assert text.getvalue().count(name) == 4


def test_two_words_of_a_table_that_differ_in_the_middle_stay_apart():
    words = [f"{'b' * 31}{middle}{'b' * 31}" for middle in "01"]
    text = io.StringIO()
    print_table(Console(file=text, width=60), Table("t", "", ("a", "c", "d"), ((Entry("x"), *map(Entry, words)),), ()))
    columns = list(zip(*(line[1:-1].split("│") for line in text.getvalue().splitlines() if "b" in line), strict=True))
    assert ["".join(part.strip() for part in column) for column in columns] == ["x", *words]


def test_every_command_prints_through_one_terminal():
    made = [
        (path.name, name)
        for path in sorted(CLI.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and (name := ast.unparse(node.func).rpartition(".")[2]) in ("EscapingConsole", "Console", "echo", "secho")
    ]
    assert made == [("terminal.py", "EscapingConsole")]


STEERING = "red \x1b[31m, title \x1b]0;pwned\x9c, \x9b2J, turned \u202e"
SHOWN = r"red \x1b[31m, title \x1b]0;pwned\x9c, \x9b2J, turned \u202e"


def test_what_steers_a_terminal_is_printed_as_escapes(capsys):
    terminal().print(STEERING, soft_wrap=True)
    terminal().print(Text(STEERING), soft_wrap=True)
    print_table(terminal(), Table("t", STEERING, ("arm", STEERING), ((Entry(STEERING), Entry("1")),), (STEERING,)))
    table = RichTable(STEERING, title=STEERING, caption=STEERING)
    table.add_row(STEERING)
    terminal().print(table)
    print_line(STEERING)
    print_document(f"{STEERING}\n{STEERING}\n")
    warn(STEERING)
    print_line(f"two\nlines {STEERING}", error=True)
    out, err = capsys.readouterr()
    assert out.startswith(f"{SHOWN}\n{SHOWN}\n") and out.endswith(f"{SHOWN}\n" * 3)
    assert err == f"warning: {SHOWN}\ntwo\\nlines {SHOWN}\n"
    assert out.replace("\n", "").count("pwned") == 13
    assert not {sign for sign in out if not sign.isprintable()} - {"\n"}


@pytest.mark.parametrize(
    ("encoding", "printed"), [("ascii", rb"??\xff"), ("latin-1", b"?\xe9\\xff"), ("utf-8", "音é\\xff".encode())]
)
def test_any_text_is_printed_whatever_the_terminal_takes(encoding, printed, monkeypatch):
    stream = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(stream, encoding=encoding))
    monkeypatch.setattr("warnings.showwarning", None)
    prepare_streams()
    terminal().print("音é\udcff")
    sys.stdout.flush()
    assert stream.getvalue().rstrip() == printed


@pytest.mark.parametrize("columns", ["0", "-3", "wide", "1", "99999999999", "9" * 4301])
def test_a_width_that_is_none_is_left_out(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("warnings.showwarning", None)
    prepare_streams()
    assert Console(file=io.StringIO()).width == 80


@pytest.mark.parametrize("name", NAMES)
def test_names_are_drawn_as_they_are(name):
    with figure_style(3.3):
        figure = new_figure(3.3, 2.0)
        axis = figure.subplots()
        axis.bar([name], [1.0], label=name)
        axis.set_title(name)
        axis.legend()
    assert render(figure)[:4] == b"\x89PNG"
    texts = [text for text in figure.findobj(DrawnText) if text.get_text() == name]
    assert len(texts) >= 3
    assert not any(text.get_parse_math() for text in texts)


def test_characters_without_a_font_end_in_one_line(recwarn, monkeypatch):
    monkeypatch.setattr("bench.glyphs._families", lambda: ["DejaVu Sans"])
    with plain_text():
        figure = new_figure(2.0, 1.0)
        figure.text(0.5, 0.5, "音é楽")
        figure.canvas.draw()
    assert [one.category for one in recwarn] == [MissingGlyphWarning]
    assert str(recwarn[0].message).startswith("no font here has '音楽', drawn as boxes; install one")


def test_closed_streams_are_null_devices(monkeypatch):
    monkeypatch.setattr("warnings.showwarning", None)
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    prepare_streams()
    terminal().print("x")
    warn("x")
    assert sys.stdin.read() == ""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()


def test_in_another_locale_the_program_begins_again_in_utf8(monkeypatch):
    began: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(os, "execv", lambda program, words: began.append((program, words)))
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
    monkeypatch.setattr(sys, "orig_argv", ["python", "-P", "smdim-bench", "run", "a"])
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    monkeypatch.setenv("PYTHONUTF8", "0")
    monkeypatch.setenv("PYTHONIOENCODING", "")
    monkeypatch.delenv("PYTHONIOENCODING")
    run_in_utf8()
    assert began == [(sys.executable, [sys.executable, "-X", "utf8", "-P", "smdim-bench", "run", "a"])]
    assert (os.environ["PYTHONUTF8"], os.environ["PYTHONIOENCODING"]) == ("1", "latin-1")
    run_in_utf8()  # not a second time, whatever it led to
    assert len(began) == 1


def test_a_study_has_the_same_cells_in_any_locale(tmp_path):
    cell = Cell("quality", {"arm": "trägheit 音", "length": 8, "seed": 0}, {"x": 1})
    store = Store(tmp_path, "study")
    store.write_plan({"name": "study"}, [cell], [])
    store.cell(cell.id).begin(cell)
    store.cell(cell.id).finish("failed", [], reason="ärger")
    ascii_alone = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "COLUMNS": "200"}
    done = subprocess.run(
        python_command("-m", "bench", "status", "study", "--results", str(tmp_path)),
        env={**os.environ, **ascii_alone},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert b"quality-tr?gheit-?-" in done.stdout and b"?rger" in done.stdout and b"1 cells: 1 failed" in done.stdout
