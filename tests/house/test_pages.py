"""Links, tables and named files of README and the pages of docs/."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it.token import Token
from pages import PAGES, ROOT, inline, tokens


def plain(token: Token) -> str:
    """Text of an inline token without its markup."""
    return "".join(child.content for child in token.children or [])


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings as the common hosts of Markdown make them."""
    found = tokens(page)
    titles = [plain(after) for token, after in pairwise(found) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> list[str]:
    return [
        str(token.attrs.get("href") or token.attrs.get("src"))
        for token in inline(page)
        if token.type in ("link_open", "image")
    ]


def broken_links(page: Path) -> list[str]:
    """Relative links of a page without a target file, or without the heading that their anchor names."""
    broken = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        found = target.exists() and (not anchor or anchor in anchors(target))
        broken += [link] * (not found and not link.startswith(("https:", "http:")))
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_and_anchor_resolves(page: Path) -> None:
    assert broken_links(page) == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(
        "# A title, *so*\n[a](#a-title-so) [b](#b) [c](page.md#a-title-so) [d](gone.md) ![e](e.png) [f](https://x.org)\n"
    )
    assert broken_links(tmp_path / "page.md") == ["#b", "gone.md", "e.png"]


def test_every_page_is_reached_from_the_readme() -> None:
    reached = {(ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md")}
    assert set(PAGES[1:]) <= reached


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_row_of_a_table_has_the_columns_of_its_heading(page: Path) -> None:
    rows = []
    for line in (*page.read_text().splitlines(), ""):
        if line.startswith("|"):
            rows.append(len(re.findall(r"(?<!\\)\|", line)))
        else:
            assert len(set(rows)) <= 1, f"{page.name}: the table above {line!r}"
            rows = []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_and_module_named_exists(page: Path) -> None:
    for token in inline(page):
        if token.type != "code_inline":
            continue
        if re.fullmatch(r"(architectures|metrics|bench|tests|tools|docs|results/reference)/[\w./-]*", token.content):
            assert (ROOT / token.content).exists(), token.content
        if name := re.fullmatch(r"(?!.*\.py$)((?:architectures|metrics|bench)(?:\.\w+)+)", token.content):
            assert names_something(name[1]), name[1]


def names_something(dotted: str) -> bool:
    """Whether `package.module.name` is a module of the product, or a name that its file holds."""
    path = ROOT.joinpath(*dotted.split("."))
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    owner = path.parent / "__init__.py" if path.parent.is_dir() else path.parent.with_suffix(".py")
    return owner.is_file() and re.search(rf"\b{path.name}\b", owner.read_text()) is not None
