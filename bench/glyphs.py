"""Text in figures: drawn as it is written, in fonts of this machine that have its characters."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

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


@cache
def _families() -> list[Any]:
    from matplotlib.font_manager import fontManager

    here = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in FALLBACKS if name in here)]
