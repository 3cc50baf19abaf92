"""LaTeX tables: escaped text, aligned figures, and a document that compiles without a warning."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from bench.report.pages.content import report_tables
from bench.report.pages.latex import escaped, to_latex
from bench.report.presentation import NumberStyle
from bench.report.tables.table import Entry, Table

KPSEWHICH = shutil.which("kpsewhich")


def has_latex() -> bool:
    """Whether pdflatex is there with booktabs and siunitx."""
    if not (shutil.which("pdflatex") and KPSEWHICH):
        return False
    styles = ("booktabs.sty", "siunitx.sty")
    return all(subprocess.run([KPSEWHICH, name], capture_output=True).returncode == 0 for name in styles)


def test_special_characters_are_escaped():
    assert escaped("50 % of a_b & {c} †") == r"50 \% of a\_b \& \{c\} \textsuperscript{\textdagger}"


def test_a_small_table_in_full():
    rows = (
        (Entry("smdim", mark="†"), Entry.figure(3.905, 3.84, 3.97), Entry("x"), Entry("2")),
        (Entry("mamba"), Entry.figure(-1.0), Entry("y"), Entry("2")),
        (Entry("gru"), Entry.figure(float("nan"), reason="oom"), Entry("z"), Entry("2")),
    )
    lines = to_latex(Table("t", "A title", ("arm", "score", "note", "seeds"), rows), ["device cpu"]).splitlines()
    assert r"\begin{tabular}{lS[table-format=-1.2]@{\,}ll}" in lines
    assert r"arm & \multicolumn{2}{c}{score} & note \\" in lines
    assert r"smdim\textsuperscript{\textdagger} & 3.90 & {\scriptsize[3.84, 3.97]} & x \\" in lines
    assert r"mamba & -1.00 &  & y \\" in lines
    assert r"gru & {n/a} & & z \\" in lines
    assert r"In every row: seeds 2.\par" in lines and r"device cpu\par" in lines


def test_lengths_and_overlaps_stand_under_a_common_head(frame, tmp_path):
    tables = report_tables(frame, tmp_path, "transformer")
    cost, quality = to_latex(tables["Cost"][0]), to_latex(tables["Quality"][0])
    assert r"\multicolumn{8}{c}{length [tokens]}" in cost
    assert "overlapping area" in quality and r"\cmidrule(lr)" in quality
    assert r"\bfseries 12.0" in cost


@pytest.mark.skipif(not has_latex(), reason="needs pdflatex with booktabs and siunitx")
def test_all_tables_compile_without_a_warning(varied, tmp_path):
    tables = [table for section in report_tables(varied, tmp_path, "transformer").values() for table in section]
    body = "\n".join(to_latex(table, ["device cpu; kernels scan=numba"]) + r"\clearpage" for table in tables)
    head = r"\documentclass{article}\usepackage[margin=0.75in]{geometry}\usepackage{booktabs}\usepackage{siunitx}"
    (tmp_path / "doc.tex").write_text(head + "\n\\begin{document}\n" + body + "\n\\end{document}\n")
    for _ in range(2):
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "doc.tex"]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
        assert run.returncode == 0, run.stdout[-2000:]
    log = (tmp_path / "doc.log").read_text(errors="replace")
    assert not re.findall(r"^(?:Overfull|Underfull).*|.*Warning:.*", log, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("[ours] smdim", "{}[ours] smdim"),
        ("*star", "{}*star"),
        ("a & b | c", r"a \& b | c"),
        ("two\nlines", "two lines"),
        ("a$b$c_{x", r"a\$b\$c\_\{x"),
        ("red \x1b[31m", r"red \textbackslash{}x1b[31m"),
        ("_" * 30 + " end", r"\_" * 12 + r"\allowbreak{}" + r"\_" * 12 + r"\allowbreak{}" + r"\_" * 6 + " end"),
    ],
)
def test_latex_prints_a_name_as_it_is(name, shown):
    text = to_latex(Table("t", "T", ("arm", "x"), ((Entry(name), Entry.figure(1.0)),)))
    assert f"{shown} & " in text


def test_a_block_without_a_figure_is_left_out():
    """Rows of references alone, on the second page of a long table, have no settings."""
    settings = [f"setting number {place}" for place in range(12)]
    rows = [
        (Entry(f"({place})", reference=place > 20), Entry.figure(1.0, 0, 2), *[Entry(words)] * len(settings))
        for place, words in enumerate([*"abcdefghijklmnopqrstu", *[""] * 40])
    ]
    text = to_latex(Table("t", "T", ("arm", "score", *settings), tuple(rows)))
    tables = text.split(r"\begin{tabular}{")[1:]
    assert len(tables) > 2 and all(table.count(r" \\") > 1 for table in tables), "a table of a heading alone"


def test_an_arm_in_brackets_is_no_reference():
    rows = (
        (Entry("theirs"), Entry.figure(3.0)),
        (Entry("(ours)"), Entry.figure(1.0)),
        (Entry("(ceiling)", reference=True), Entry.figure(2.0)),
    )
    text = to_latex(Table("t", "T", ("arm", "x"), rows))
    assert text.index("theirs") < text.index("(ours)") < text.rindex(r"\midrule") < text.index("(ceiling)")


@pytest.mark.parametrize(
    ("numbers", "columns", "row"),
    [
        ("1234.5", r"S[table-format=5.2]S[table-format=-1.3]@{\,}l", r"12346 & -0.500 & {\scriptsize[-0.600, -0.400]}"),
        ("1,234.5", r"rS[table-format=-1.3]@{\,}l", r"12,346 & -0.500 & {\scriptsize[-0.600, -0.400]}"),
        ("1 234.5", r"rS[table-format=-1.3]@{\,}l", r"12\,346 & -0.500 & {\scriptsize[-0.600, -0.400]}"),
        ("1234,5", r"rr@{\,}l", r"12346 & $-$0,500 & {\scriptsize[-0,600; -0,400]}"),
        ("1.234,5", r"rr@{\,}l", r"12.346 & $-$0,500 & {\scriptsize[-0,600; -0,400]}"),
        ("1 234,5", r"rr@{\,}l", r"12\,346 & $-$0,500 & {\scriptsize[-0,600; -0,400]}"),
    ],
)
def test_numbers_in_another_style_are_set_as_written(numbers, columns, row):
    rows = (
        (Entry("smdim"), Entry.figure(12345.6), Entry.figure(-0.5, -0.6, -0.4)),
        (Entry("mamba"), Entry.figure(2.5), Entry.figure(0.25)),
    )
    lines = to_latex(Table("t", "T", ("arm", "x", "y"), rows).written(NumberStyle.of(numbers))).splitlines()
    assert rf"\begin{{tabular}}{{l{columns}}}" in lines
    assert rf"smdim & {row} \\" in lines


def test_groups_of_digits_are_no_decimals():
    rows = ((Entry("a"), Entry.count(2048)), (Entry("b"), Entry.count(512)))
    text = to_latex(Table("t", "T", ("arm", "tokens"), rows).written(NumberStyle.of("1.234,5")))
    assert r"\begin{tabular}{lr}" in text and r"a & 2.048 \\" in text
