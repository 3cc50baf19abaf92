"""`card`: model cards of a study's arms, to publish them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import RESULTS, FinishedStudy, LicenceOption, ResultsOption, results_folder
from bench.cli.terminal import print_line


def card(
    study: FinishedStudy,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write: one folder an arm.")],
    licence: LicenceOption = None,
    dataset: Annotated[
        str,
        typer.Option(help="Id of the benchmark's data set on the Hub, ORG/NAME; default: the corpus by its name here."),
    ] = "",
    results: ResultsOption = RESULTS,
) -> None:
    """Write a model card with `model-index` and `.eval_results` YAML for each arm, in the formats of Hugging Face."""
    from bench.citation import check_licence
    from bench.errors import UserError, quoted
    from bench.report.pages.card import cards, write_cards
    from bench.report.pages.writer import read_table

    if dataset and not re.fullmatch(r"[\w.-]+/[\w.-]+", dataset, re.ASCII):
        raise UserError(f"--dataset {quoted(dataset)}: allowed: ORG/NAME of a data set on the Hub")
    folder = results_folder(study, results)
    written = cards(read_table(folder), folder, check_licence(licence) if licence else "", dataset)
    if not written:
        raise UserError(f"{folder}: no trained arm has a figure of quality, so there is nothing to write a card of")
    write_cards(written, output)
    print_line(f"{output}: cards of {', '.join(one.name for one in written)}")
    if not dataset:
        print_line(
            "the Hub lists .eval_results of data sets that are registered there as benchmarks: --dataset ORG/NAME"
        )
