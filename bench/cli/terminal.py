"""The terminal: every command prints through `terminal()`, in which text is text and no markup."""

from __future__ import annotations

import io
import os
import sys
import warnings
from typing import TYPE_CHECKING, TextIO

from bench.glyphs import MissingGlyphWarning

if TYPE_CHECKING:
    from rich.console import Console


def terminal(*, error: bool = False, quiet: bool = False) -> Console:
    """A console on stdout, or on stderr; names in square brackets are printed as they are."""
    from rich.console import Console

    return Console(stderr=error, quiet=quiet, markup=False, emoji=False, highlight=False)


def warn(words: str) -> None:
    """Print a warning of one line on stderr."""
    from rich.text import Text

    terminal(error=True).print(Text("warning: ", style="yellow") + Text(words), soft_wrap=True)


def prepare_streams() -> None:
    """Make stdout print any text, as stderr does: a character that its encoding lacks becomes a replacement sign, a
    byte of a file name that is no UTF-8 its number. A width of COLUMNS that is no positive number is left out."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        unicode = sys.stdout.encoding.lower().startswith("utf")
        sys.stdout.reconfigure(errors="backslashreplace" if unicode else "replace")
    columns = os.environ.get("COLUMNS", "")
    if not columns.isdecimal() or int(columns) == 0:
        os.environ.pop("COLUMNS", None)
    warnings.showwarning = _show_warning


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
