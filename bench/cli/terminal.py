"""The terminal: every command prints through `terminal()`, `print_line`, `print_document` or `warn`, in which text is
text and no markup, and control characters are escapes (`EscapingConsole`)."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from bench.errors import in_one_line
from bench.glyphs import MissingGlyphWarning

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from bench.report.tables.table import Table

LEAST_WIDTH, MOST_WIDTH = 20, 10_000


def terminal(*, error: bool = False, quiet: bool = False) -> Console:
    """A console on stdout, or on stderr; names in square brackets are printed as they are, control characters of names
    as escapes."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

    class EscapingConsole(Console):
        def render_str(self, text: str, **how: Any) -> Text:
            return super().render_str(_escaped(text), **how)

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            if isinstance(renderable, Text) and (escaped := _escaped(renderable.plain)) != renderable.plain:
                renderable = renderable.copy()
                renderable.plain = escaped
            return super().render(renderable, options)

    return EscapingConsole(stderr=error, quiet=quiet, markup=False, emoji=False, highlight=False)


def print_line(text: object, *, error: bool = False) -> None:
    """Print a text of one line on stdout, or on stderr, however wide the terminal is."""
    print(in_one_line(str(text)), file=sys.stderr if error else sys.stdout, flush=True)


def print_document(text: str) -> None:
    """Print a document on stdout, its lines as they are."""
    print(_escaped(text), end="", flush=True)


def print_tables(tables: Sequence[Table], output: Path | None = None) -> None:
    """Print tables of a report on stdout, and write them into a Markdown file where one is given."""
    from bench.files import write_atomically
    from bench.report.pages.terminal import print_table

    console = terminal()
    for table in tables:
        print_table(console, table)
    if output is not None:
        write_atomically(output, "\n".join(table.under_title("##") for table in tables))


def _escaped(text: str) -> str:
    return "\n".join(map(in_one_line, text.split("\n")))


def warn(words: str) -> None:
    """Print a warning of one line on stderr."""
    from rich.text import Text

    terminal(error=True).print(Text("warning: ", style="yellow") + Text(words), soft_wrap=True)


def run_in_utf8() -> None:
    """Begin the program again in Python's UTF-8 mode where the locale is another one: a file of a study has one name
    in every locale. What it prints stays in the encoding of the terminal."""
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1" or not sys.executable:
        return
    printed = getattr(sys.stdout, "encoding", None) or "utf-8"
    os.environ["PYTHONUTF8"] = "1"
    os.environ.setdefault("PYTHONIOENCODING", printed)
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def prepare_streams() -> None:
    """Make stdout print any text, as stderr does: a character that its encoding lacks becomes a replacement sign, a
    byte of a file name that is no UTF-8 its number. A stream that is closed becomes the null device. A width of COLUMNS
    at which no table is readable, or that is no number, is left out."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, _null_stream(number))
    if isinstance(sys.stdout, io.TextIOWrapper):
        unicode = sys.stdout.encoding.lower().startswith("utf")
        sys.stdout.reconfigure(errors="backslashreplace" if unicode else "replace")
    columns = os.environ.get("COLUMNS", "")
    is_width = columns.isdecimal() and len(columns) <= len(str(MOST_WIDTH))  # int() refuses 4,300 digits
    if not is_width or not LEAST_WIDTH <= int(columns) <= MOST_WIDTH:
        os.environ.pop("COLUMNS", None)
    warnings.showwarning = _show_warning


def _null_stream(number: int) -> TextIO:
    """A closed stream as the null device under its own number, which the next file to be opened would get."""
    handle = os.open(os.devnull, os.O_RDWR)  # the smallest number that is free
    return os.fdopen(handle, "w" if number else "r", encoding="utf-8", closefd=handle != number)


_default_show = warnings.showwarning
_shown: set[str] = set()


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Our own warnings as one line, each once; others as Python shows them."""
    if not issubclass(category, MissingGlyphWarning):
        _default_show(message, category, filename, lineno, file, line)
    elif str(message) not in _shown:
        _shown.add(str(message))
        warn(str(message))
