"""`list`: architectures, mixers, metrics, studies and corpora."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from enum import StrEnum
from itertools import groupby
from typing import Annotated

import typer

from bench.cli.terminal import terminal


class Topic(StrEnum):
    """What `list` can show."""

    architectures = "architectures"
    mixers = "mixers"
    metrics = "metrics"
    studies = "studies"
    corpora = "corpora"


def list_topics(
    topic: Annotated[Topic | None, typer.Argument(help="One topic only; all of them when left out.")] = None,
) -> None:
    """Show the arms, mixers, metrics, studies and corpora there are."""
    shown: dict[Topic, Callable[[], None]] = {
        Topic.studies: _studies,
        Topic.architectures: _architectures,
        Topic.mixers: _mixers,
        Topic.metrics: _metrics,
        Topic.corpora: _corpora,
    }
    for name, show in shown.items():
        if topic in (None, name):
            show()


def _table(title: str, rows: Sequence[tuple[str, ...]], *headers: str) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for place, header in enumerate(headers):
        table.add_column(header, no_wrap=place == 0, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = terminal()
    console.print(table)
    console.print()


def _first_sentence(text: str | None) -> str:
    return " ".join((text or "").strip().split("\n\n")[0].split())


def _studies() -> None:
    from bench.study.grid import STUDIES_FOLDER
    from bench.study.yaml import read_yaml

    rows = []
    for path in sorted(STUDIES_FOLDER.rglob("*.yaml"), key=lambda path: (len(path.parts), path)):
        content, _ = read_yaml(path)
        if "question" in content:
            rows.append((path.relative_to(STUDIES_FOLDER).with_suffix("").as_posix(), str(content["question"])))
    _table("studies", rows, "name", "question")


def _architectures() -> None:

    from bench.cli.architectures import print_architectures

    print_architectures(terminal())


def _mixers() -> None:
    from architectures.registry import registered_mixers

    rows = [(letter, mixer.name, _first_sentence(mixer.__doc__)) for letter, mixer in registered_mixers().items()]
    _table("mixers", rows, "letter", "name", "what it is")


def _metrics() -> None:
    import metrics
    from metrics.quantities import quantities

    offered = {name: getattr(metrics, name) for name in metrics.__all__}
    rows = [(name, _first_sentence(value.__doc__)) for name, value in offered.items() if inspect.isfunction(value)]
    _table("metrics", rows, "function", "what it computes")
    for kind, members in groupby(quantities(), key=lambda one: one.kind):
        names = [(one.name, one.unit, one.better, one.definition) for one in members]
        _table(f"measured names: {kind}", names, "name", "unit", "better", "definition")


def _corpora() -> None:
    from bench.data import corpora_words

    _table("corpora", corpora_words(), "name", "what it is")
