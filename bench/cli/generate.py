"""`generate`: music from a trained run, and bars, parts or endings for a song that is given."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import SEEDS, DeviceOption
from bench.cli.terminal import print_line, terminal, warn
from bench.errors import UserError, as_user_error
from bench.launcher import unused

if TYPE_CHECKING:
    from bench.generate import DrawOptions, Song, Template, TrainedRun

MOST_PIECES = 10_000
FIGURE_ROWS = 4
Words = list[str]
SONG = "MIDI file, or song of a corpus as in demo/lieder:frühlingstraum"


def generate(
    run: Annotated[Path, typer.Argument(help="Folder of a training run, or of a quality cell of a study.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the pieces; it must be new or empty.")],
    number: Annotated[int, typer.Option("-n", "--number", help="How many pieces.")] = 4,
    infill: Annotated[str | None, typer.Option(help=f"{SONG}: draw some of it anew, keep the rest.")] = None,
    onward: Annotated[str | None, typer.Option("--continue", help=f"{SONG}: go on after it.")] = None,
    bars: Annotated[
        str | None,
        typer.Option(help="FIRST:END in bars of four quarter notes, from 0: bars to draw, or given to --continue."),
    ] = None,
    keep: Annotated[str | None, typer.Option(help="Token types that stay in the bars, such as Pitch,Position.")] = None,
    keep_track: Annotated[
        Words, typer.Option(help="Track that stays in the bars, by name or number; repeatable. The rest is drawn.")
    ] = [],  # noqa: B006
    bar_tokens: Annotated[int | None, typer.Option(help="Tokens drawn a bar; default: as many as the bar had.")] = None,
    length: Annotated[
        int | None, typer.Option(help="Tokens of a piece (default: those of its training), or of what follows (half).")
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            help="cached, first-hitting, confidence, remask, ...; default: cached, or that of the run's objective."
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps of the sampler for a full window.")] = 128,
    reveal: Annotated[
        int | None, typer.Option(help="block only: tokens drawn in a network call, in place of the steps.")
    ] = None,
    block: Annotated[
        int | None, typer.Option(help="block-approximate only: tokens of a block, for a run trained on whole rows.")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="confidence only: linear, cosine, geometric; default: cosine, as published.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="Divides the logits; 0 takes the best token.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Draw from the most likely tokens of this total probability.")] = 1.0,
    constraint: Annotated[
        Words,
        typer.Option(help="grammar, pitch=LOW:HIGH, pitch=percentile, chord=K, sounding=K, scale; repeatable."),
    ] = [],  # noqa: B006
    seed: Annotated[int, typer.Option(**SEEDS, help="Seeds all draws.")] = 0,
    batch: Annotated[int, typer.Option(help="Pieces drawn at once; part of what a seed decides.")] = 16,
    device: DeviceOption = "auto",
    precision: Annotated[str, typer.Option(help="float32, or bfloat16 for a recent GPU or CPU.")] = "float32",
    weights: Annotated[str, typer.Option(help="ema (averaged) or weights (the last step's).")] = "ema",
    report: Annotated[bool, typer.Option("--report", help="Also write report.html and rolls.png.")] = False,
) -> None:
    """Music from a trained run; or bars of a song drawn anew, an accompaniment to its melody, an ending.

    Writes one MIDI file a piece and settings.json. In a song the given notes stay as they are in the file, and what
    was drawn lies on a track of its own, `Drawn`.
    """

    from bench.cli.displays import progress
    from bench.diffusion.constraints import ConstraintChoice
    from bench.generate import DrawOptions, fill, load_run
    from metrics.cost.device import bfloat16_warning

    if not 1 <= number <= MOST_PIECES:
        raise UserError(f"-n {number}: allowed: 1 to {MOST_PIECES} pieces")
    _check_together(infill, onward, bars, keep, keep_track, bar_tokens, length)
    choice = ConstraintChoice.parse(constraint)
    options = DrawOptions(sampler or "cached", steps, temperature, top_p, choice, seed, batch, precision, schedule)
    _check_output(output)
    if note := unused(os.environ, "one process draws"):
        print_line(note, error=True)
    console = terminal()
    trained = load_run(run, weights=weights, device=device)
    if precision == "bfloat16" and (words := bfloat16_warning(trained.device)):
        warn(words)
    options = replace(options, sampler=sampler or trained.usual_sampler, reveal=reveal, block=block)
    if infill and (words := trained.infilling_note()):
        warn(words)
    song, template = _request(trained, infill, onward, bars, keep, keep_track, bar_tokens, length)
    with progress(console, number) as show:
        filled = fill(trained, number, options, template=template, length=length, report=show)
    asked = {
        "song": song.name if song else None, "bars": bars, "keep": keep, "keep_track": keep_track or None,
        "bar_tokens": bar_tokens, "length": length, "continue": onward is not None,
    }  # fmt: skip
    settings = _settings(trained, options, weights, asked, filled.nfe)
    _write(output, trained, song, template, filled.tokens, settings, report)
    calls = sum(filled.nfe) / len(filled.nfe)
    pieces = "1 piece" if number == 1 else f"{number} pieces"
    console.print(f"{pieces}, {calls:.0f} network calls a piece: {output}", soft_wrap=True)


def _check_together(
    infill: str | None, onward: str | None, bars: str | None, keep: str | None, keep_track: Words,
    bar_tokens: int | None, length: int | None,
) -> None:  # fmt: skip
    """UserError for options that do not go together."""
    if infill and onward:
        raise UserError("--infill and --continue: allowed: one of them")
    if bars is not None and not (infill or onward):
        raise UserError("--bars: of which song? allowed: with --infill or --continue")
    for name, given in {"--keep": keep, "--keep-track": keep_track, "--bar-tokens": bar_tokens}.items():
        if given and not infill:
            raise UserError(f"{name}: of which song? allowed: with --infill")
    if sum(map(bool, (keep, keep_track, bar_tokens))) > 1:
        raise UserError("--keep, --keep-track and --bar-tokens: allowed: one of them")
    if infill and length is not None:
        raise UserError("--length: a song keeps its length; allowed: --bar-tokens with --infill, --length without it")
    if infill and bars is None and not keep and not keep_track:
        raise UserError("--infill: what is to be drawn? allowed: with --bars, --keep or --keep-track")


def _check_output(folder: Path) -> None:
    """UserError unless `folder` is new or empty: nothing is ever overwritten."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        kind = "holds files" if folder.is_dir() else "is a file"
        raise UserError(f"-o {folder}: {kind}, and nothing is overwritten; allowed: a folder that is new or empty")


def _request(
    trained: TrainedRun, infill: str | None, onward: str | None, bars: str | None, keep: str | None,
    keep_track: Words, bar_tokens: int | None, length: int | None,
) -> tuple[Song | None, Template | None]:  # fmt: skip
    """The song and what of it is drawn; None and None for new pieces."""
    from bench.generate import accompaniment, bars_again, continuation, load_song, types_again

    words = infill or onward
    if words is None:
        if length is not None and length <= trained.length:
            with as_user_error(ValueError, words=f"--length {length}: "):
                trained.backbone.check_length(length)
        return None, None
    song = load_song(words, trained.tokenizer, trained.language)
    if song.lost:
        warn(f"{song.name}: not in the files that are written: {song.lost}")
    first, end = song.bar_range(bars)
    if onward is not None:
        return song, continuation(song, length if length is not None else trained.length // 2, first, end)
    if keep:
        return song, types_again(song, [name.strip() for name in keep.split(",")], first, end)
    if keep_track:
        return song, accompaniment(song, keep_track, first, end)
    return song, bars_again(song, first, end, bar_tokens)


def _settings(
    trained: TrainedRun, options: DrawOptions, weights: str, asked: dict[str, Any], nfe: list[int]
) -> dict[str, Any]:
    labels = trained.labels
    run = {
        "run": trained.folder.name, "arm": labels["arm"], "pattern": labels["pattern"], "corpus": labels["corpus"],
        "trained_length": trained.length, "train_steps": trained.step, "weights": weights,
        "device": str(trained.device),
    }  # fmt: skip
    return run | options.record() | {name: value for name, value in asked.items() if value} | {"nfe": nfe}


def _write(
    output: Path, trained: TrainedRun, song: Song | None, template: Template | None, tokens: Any,
    settings: dict[str, Any], report: bool,
) -> None:  # fmt: skip
    """Every piece as a MIDI file, the settings, and the page where it is asked for."""
    from bench.files import write_atomically
    from bench.generate.writing import piece_score, song_score
    from metrics.music.midi import write_score

    scores = {}
    for index, row in enumerate(tokens):
        name = f"{song.stem if song else 'piece'}-{index:03d}"
        scores[name] = song_score(song, template, row) if song and template else piece_score(trained, row)
        write_atomically(output / f"{name}.mid", write_score(scores[name]))
    write_atomically(output / "settings.json", json.dumps(settings, indent=1) + "\n")
    if report:
        _write_page(output, scores, song, template, {key: value for key, value in settings.items() if key != "nfe"})


def _write_page(
    output: Path, scores: dict[str, Any], song: Song | None, template: Template | None, settings: dict[str, Any]
) -> None:
    from bench.files import write_atomically
    from bench.generate.page import roll_of_score, rolls_page
    from bench.generate.roll_figure import rolls_figure
    from bench.generate.writing import DRAWN_TRACK
    from bench.report.figures.style import render

    region, given = None, DRAWN_TRACK if song else ""
    rolls = []
    if song is not None and template is not None:
        region = None if template.open_end else (4.0 * template.bars[0], 4.0 * template.bars[1])
        rolls.append(roll_of_score(f"{song.stem} as given", song.score, drawn_track=given, region=region))
    rolls += [roll_of_score(name, score, drawn_track=given, region=region) for name, score in scores.items()]
    words = "Given notes are grey, drawn ones orange. Nothing was selected."
    write_atomically(output / "report.html", rolls_page(output.name, rolls, settings, words))
    write_atomically(output / "rolls.png", render(rolls_figure(rolls[:FIGURE_ROWS])))
