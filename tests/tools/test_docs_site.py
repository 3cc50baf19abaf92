"""The site's files, order and links, without MkDocs."""

from pathlib import Path
from types import SimpleNamespace

import docs_site
import pytest


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pages, a report with an image, a source file, a notebook, and files that nothing links to."""
    texts = {
        "README.md": "[a](docs/a.md)\n\n## Documentation\n\n[b](docs/b.md#x) [n](docs/n.ipynb) [a](docs/a.md)\n\n## E",
        "docs/a.md": "[s](../src/s.py)\n\n```text\n[no link](../src/unread.py)\n```\n[e](https://x.org/e.py)\n",
        "docs/b.md": "[r](../results/reference/cpu/study/report.md) [f](../results/) [m](../more) [gone](gone.md)\n",
        "more/README.md": "",
        "docs/unlinked.md": "",
        "docs/n.ipynb": '{"cells": [{"cell_type": "markdown", "source": ["# N\\n", "text"]}, '
        '{"cell_type": "code", "source": ["1 + 1"]}]}',
        "results/reference/cpu/study/report.md": "![i](figures/i.png)\n",
        "results/reference/cpu/study/figures/i.png": "",
        "results/reference/cpu/study/figures/unread.png": "",
        "src/s.py": "x = 1\n",
        "src/unread.py": "",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(docs_site, "ROOT", tmp_path)
    return tmp_path


def test_the_site_holds_the_pages_and_what_they_link_to(repository: Path) -> None:
    assert {path.relative_to(repository).as_posix() for path in docs_site.site_files()} == {
        *("README.md", "docs/a.md", "docs/b.md", "docs/unlinked.md", "docs/n.ipynb", "src/s.py"),
        *("results", "results/reference/cpu/study/report.md", "results/reference/cpu/study/figures/i.png"),
        "more/README.md",
    }


def test_the_order_is_that_of_the_readme(repository: Path) -> None:
    results = {"Results": [{"cpu/study": "results/reference/cpu/study/report.md"}]}
    assert docs_site.navigation() == ["README.md", "docs/b.md", "docs/n.ipynb.md", "docs/a.md", results]


def test_sources_notebooks_and_folders_are_pages_to_which_links_lead(repository: Path) -> None:
    assert docs_site.as_markdown(repository / "src" / "s.py") == "# s.py\n\n````python\nx = 1\n````\n"
    assert docs_site.as_markdown(repository / "docs" / "n.ipynb") == "# N\ntext\n\n```python\n1 + 1\n```"
    listed = docs_site.as_markdown(repository / "results").splitlines()
    assert listed == ["# results", "", "- [reference/cpu/study/report.md](reference/cpu/study/report.md)"]
    page = SimpleNamespace(file=SimpleNamespace(src_uri="docs/b.md"))
    linked = "[s](../src/s.py) [n](n.ipynb#x) [p](a.md) [f](../results/) [m](../more) [e](https://x.org/e.py) `f(x.py)`"
    assert docs_site.on_page_markdown(linked, page) == (
        "[s](../src/s.py.md) [n](n.ipynb.md#x) [p](a.md) [f](../results/index.md) [m](../more/README.md) "
        "[e](https://x.org/e.py) `f(x.py)`"
    )


def test_every_page_of_docs_is_in_the_navigation() -> None:
    pages = {f"docs/{path.name}" for path in (docs_site.ROOT / "docs").glob("*.md")}
    assert pages <= {page for page in docs_site.navigation() if isinstance(page, str)}
