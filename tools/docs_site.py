"""Hooks of MkDocs that make a site of README, the pages of docs/ and all files that they link to.

    make docs

Pages keep their places, so that a link is right in the repository and in the site. What is no Markdown and is read as
text, a notebook or a source file, becomes a page beside its own name, a folder without README a list of its pages.
Imports MkDocs late: the tests run without it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<=\]\()(?!https?:)([^)\s#]+)")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".cff": "yaml"}
STYLE = """\
.md-grid { max-width: 76rem; }
.md-typeset table:not([class]) th, .md-typeset table:not([class]) td { padding: .4em .7em; min-width: 0; }
.md-typeset pre > code { white-space: pre-wrap; }
.md-typeset h1, .md-typeset h2 { font-weight: 500; color: inherit; }
"""
"""Room for wide tables; lines of code wrap."""


def links(page: Path) -> list[Path]:
    """Files of the repository to which a Markdown page links, in order; links inside code are none."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return list(dict.fromkeys((page.parent / link).resolve() for link in LINK.findall(text)))


def site_files() -> list[Path]:
    """README and every file reached from it by links, with the pages of docs/ whether linked or not."""
    files: dict[Path, None] = {}
    left = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    while left:
        path = left.pop(0)
        if path.is_dir() and (path / "README.md").is_file():
            path /= "README.md"
        if path.exists() and path not in files:
            files[path] = None
            left += links(path) if path.suffix == ".md" else []
    return list(files)


def navigation() -> list[Any]:
    """README, the pages of docs/ in the order in which README's section Documentation names them, and results."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Documentation\n")[2]
    pages = [shown(ROOT, link) for link in LINK.findall(section.partition("\n## ")[0]) if link.startswith("docs/")]
    results = [
        path.relative_to(ROOT).as_posix()
        for path in site_files()
        if path.suffix == ".md" and path.is_relative_to(ROOT / "results")
    ]
    return ["README.md", *pages, {"Results": [{name_of(page): page} for page in sorted(results)]}]


def name_of(page: str) -> str:
    """Short name of a page of results: `results/reference/cpu-2-cores/aa/report.md` is `cpu-2-cores/aa`."""
    path = Path(page).relative_to("results/reference")
    return str(path.parent if path.stem in ("README", "report") else path.with_suffix(""))


def shown(folder: Path, link: str) -> str:
    """Link to the page that shows what `link` names, seen from `folder`; pages and images stand for themselves."""
    if (path := folder / link).is_dir():
        return f"{link.rstrip('/')}/{'README' if (path / 'README.md').is_file() else 'index'}.md"
    return f"{link}.md" if path.suffix in (*LANGUAGES, ".ipynb") else link


def as_markdown(path: Path) -> str:
    """A notebook as its cells, a source file as one block of code, a folder as a list of the site's pages in it."""
    if path.is_dir():
        pages = sorted(page.relative_to(path).as_posix() for page in site_files() if page.is_relative_to(path))
        return "\n".join([f"# {path.name}", "", *(f"- [{page}]({page})" for page in pages if page.endswith(".md"))])
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return f"# {path.name}\n\n````{LANGUAGES[path.suffix]}\n{text.rstrip()}\n````\n"
    cells = json.loads(text)["cells"]
    parts = ["".join(cell["source"]) for cell in cells]
    return "\n\n".join(
        part if cell["cell_type"] == "markdown" else f"```python\n{part}\n```"
        for cell, part in zip(cells, parts, strict=True)
    )


def on_config(config: Any) -> Any:
    """Set the navigation."""
    config["nav"] = navigation()
    return config


def on_files(files: Any, config: Any) -> Any:
    """Replace the files of `docs_dir` by those of the site; the theme's own stay."""
    from mkdocs.structure.files import File, Files

    kept = [file for file in files if not Path(file.abs_src_path or "").is_relative_to(ROOT / "docs")]
    for path in site_files():
        name = path.relative_to(ROOT).as_posix()
        if shown(ROOT, name) == name:
            kept.append(File.generated(config, name, abs_src_path=str(path)))
        else:
            kept.append(File.generated(config, shown(ROOT, name), content=as_markdown(path)))
    return Files([*kept, File.generated(config, "site.css", content=STYLE)])


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links to a source file, a notebook or a folder lead to the page that shows it."""
    folder = (ROOT / page.file.src_uri).parent
    return LINK.sub(lambda link: shown(folder, link[1]), markdown)
