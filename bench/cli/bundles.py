"""`export` and `import`: a study's results as one file, to hand to a co-author or attach to a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import RESULTS, FinishedStudy, LicenceOption, ResultsOption
from bench.cli.terminal import print_line, warn


def export(
    study: FinishedStudy,
    output: Annotated[Path, typer.Option("-o", "--output", help="Zip file to write; with --light a folder.")],
    light: Annotated[
        bool,
        typer.Option("--light", help="A folder to commit: table, report, times, no music; `report` reads it."),
    ] = False,
    described: Annotated[
        bool, typer.Option("--crate", help="Add RO-Crate metadata: what each file is, licence, citation, software.")
    ] = False,
    licence: LicenceOption = None,
    results: ResultsOption = RESULTS,
) -> None:
    """Write results, configurations, environments and samples of a study into a zip file, without checkpoints."""
    from bench.citation import check_licence
    from bench.cli.options import results_folder
    from bench.errors import UserError
    from bench.report import write_report
    from bench.store.bundle import export_bundle
    from bench.store.light import copy_light

    if light and described:
        raise UserError("--light, --crate: allowed: one of them")
    if licence and not described:
        raise UserError("--license: allowed: with --crate, whose metadata names it")
    licence = check_licence(licence) if licence else ""
    folder = results_folder(study, results)
    if light:
        exported = copy_light(folder, output, write_report)
    else:
        exported = export_bundle(folder, output, described=described, licence=licence)
    for name in exported.left_out:
        warn(f"{name} is left out: a bundle holds no file of such a name")
    print_line(f"{output}: {exported.cells} cells, {exported.files} files, {exported.bytes / 2**20:.1f} MiB")


def import_(
    bundle: Annotated[Path, typer.Argument(help="Zip file that `export` wrote.")],
    name: Annotated[
        str | None, typer.Option("--as", help="Name of the study here; default: as it was exported.")
    ] = None,
    results: ResultsOption = RESULTS,
) -> None:
    """Add a study from a zip file; every path, size and checksum is checked before anything is kept."""
    from bench.store.bundle import import_bundle

    imported = import_bundle(bundle, results, name)
    print_line(f"{imported.folder}: {imported.cells} cells, {imported.files} files, {imported.bytes / 2**20:.1f} MiB")
