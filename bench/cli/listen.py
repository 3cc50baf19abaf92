"""`listen`: a blind listening test as one page, and the analysis of what listeners answered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import RESULTS, SEEDS, ResultsOption, results_folder
from bench.cli.terminal import print_line, print_tables, terminal, warn
from bench.errors import UserError, quoted

if TYPE_CHECKING:
    from bench.listen.key import Key
    from bench.listen.samples import Systems

ODDS = ((7 / 3, "70:30"), (1.5, "60:40"))


def listen(
    sources: Annotated[
        list[str] | None, typer.Argument(help="A study that was run, its results folder, or folders of music.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Page to write, its key beside it; with --collect: its tables as Markdown."
        ),
    ] = None,
    kind: Annotated[str, typer.Option(help="pairs: which is better; ratings: each of the two rated 1 to 5.")] = "pairs",
    reference: Annotated[
        str | None, typer.Option(help="Real music: a folder or a corpus. Default: held-out windows of the study.")
    ] = None,
    arm: Annotated[list[str] | None, typer.Option("--arm", help="Only this arm; repeatable. Default: all.")] = None,
    trials: Annotated[int, typer.Option(help="Trials of a listener, a third of them checks: a multiple of 3.")] = 24,
    pieces: Annotated[int, typer.Option(min=2, help="Most samples of a system.")] = 48,
    seconds: Annotated[float, typer.Option(min=3, max=120, help="Length at which samples are cut.")] = 15.0,
    question: Annotated[str | None, typer.Option(help="Question that listeners answer.")] = None,
    seed: Annotated[int, typer.Option(**SEEDS, help="Seed of numbers, orders and sides.")] = 0,
    collect: Annotated[
        Path | None, typer.Option("--collect", help="Analyse the answers in this folder instead of making a page.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="Key of the test; default: that of the answers, beside them.")
    ] = None,
    without_flagged: Annotated[
        bool, typer.Option("--without-flagged", help="Decide without listeners whose checks look like guessing.")
    ] = False,
    results: ResultsOption = RESULTS,
) -> None:
    """Make a blind listening test, or analyse its answers with --collect.

    The page plays two samples a trial, real music hidden among the systems; a third of the trials are checks, real
    against shuffled music. It needs no network and names no system: that is in the key beside it, which stays with you.
    """
    if collect is not None:
        return _collect(collect, key, sources or [], results, output, without_flagged=without_flagged)
    from bench.files import write_atomically
    from bench.listen.design import check_trials
    from bench.listen.key import QUESTIONS, SUFFIX, make_test, write_key
    from bench.listen.page import listening_page
    from bench.listen.samples import excerpted

    if not sources or output is None:
        raise UserError("listen: allowed: STUDY -o test.html, FOLDER ... --reference MUSIC -o test.html, or --collect")
    if kind not in QUESTIONS:
        raise UserError(f"--kind {quoted(kind)} is unknown; allowed: {', '.join(QUESTIONS)}")
    if output.is_dir() or not output.name:
        raise UserError(f"{output}: a folder; allowed: the name of an HTML file")
    check_trials(trials)
    study, systems = _systems(sources, reference, arm or [], pieces, results)
    systems = excerpted(systems, seconds, pieces, seed)
    words = question or QUESTIONS[kind]
    test = make_test(systems, kind, question=words, trials=trials, seconds=seconds, seed=seed, study=study)
    key_path = output.with_name(output.stem + SUFFIX)
    write_key(key_path, test.key)
    write_atomically(output, listening_page(test))
    for note in systems.notes:
        warn(note)
    _describe(systems, test.key)
    print_line(f"page: {output}; key, not for listeners: {key_path}")
    print_line(f"then: smdim-bench listen --collect ANSWERS --key {key_path}")


def _systems(
    sources: list[str], reference: str | None, arms: list[str], most: int, results: Path
) -> tuple[str, Systems]:
    """The results folder, "" for folders of music alone, and the pieces of every system."""
    from dataclasses import replace

    from bench.cli.metrics import folder_pieces, named_pieces
    from bench.listen.samples import REAL, SHUFFLED, Systems, study_pieces
    from bench.report.rows.frame import as_frame
    from bench.store.table import load_results

    console = terminal(error=True)
    study, systems = "", Systems({}, [])
    folders = [source for source in sources if Path(source).is_dir() and not (Path(source) / "study.json").is_file()]
    studies = [source for source in sources if source not in folders]
    found = [_results_of(name, results) for name in studies]
    if len(studies) > 1:
        raise UserError(f"listen: one study a test, not {', '.join(studies)}; allowed beside it: folders of music")
    for folder in found:
        study, systems = str(folder), study_pieces(as_frame(load_results(folder)), folder, arms, most)
    generated = dict(systems.generated)
    for name in {REAL, SHUFFLED} & set(generated):
        raise UserError(f"listen: an arm is called {quoted(name)}, as the hidden music is; choose others with --arm")
    for source in folders:
        path = Path(source)
        name = path.name if [Path(other).name for other in folders].count(path.name) == 1 else source
        if name in (*generated, REAL, SHUFFLED):
            raise UserError(f"listen: two systems are called {quoted(name)}; rename the folder")
        generated[name] = folder_pieces(path, console)
    real = named_pieces(reference, "test", console) if reference is not None else systems.real
    if not real:
        raise UserError("listen: no real music beside these; give --reference, a folder or a corpus")
    return study, replace(systems, generated=generated, real=real)


def _results_of(name: str, results: Path) -> Path:
    """The results folder of a study; UserError where there is neither that nor a folder of music of the name."""
    try:
        return results_folder(name, results)
    except UserError as error:
        raise UserError(f"listen: no folder {quoted(name)}, and {error}") from error


def _describe(systems: Systems, key: Key) -> None:
    """Print the systems and how many listeners decide."""
    from bench.listen.design import CHECK_SHARE
    from bench.listen.samples import median_seconds
    from metrics.statistics.preferences import LISTENER_SPREAD, listeners_needed, listeners_planned

    for name, pieces in systems.all.items():
        print_line(f"{name}: {len(pieces)} samples, median {median_seconds(pieces):.0f} s")
    count, checks = len(key.systems), key.trials // CHECK_SHARE
    verdicts, asked = count * (count - 1) // 2, key.trials - checks
    print_line(f"test {key.test}: {key.trials} trials a listener, {checks} of them checks")
    if key.kind == "pairs":
        needed = [(words, listeners_planned(odds, count, asked, verdicts)) for odds, words in ODDS]
        counts = ", ".join(f"{number} listeners for {words}" for words, number in needed)
        print_line(
            f"a preference between two of the {count} systems is decided with chance 0.8 by {counts}, if listeners "
            f"spread by {LISTENER_SPREAD} in log odds"
        )
    else:
        needed_half, needed_whole = (listeners_needed(size, 1.0, verdicts) for size in (0.5, 1.0))
        print_line(
            f"a difference between two of the {count} systems is decided with chance 0.8 by {needed_whole} listeners "
            f"if it is one standard deviation of the listeners' differences, by {needed_half} if it is half of one"
        )


def _collect(
    folder: Path, key: Path | None, sources: list[str], results: Path, output: Path | None, *, without_flagged: bool
) -> None:
    from bench.listen.answers import read_answers
    from bench.listen.key import find_key
    from bench.listen.tables import listening_tables
    from bench.report.rows.frame import as_frame
    from bench.store.table import load_results

    test = find_key(key, folder)
    listeners, lines = read_answers(folder, test)
    for line in lines:
        warn(line)
    study = results_folder(sources[0], results) if sources else Path(test.study) if test.study else None
    frame = None
    if study is not None and (study / "study.json").is_file():
        frame = as_frame(load_results(study))
    elif study is not None:
        warn(f"{study}: not there, so no metrics stand beside; give the study: listen STUDY --collect {folder}")
    print_tables(listening_tables(listeners, test, frame, without_flagged=without_flagged), output)
