"""Text in figures: drawn as it is written, in fonts of this machine that have its characters."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from bench.errors import in_one_line

FALLBACKS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR", "Source Han Sans", "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei", "Droid Sans Fallback", "IPAGothic", "TakaoGothic", "VL Gothic", "Unifont",
    "Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Arial Unicode MS", "Yu Gothic", "Microsoft YaHei",
    "Malgun Gothic", "Noto Sans Symbols", "Noto Sans Symbols 2", "Noto Emoji", "Noto Sans Devanagari",
    "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Thai",
)  # fmt: skip
"""Fonts asked for a character that DejaVu Sans lacks, in this order, where they are installed."""
MISSING = re.compile(r"Glyph (\d+) ")


class MissingGlyphWarning(UserWarning):
    """Characters of a figure that no font here has; the message is one line."""


@contextmanager
def plain_text() -> Iterator[None]:
    """Draw figures in which `$` is a dollar sign; characters without a font end in one warning of one line."""
    import matplotlib

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with matplotlib.rc_context({"text.parse_math": False, "font.family": _families()}):
            yield
    missing: dict[str, None] = {}
    for one in caught:
        if found := MISSING.match(str(one.message)):
            missing[chr(int(found[1]))] = None
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno, source=one.source)
    if missing:
        words = f"no font here has {''.join(missing)!r}, drawn as boxes; install one that has, such as Noto Sans CJK"
        warnings.warn(MissingGlyphWarning(words), stacklevel=3)


def shortened(text: str, columns: int) -> str:
    """A text in one line of at most `columns` letters, of which those of East Asia take two; what its middle loses
    stands as `…`."""
    from rich.cells import cell_len, set_cell_size

    text = in_one_line(text)
    if cell_len(text) <= columns:
        return text
    tail = set_cell_size(text[::-1], (columns - 1) // 2).rstrip()[::-1]
    return f"{set_cell_size(text, columns - 1 - cell_len(tail)).rstrip()}…{tail}"


def labels_of(names: Sequence[str], columns: int) -> list[str]:
    """Names as labels of at most `columns` letters (`shortened`); those that would be equal begin with a number."""
    labels = {name: shortened(name, columns) for name in names}
    count = Counter(labels.values())
    for place, (name, label) in enumerate(labels.items(), start=1):
        if count[label] > 1:
            labels[name] = shortened(f"{place}: {name}", columns)
    return [labels[name] for name in names]


@cache
def _families() -> list[Any]:
    from matplotlib.font_manager import findSystemFonts, fontManager

    known = {font.fname for font in fontManager.ttflist}
    for path in findSystemFonts():
        if path not in known:  # installed after matplotlib had made its list, which it keeps
            with suppress(OSError, RuntimeError):  # no font that can be read
                fontManager.addfont(path)
    here = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in FALLBACKS if name in here)]
