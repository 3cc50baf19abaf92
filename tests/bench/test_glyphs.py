"""Labels: names in one line, as wide as they may be, and still different."""

import pytest

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
