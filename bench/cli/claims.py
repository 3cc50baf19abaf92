"""`claims`: the verdict on each claim of a paper in a study, and the sizes over which a claim could hold."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import RESULTS, ResultsOption
from bench.cli.terminal import terminal

if TYPE_CHECKING:
    from rich.console import Console

    from bench.report.claims.paper import Paper


def claims(
    study: Annotated[
        str | None, typer.Argument(help="Name of a study that was run, or path of its results folder.")
    ] = None,
    paper: Annotated[
        str, typer.Option(help="Name of a paper, or path of a YAML file like papers/smdim.yaml.")
    ] = "smdim",
    sizes: Annotated[
        bool, typer.Option("--map", help="Count FLOPs and training memory over many sizes instead; needs no study.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for the map; default RESULTS/claim-map.")
    ] = None,
    width: Annotated[float, typer.Option(help="Width of the map's figures in inches.")] = 7.0,
    results: ResultsOption = RESULTS,
) -> None:
    """Say of each published claim whether it holds in a study: reproduced, contradicted, inconclusive, not
    comparable.

    With --map: over which widths, depths, strides and ways of matching the arms it would hold; of a paper on the cost
    of a piece, over which sizes, strides and lengths.
    """
    from bench.errors import UserError
    from bench.report.claims.paper import load_paper

    chosen = load_paper(paper)
    if sizes:
        from bench.report.claims.pieces import piece_claims

        draw = _draw_pieces if piece_claims(chosen) else _draw_map
        draw(chosen, output or results / "claim-map", width)
    elif study is None:
        raise UserError("claims: name a study that was run, or ask for --map")
    else:
        _print_verdicts(chosen, study, results)


def _print_verdicts(chosen: Paper, study: str, results: Path) -> None:
    from bench.cli.options import results_folder
    from bench.report.claims.beside import figures_beside
    from bench.report.claims.paper import claims_hash, finding_words
    from bench.report.claims.verdict import accepted_words, fixed_before, judge, verdict_words
    from bench.report.rows.frame import as_frame
    from bench.report.tables.numbers import with_interval
    from bench.store.table import load_results

    folder = results_folder(study, results)
    frame = as_frame(load_results(folder))
    console = terminal()
    console.print(chosen.title)
    for one in judge(chosen, frame, folder):
        found = one.measured
        lines = {
            "claim": one.claim.text,
            "verdict": verdict_words(one),
            "measured": with_interval(found.value, found.low, found.high),
            "accepted": accepted_words(one.claim),
            "where": "; ".join(word for word in (found.where, found.note) if word),
            "cells": " ".join(found.cell_ids),
        }
        _print_block(console, one.claim.id, lines)
    for beside in figures_beside(chosen, frame, folder):
        _print_block(console, f"{beside.figure.what} (shown, not compared)", beside.words)
    console.print(f"\n{fixed_before(folder, chosen)} Hash of the acceptance intervals: {claims_hash(chosen)}")
    console.print(f"Settings behind the published figures that are not known to us: {chosen.not_known}")
    for words in finding_words(chosen):
        console.print(words)


def _print_block(console: Console, title: str, lines: Mapping[str, str]) -> None:
    text = [_wrapped(name, text, console.width) for name, text in lines.items() if text]
    console.print("\n".join(["", title, *text]), soft_wrap=True)


def _wrapped(name: str, text: str, width: int) -> str:
    """`name` and, beside it, `text` in lines of `width` columns; a word longer than that (an id) stays whole."""
    first, next_ = f"  {name:10}", " " * 12
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=next_, break_long_words=False, break_on_hyphens=False
    )


def _draw_map(chosen: Paper, folder: Path, width: float) -> None:
    """Count, draw and write the map: `map.csv`, `README.md`, and a figure a claim."""
    import pandas as pd

    from bench.files import write_atomically
    from bench.measure.claim_map import MATCHINGS, claim_map
    from bench.report.claims.mapped import map_table, mapped_claims
    from bench.report.figures import check_width
    from bench.report.figures.claim_map import claim_map_figure
    from bench.report.figures.style import save_figure
    from bench.report.pages.terminal import print_table

    check_width(width)
    (arm, baseline), mapped = mapped_claims(chosen)
    console = terminal()
    rows = pd.DataFrame(claim_map(arm, baseline))
    table = map_table(chosen, rows, MATCHINGS)
    write_atomically(folder / "map.csv", rows.to_csv(index=False))
    text = [f"# {table.title}", "", f"{arm} against {baseline}, {len(rows)} settings.", "", table.to_markdown(), ""]
    for one in mapped:
        path = folder / f"{one.column}.png"
        save_figure(claim_map_figure(rows, one, width=width), path)
        save_figure(claim_map_figure(rows, one, width=width), path.with_suffix(".pdf"))
        text += [f"![{one.words}]({path.name})", ""]
    write_atomically(folder / "README.md", "\n".join(text))
    print_table(console, table)
    console.print(f"{len(rows)} settings; map: {folder / 'README.md'}", soft_wrap=True)


def _draw_pieces(chosen: Paper, folder: Path, width: float) -> None:
    """Count, draw and write the FLOPs and calls of a piece: `map.csv`, `README.md` and the figure `pieces`."""
    import pandas as pd

    from bench.files import write_atomically
    from bench.measure.piece_map import PROCESSES, piece_map
    from bench.report.claims.pieces import piece_table
    from bench.report.figures import check_width
    from bench.report.figures.pieces import CAPTION, pieces_figure
    from bench.report.figures.style import save_figure
    from bench.report.pages.terminal import print_table

    check_width(width)
    console = terminal()
    rows = pd.DataFrame(piece_map())
    table = piece_table(chosen, rows)
    write_atomically(folder / "map.csv", rows.to_csv(index=False))
    for ending in ("png", "pdf"):
        save_figure(pieces_figure(rows, PROCESSES, width=width), folder / f"pieces.{ending}")
    ways = [f"- {name}: {words}" for name, words in PROCESSES.items()]
    text = [f"# {table.title}", "", *ways, "", table.to_markdown(), "", f"![{CAPTION}](pieces.png)", "", CAPTION, ""]
    write_atomically(folder / "README.md", "\n".join(text))
    print_table(console, table)
    console.print(f"{len(rows)} rows; map: {folder / 'README.md'}", soft_wrap=True)
