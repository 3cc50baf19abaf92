"""docs/layout.md lists every product file once, with a comment."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def listed_files(text: str) -> dict[str, str]:
    """Path -> comment of the file lists of docs/layout.md: a table per folder, under a heading that is its path."""
    found: dict[str, str] = {}
    folder = ""
    for line in text.splitlines():
        if heading := re.fullmatch(r"#+ `(.+)/`.*", line):
            folder = heading[1]
        elif row := re.fullmatch(r"\| `([\w.]+\.py)` \| (.+) \|", line):
            found[f"{folder}/{row[1]}"] = row[2].strip()
    return found


def product_files() -> set[str]:
    """Every .py file of the product; an `__init__.py` with nothing but a docstring needs no line."""
    found = {path for room in ("architectures", "metrics", "bench", "tools") for path in (ROOT / room).rglob("*.py")}
    empty = {path for path in found if path.name == "__init__.py" and len(ast.parse(path.read_text()).body) <= 1}
    return {path.relative_to(ROOT).as_posix() for path in found - empty}


def layout_faults(text: str) -> list[str]:
    """Product files without a line, lines without a file, and files with two lines."""
    listed = listed_files(text)
    rows = len(re.findall(r"^\| `[\w.]+\.py`", text, re.MULTILINE))
    missing = [f"{path}: not in docs/layout.md" for path in sorted(product_files() - set(listed))]
    gone = [f"{path}: listed, but there is no such file" for path in sorted(listed) if not (ROOT / path).is_file()]
    return missing + gone + [f"{rows - len(listed)} files are listed twice"] * (rows != len(listed))


def test_the_layout_lists_every_product_file_once_with_a_comment() -> None:
    faults = layout_faults((ROOT / "docs" / "layout.md").read_text())
    assert not faults, "\n".join(faults)


def test_planted_faults_of_the_layout_are_found() -> None:
    text = (ROOT / "docs" / "layout.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| `files.py` | files that are whole"))
    assert layout_faults(text.replace(row, "")) == ["bench/files.py: not in docs/layout.md"]
    renamed = row.replace("files.py", "no_such_file.py")
    assert layout_faults(text.replace(row, f"{row}\n{renamed}")) == [
        "bench/no_such_file.py: listed, but there is no such file"
    ]
    assert layout_faults(text.replace(row, f"{row}\n{row}")) == ["1 files are listed twice"]
