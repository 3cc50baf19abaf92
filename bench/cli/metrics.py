"""`metrics`: measure a folder of music against another; `sensitivity`: the response of each metric to damage."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.metrics_table import GENERATED, RESERVED, Measured, show_sides, show_table, write_tables
from bench.cli.options import SEEDS
from bench.cli.terminal import terminal, warn
from bench.errors import UserError, quoted

if TYPE_CHECKING:
    from rich.console import Console

    from bench.cli.metrics_sets import Sets
    from metrics import MetricResult, Notes
    from metrics.music.excerpts import Unit

LARGEST_REFERENCE = 1000
BAR_BEATS = (0.25, 64.0)  # quarter notes


def measure(
    generated: Annotated[
        list[Path] | None,
        typer.Argument(help="Folder of MIDI, kar or ABC files, from any model; several are compared in pairs."),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="Held-out music: a folder, or a corpus (its test split; its training split trains)."),
    ] = None,
    train: Annotated[
        str | None, typer.Option(help="Training music: limits of outliers, novelty, ceiling. A folder or a corpus.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the whole table: a CSV file, a .json file, or a folder with both."),
    ] = None,
    limits: Annotated[str, typer.Option(help="full, or data: cut at the data as mgeval does.")] = "full",
    bar_beats: Annotated[
        float | None, typer.Option(help="Take every bar as so many quarter notes, where time signatures are wrong.")
    ] = None,
    length: Annotated[
        str | None,
        typer.Option(help="Cut both sides to so much: 64beats, 270notes. Default: the generated pieces' notes."),
    ] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Compare whole pieces, however long.")] = False,
    grid: Annotated[
        str, typer.Option(help="auto: both sides on the coarser grid of the two; none: onsets as they are.")
    ] = "auto",
    seed: Annotated[int, typer.Option(**SEEDS, help="Seed of the pieces drawn and of the intervals.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Without ceiling and floors: a figure alone says little.")
    ] = False,
    pairs: Annotated[
        tuple[Path, Path] | None, typer.Option(help="Infilled and hidden music instead: files compared by their names.")
    ] = None,
) -> None:
    """Judge folders of generated music against real music: every metric, its interval, its ceiling and its floors.

    Several systems are compared in pairs: differences with intervals over songs, and a verdict on the kernel distance.
    All sides are compared at equal length in notes and on one grid. Ceiling: 200 sets of real music against the same
    real pieces, as mean and 95 % range; each figure has its place among them. Floors, from easy to hard: tokens drawn
    uniformly, as often as in training, and one after the other by a bigram; notes drawn by their own frequencies; the
    same pieces with notes shuffled, or only their pitches.
    """
    from bench.cli.metrics_sets import Sets, length_of, long_enough, matched, one_grid, warnings
    from metrics.music.excerpts import Extent
    from metrics.music.overlap import LIMITS

    if pairs is not None:
        return _pairs(pairs, generated or reference or train, output)
    if not generated or reference is None:
        raise UserError("metrics: allowed: FOLDER... --reference FOLDER_OR_CORPUS, or --pairs INFILLED HIDDEN")
    for option, value, allowed in (("--limits", limits, LIMITS), ("--grid", grid, ("auto", "none"))):
        if value not in allowed:
            raise UserError(f"{option} {quoted(value)} is unknown; allowed: {', '.join(allowed)}")
    if bar_beats is not None and not BAR_BEATS[0] <= bar_beats <= BAR_BEATS[1]:
        raise UserError(f"--bar-beats {bar_beats}: allowed: {BAR_BEATS[0]} to {BAR_BEATS[1]} quarter notes")
    if whole and length is not None:
        raise UserError("--whole and --length exclude each other: give one")
    cut = None if length is None else length_of(length)
    console = terminal(error=True)
    folders = named_folders(generated)
    systems = {name: _long(folder_pieces(folder, console), cut, str(folder)) for name, folder in folders.items()}
    if single := [name for name, pieces in systems.items() if len(pieces) < 2 and len(systems) > 1]:
        raise UserError(f"{folders[single[0]]}: one piece; allowed: 2 or more of each system, 3 for a verdict")
    held_out, known = _sides(reference, train, console)
    if not held_out:
        raise UserError(f"{reference}: no held-out piece with notes; allowed: a folder, or a corpus with a test split")
    held_out, known = _long(held_out, cut, reference), long_enough(known, cut)
    own_kind = train is None and bool(known)
    given = Sets(systems, held_out, known, [])
    sets = matched(systems, held_out, known if own_kind else None, seed, cut, whole=whole)
    if known and not own_kind:  # training music of another kind than the reference
        sets = replace(sets, train=matched(systems, held_out, known, seed, cut, whole=whole).train)
    if bar_beats is not None:
        sets = sets.each(lambda piece: piece.with_bars(bar_beats))
    sides = {**sets.systems, "reference": sets.reference}
    extents = {name: Extent.of(pieces) for name, pieces in sides.items()}
    before = {name: Extent.of(pieces).notes for name, pieces in {**systems, "reference": held_out}.items()}
    sets, steps = (sets, 0) if grid == "none" or whole else one_grid(sets)
    show_sides(terminal(), sides, extents, before, steps)
    for warning in (*_left_out(folders, systems, sets), *warnings(sets, given)):
        warn(warning)
    tables, marks = _tables(sets, console, quick=quick, seed=seed, limits=limits)
    measured = Measured(tables, marks, {name: str(path) for name, path in folders.items()}, reference, seed)
    title = f"{', '.join(map(str, generated))} ({len(sets.reference)} reference pieces of {reference})"
    if len(tables) == 1:
        title = f"{generated[0]} ({len(sets.systems[GENERATED])}) against {reference} ({len(sets.reference)})"
    show_table(terminal(), measured, title)
    if output is not None:
        for path in write_tables(measured, output):
            console.print(f"table: {path}")


def named_folders(folders: list[Path]) -> dict[str, Path]:
    """The folders by name, one alone as `GENERATED`; equal names have as much of their path before them as differs.

    Raises UserError for a folder that is given twice or lies inside another.
    """
    if len(folders) == 1:
        return {GENERATED: folders[0]}
    places = [folder.resolve() for folder in folders]
    for (one, outer), (other, inner) in permutations(zip(folders, places, strict=True), 2):
        if outer == inner:
            raise UserError(f"{one} and {other} are one folder; allowed: a folder for each system")
        if outer in inner.parents:
            raise UserError(f"{other} lies inside {one}; allowed: a folder for each system, none inside another")
    for parts in range(1, max(len(place.parts) for place in places) + 1):
        names = ["/".join(place.parts[-parts:]) for place in places]
        if len(set(names)) == len(names) and not set(names) & RESERVED:
            break
    return dict(zip(names, folders, strict=True))


def _long(pieces: list[Notes], length: tuple[float, Unit] | None, name: str) -> list[Notes]:
    """The pieces that reach a length; those that do not are counted. Raises UserError where none does."""
    from bench.cli.metrics_sets import long_enough

    kept = long_enough(pieces, length)
    if length is None or len(kept) == len(pieces):
        return kept
    words = f"{length[0]:g}{length[1]}"
    if not kept:
        raise UserError(f"{name}: none of {len(pieces)} pieces is as long as --length {words}; allowed: a shorter one")
    warn(f"{len(pieces) - len(kept)} of {len(pieces)} pieces of {name} are shorter than {words} and left out")
    return kept


def _left_out(folders: dict[str, Path], systems: dict[str, list[Notes]], sets: Sets) -> list[str]:
    """What of the folders is not measured: files that are no music, and pieces beyond the number of the smallest."""
    from bench.cli.metrics_sets import other_files

    found = []
    for name, folder in folders.items():
        if others := other_files(folder):
            kinds = ", ".join(f"{kind or 'no ending'} ({count})" for kind, count in others.most_common(3))
            count = others.total()
            files, are = ("file", "is") if count == 1 else ("files", "are")
            found.append(f"{count} {files} of {folder} {are} not read, as no MIDI, kar or ABC: {kinds}")
        used, there = len(sets.systems[name]), len(systems[name])
        if used < there:
            found.append(
                f"{there - used} of {there} pieces of {folder} are not used: {used} of each system are compared"
            )
    return found


def _pairs(pairs: tuple[Path, Path], other: object, output: Path | None) -> None:
    from bench.cli.metrics_pairs import measure_pairs

    if other:
        raise UserError("--pairs: takes its two folders alone; allowed beside it: -o")
    measure_pairs(*pairs, output)


def sensitivity(
    corpus: Annotated[str, typer.Option(help="Real music: a corpus (test against training pieces) or a folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for table.csv, README.md and figure.png.")],
    pieces: Annotated[int, typer.Option(min=6, help="Pieces to damage, and as many to compare with.")] = 90,
    seed: Annotated[int, typer.Option(**SEEDS, help="Seed of the pieces drawn and of the damage.")] = 0,
) -> None:
    """Damage real music in graded ways and see which metric notices: the card that says what each metric can see."""
    from bench.files import write_atomically
    from metrics import sensitivity_responses
    from metrics.music.sensitivity_card import card_csv, card_figure, card_markdown

    console = terminal(error=True)
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
    console.print(f"{stated - len(failed)} of {stated} statements hold; the card: {output / 'README.md'}")


def _tables(
    sets: Sets, console: Console, *, quick: bool, **options: Any
) -> tuple[dict[str, list[MetricResult]], dict[str, list[MetricResult]]]:
    """The table of each system, and those of ceiling and floors, side by side where there are cores."""
    from concurrent.futures import ThreadPoolExecutor

    from rich.text import Text

    from metrics import quality_table, reference_rows
    from metrics.cost.cores import usable_cores

    count = len(next(iter(sets.systems.values())))
    words = f"measuring {count} pieces against {len(sets.reference)}"
    with ThreadPoolExecutor(1) as pool, console.status(Text(words)):
        train = sets.train or sets.reference
        tables = {
            name: pool.submit(quality_table, pieces, sets.reference, train, **options)
            for name, pieces in sets.systems.items()
        }
        more = {"real": sets.real, "count": count, "threads": usable_cores()}
        marks = {} if quick else reference_rows(sets.reference, train, **more, **options)
        return {name: table.result() for name, table in tables.items()}, marks


def folder_pieces(folder: Path, console: Console) -> list[Notes]:
    """The pieces of a folder; what cannot be read is counted and named."""
    from rich.text import Text

    from bench.data.music import folder_notes, unended_in_words

    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    with console.status(Text(f"reading {folder}")):
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
        warn(f"{len(skipped)} of {of_all} pieces of {folder} skipped: {named}{more}")
    if words := unended_in_words(pieces):
        warn(f"{folder}: {words}")
    return pieces


def _sides(reference: str, train: str | None, console: Console) -> tuple[list[Notes], list[Notes]]:
    """Held-out and training pieces: a folder is held out whole, a corpus has its splits."""
    held_out, known = named_pieces(reference, "test", console), []
    if train is not None:
        known = named_pieces(train, "train", console)
    elif not Path(reference).is_dir():
        known = named_pieces(reference, "train", console)
    return held_out, known


def named_pieces(name: str, split: str, console: Console) -> list[Notes]:
    """Pieces of a folder, or of one split of a corpus. Raises UserError for neither."""
    if Path(name).is_dir():
        return folder_pieces(Path(name), console)
    if "/" in name and name.startswith((".", "/", "~")):
        raise UserError(f"{name}: no such folder")
    from rich.text import Text

    from bench.data import corpus_notes, load_corpus

    with console.status(Text(f"reading {name}, {split} split")):
        return corpus_notes(load_corpus(name), split)


def _match(pieces: list[Notes], count: int, seed: int) -> tuple[list[Notes], list[Notes]]:
    """As many pieces as are judged, since overlap depends on the number, and those left over."""
    import numpy as np

    kept = [piece for piece in pieces if len(piece)]
    order = np.random.default_rng([seed, 5]).permutation(len(kept))
    chosen = np.sort(order[:count])
    left = np.sort(order[count : count + LARGEST_REFERENCE])
    return [kept[i] for i in chosen], [kept[i] for i in left]
