"""Page of all figures, docs/gallery.md: title, caption, committed image and command of each registered figure.

    python tools/gallery.py

Run it after a figure was added or its caption changed. The image is the first of results/reference that has its name.
"""

from __future__ import annotations

from pathlib import Path

from bench.report.figures import FIGURES
from bench.report.figures.figure import RegisteredFigure

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "gallery.md"
FIRST = "quickstart"  # its images, and those of its sweep, stand before those of other studies
OWN_STUDY = ("orders", "lengths")
"""Figures that the study of their name draws, where no image is committed."""
HEAD = """\
# Gallery

Every figure that `smdim-bench figure` draws, with its command. The study is a name or the path of a results folder; the
file's ending chooses PDF, SVG or PNG; `--width 3.3` is one column, 7 (the default) two. A report draws those for which
its study has rows. Images are of [committed results](../results/reference/cpu-2-cores/quickstart/report.md): small
networks on two CPU cores. How to add a figure: [reports](reports.md#add-a-figure).
"""
TAIL = """
## Figures of other commands

![Ratio of GFLOPs over 720 sizes](../results/reference/claim-map/gflops_ratio.png)

```sh
smdim-bench claims --map                              # over which sizes a published claim could hold
```

![FLOPs and calls of a piece against length, by process](../results/reference/claim-map-diffumamba/pieces.png)

```sh
smdim-bench claims --map --paper diffumamba           # FLOPs and calls of a piece against its length, with exponents
```

![What each metric notices](../results/reference/metric-sensitivity/figure.png)

```sh
smdim-bench sensitivity --corpus pop909 -o card/      # what each metric notices of graded damage
```

![Bars 4 to 7 of a song, as given and drawn anew twice](../results/reference/samples/infilled-bars/rolls.png)

```sh
smdim-bench generate RUN -o bars/ --infill song.mid --bars 4:8 --report
```
"""


def image_of(name: str) -> Path | None:
    """Committed image of a figure; None where there is none."""
    found = sorted((ROOT / "results" / "reference").rglob(f"figures/{name}.png"))
    return min(found, key=lambda path: (not path.parts[-3].startswith(FIRST), path.parts[-3] != FIRST), default=None)


def entry(figure: RegisteredFigure) -> str:
    """Section of one figure."""
    image = image_of(figure.name)
    study = image.parts[-3] if image else figure.name if figure.name in OWN_STUDY else FIRST
    if image and not (ROOT / "bench" / "studies" / f"{study}.yaml").is_file():
        study = image.parents[1].relative_to(ROOT).as_posix()
    path = f"../{image.relative_to(ROOT).as_posix()}" if image else ""
    shown = f"[![{figure.title}]({path})]({path})" if image else "No image of it is committed."
    command = f"smdim-bench figure {figure.name} {study} -o {figure.name}.pdf"
    return f"\n## {figure.title}\n\n{shown}\n\n{figure.caption}\n\n```sh\n{command}\n```\n"


def page() -> str:
    """The whole page."""
    return HEAD + "".join(map(entry, FIGURES.values())) + TAIL


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
