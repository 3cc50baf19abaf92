"""Labels: names in one line, as wide as they may be, and still different."""

import pytest
from matplotlib import font_manager

from bench import glyphs
from bench.glyphs import labels_of, shortened


@pytest.mark.parametrize(
    ("text", "columns", "label"),
    [
        ("as it is", 8, "as it is"),
        ("beginning and end", 9, "begin…end"),
        ("音楽のトラック", 8, "音楽…ク"),
        ("two\nlines", 20, r"two\nlines"),
        ("a$b [c] \x1b[31m", 40, r"a$b [c] \x1b[31m"),
    ],
)
def test_a_label_is_one_line_that_keeps_its_beginning_and_its_end(text, columns, label):
    assert shortened(text, columns) == label


def test_names_that_become_one_label_are_told_apart_by_numbers():
    assert labels_of(["a" * 50 + "1" + "b" * 50, "a" * 50 + "2" + "b" * 50, "c"], 11) == [
        "1: aa…bbbbb",
        "2: aa…bbbbb",
        "c",
    ]


def test_a_font_that_is_installed_after_matplotlib_made_its_list_is_found(monkeypatch, tmp_path):
    known = font_manager.fontManager.ttflist
    (font,) = [one for one in known if one.name == "STIXGeneral" and one.style == "normal" and one.weight == 400]
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [one for one in known if one.name != "STIXGeneral"])
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(tmp_path / "broken.ttf"), font.fname])
    monkeypatch.setattr(glyphs, "FALLBACKS", ("Noto Sans Nowhere", "STIXGeneral"))
    assert glyphs._families.__wrapped__() == ["DejaVu Sans", "STIXGeneral"]
