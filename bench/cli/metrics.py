"""`metrics`: measure a folder of music against another; `sensitivity`: the response of each metric to damage."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.metrics_table import show_table, table_csv
from bench.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from metrics import MetricResult, Notes

FEW_PIECES = 10
LARGEST_REFERENCE = 1000


def measure(
    generated: Annotated[Path | None, typer.Argument(help="Folder of MIDI, kar or ABC files, from any model.")] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="Held-out music: a folder, or a corpus (its test split; its training split trains)."),
    ] = None,
    train: Annotated[
        str | None, typer.Option(help="Training music: limits of outliers, novelty, ceiling. A folder or a corpus.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the whole table as CSV.")] = None,
    limits: Annotated[str, typer.Option(help="full, or data: cut at the data as mgeval does.")] = "full",
    bar_beats: Annotated[
        float | None, typer.Option(help="Take every bar as so many quarter notes, where time signatures are wrong.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the pieces drawn and of the intervals.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Without ceiling and floors: a figure alone says little.")
    ] = False,
    pairs: Annotated[
        tuple[Path, Path] | None, typer.Option(help="Infilled and hidden music instead: files compared by their names.")
    ] = None,
) -> None:
    """Judge a folder of generated music against real music: every metric, its interval, its ceiling and its floors.

    Ceiling: real music against real music. Floors: the same pieces shuffled; tokens drawn one by one as often
    as in training music; tokens drawn uniformly. A figure means something only between them.
    """
    from metrics.music.overlap import LIMITS

    if pairs is not None:
        return _pairs(pairs, generated or reference or train, output)
    if generated is None or reference is None:
        raise UserError("metrics: allowed: FOLDER --reference FOLDER_OR_CORPUS, or --pairs INFILLED HIDDEN")
    if limits not in LIMITS:
        raise UserError(f"--limits {limits!r} is unknown; allowed: {', '.join(LIMITS)}")
    if bar_beats is not None and not (math.isfinite(bar_beats) and bar_beats > 0):
        raise UserError(f"--bar-beats must be more than 0, got {bar_beats}")
    console = _console(error=True)
    pieces = _folder(generated, console)
    held_out, known = _sides(reference, train, console)
    held_out, spare = _match(held_out, len(pieces), seed)
    own_kind = train is None and bool(known)
    more = known if own_kind else spare  # music of the reference's own kind: what the ceiling is made of
    known = known or spare
    if bar_beats is not None:
        sets = (pieces, held_out, known, more)
        pieces, held_out, known, more = ([piece.with_bars(bar_beats) for piece in s] for s in sets)
    for warning in _warnings(pieces, held_out, known):
        console.print(f"[yellow]warning:[/yellow] {warning}", highlight=False, soft_wrap=True)
    rows, marks = _tables(pieces, held_out, known, more, console, quick=quick, seed=seed, limits=limits)
    show_table(_console(), rows, marks, f"{generated} ({len(pieces)}) against {reference} ({len(held_out)})")
    if output is not None:
        from bench.files import write_atomically

        write_atomically(output, table_csv(rows, marks, str(generated), reference, seed))
        console.print(f"table: {output}", highlight=False)


def _pairs(pairs: tuple[Path, Path], other: object, output: Path | None) -> None:
    from bench.cli.metrics_pairs import measure_pairs

    if other:
        raise UserError("--pairs: takes its two folders alone; allowed beside it: -o")
    measure_pairs(*pairs, output)


def sensitivity(
    corpus: Annotated[str, typer.Option(help="Real music: a corpus (test against training pieces) or a folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for table.csv, README.md and figure.png.")],
    pieces: Annotated[int, typer.Option(min=6, help="Pieces to damage, and as many to compare with.")] = 90,
    seed: Annotated[int, typer.Option(help="Seed of the pieces drawn and of the damage.")] = 0,
) -> None:
    """Damage real music in graded ways and see which metric notices: the card that says what each metric can see."""
    from bench.files import write_atomically
    from metrics import sensitivity_responses
    from metrics.music.sensitivity_card import card_csv, card_figure, card_markdown

    console = _console(error=True)
    test, train = _sides(corpus, None, console)
    test, spare = _match(test, pieces, seed)
    train = train or spare
    reference, train = _match(train, len(test), seed)
    if len(reference) < 6:
        raise UserError(f"{corpus}: needs at least 12 pieces with notes, has {len(test) + len(reference)}")
    with console.status("damaging") as status:
        found = sensitivity_responses(test, reference, train or reference, seed=seed, progress=status.update)
    about = f"Music: {corpus}, {len(test)} pieces damaged, {len(reference)} to compare with, seed {seed}."
    write_atomically(output / "table.csv", card_csv(found))
    write_atomically(output / "README.md", card_markdown(found, about))
    card_figure(found, output / "figure.png", about)
    failed = [response for response in found if response.holds is False]
    stated = sum(response.holds is not None for response in found)
    console.print(
        f"{stated - len(failed)} of {stated} statements hold; the card: {output / 'README.md'}", highlight=False
    )


def _tables(
    pieces: list[Notes],
    held_out: list[Notes],
    known: list[Notes],
    more: list[Notes],
    console: Console,
    *,
    quick: bool,
    **options: Any,
) -> tuple[list[MetricResult], dict[str, list[MetricResult]]]:
    """The table of the generated pieces, and those of ceiling and floors, side by side where there are cores."""
    from concurrent.futures import ThreadPoolExecutor

    from bench.data.workers import usable_cores
    from metrics import quality_table, reference_rows
    from metrics.music.table import CEILING, FLOORS

    words = f"measuring {len(pieces)} pieces against {len(held_out)}"
    with ThreadPoolExecutor(usable_cores()) as pool, console.status(words):
        table = pool.submit(quality_table, pieces, held_out, known or held_out, **options)
        if quick:
            return table.result(), {}
        beside = options | {"real": more, "count": len(pieces)}
        ceiling = pool.submit(reference_rows, held_out, known, rows=[CEILING], **beside)
        floors = pool.submit(reference_rows, held_out, known, intervals=False, rows=FLOORS, **beside)
        return table.result(), ceiling.result() | floors.result()


def _console(*, error: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=error)


def _folder(folder: Path, console: Console) -> list[Notes]:
    """The pieces of a folder; what cannot be read is counted and named."""
    from bench.data.music import folder_notes

    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    with console.status(f"reading {folder}"):
        pieces, skipped = folder_notes(folder)
    if not pieces and not skipped:
        raise UserError(f"{folder}: no MIDI, kar or ABC file")
    if not pieces:
        reasons = Counter(item.reason for item in skipped).most_common(3)
        words = "; ".join(f"{reason} ({count})" for reason, count in reasons)
        raise UserError(f"{folder}: none of the {len(skipped)} pieces can be used: {words}")
    if skipped:
        named = "; ".join(f"{item.id}: {item.reason}" for item in skipped[:3])
        more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        of_all = len(pieces) + len(skipped)
        console.print(
            f"[yellow]warning:[/yellow] {len(skipped)} of {of_all} pieces of {folder} skipped: {named}{more}",
            highlight=False,
            soft_wrap=True,
        )
    return pieces


def _sides(reference: str, train: str | None, console: Console) -> tuple[list[Notes], list[Notes]]:
    """Held-out and training pieces: a folder is held out whole, a corpus has its splits."""
    held_out, known = _named(reference, "test", console), []
    if train is not None:
        known = _named(train, "train", console)
    elif not Path(reference).is_dir():
        known = _named(reference, "train", console)
    return held_out, known


def _named(name: str, split: str, console: Console) -> list[Notes]:
    if Path(name).is_dir():
        return _folder(Path(name), console)
    if "/" in name and name.startswith((".", "/", "~")):
        raise UserError(f"{name}: no such folder")
    from bench.data import corpus_notes, load_corpus

    with console.status(f"reading {name}, {split} split"):
        return corpus_notes(load_corpus(name), split)


def _match(pieces: list[Notes], count: int, seed: int) -> tuple[list[Notes], list[Notes]]:
    """As many pieces as are judged, since overlap depends on the number, and those left over."""
    import numpy as np

    kept = [piece for piece in pieces if len(piece)]
    order = np.random.default_rng([seed, 5]).permutation(len(kept))
    chosen = np.sort(order[:count])
    left = np.sort(order[count : count + LARGEST_REFERENCE])
    return [kept[i] for i in chosen], [kept[i] for i in left]


def _warnings(generated: list[Notes], reference: list[Notes], train: list[Notes]) -> list[str]:
    found = []
    for side, others in (("reference", reference), ("training", train)):
        known = {piece.content_hash: piece.name for piece in others if len(piece)}
        same = [(piece.name, known[piece.content_hash]) for piece in generated if piece.content_hash in known]
        if same:
            found.append(
                f"{len(same)} of {len(generated)} generated pieces hold the same notes as {side} pieces "
                f"({same[0][0]} = {same[0][1]}): overlap and novelty say nothing of them"
            )
    smaller = min(len(generated), len(reference))
    if smaller < FEW_PIECES:
        found.append(f"{smaller} pieces on one side: the intervals are wide, and overlaps of so few pieces lie low")
    if len(reference) < len(generated):
        found.append(f"{len(reference)} reference pieces for {len(generated)} generated ones: numbers should match")
    bars = [_usual_bar(pieces) for pieces in (generated, reference)]
    if bars[0] and bars[1] and bars[0] != bars[1]:
        found.append(
            f"bars are {bars[0]:g} beats long in the generated pieces and {bars[1]:g} in the reference: figures that "
            "count bars (framewise, structure, groove) compare unlike things; --bar-beats sets one length"
        )
    return found


def _usual_bar(pieces: list[Notes]) -> float:
    import numpy as np

    lengths = [float(np.median(np.diff(piece.bar_starts()))) for piece in pieces if len(piece)]
    return float(np.median(lengths)) if lengths else 0.0
