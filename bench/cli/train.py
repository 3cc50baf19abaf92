"""`train`: training of one arm outside a study, resumable."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import (
    RESULTS,
    SEEDS,
    ArmArgument,
    ModelOption,
    PluginOption,
    settings_of,
    sizes_of_arm,
    tokenizer_of,
    typed,
)
from bench.cli.terminal import print_line, terminal
from bench.errors import UserError, as_user_error, quoted
from bench.launcher import launched

if TYPE_CHECKING:
    from bench.data import TokenCorpus
    from bench.diffusion.evaluation import BitsPerToken
    from bench.study.grid import Cell, Combination
    from bench.training.progress import TrainResult

BUDGET_UNITS = {
    "s": ("seconds", 1.0),
    "m": ("seconds", 60.0),
    "h": ("seconds", 3600.0),
    "steps": ("steps", 1),
    "flops": ("flops", 1.0),
}
BUDGET_WORDS = "a number and a unit: 90s, 10m, 2h, 5000steps or 1e15flops"
Pairs = list[str] | None


def train(
    arm: ArmArgument,
    corpus: Annotated[str, typer.Option(help="demo, demo/lieder, pop909, ... or folder:PATH.")] = "demo",
    length: Annotated[int, typer.Option(min=1, help="Tokens a training sequence.")] = 512,
    budget: Annotated[str, typer.Option(help=f"How long: {BUDGET_WORDS}.")] = "10m",
    seed: Annotated[int, typer.Option(**SEEDS, help="Seeds weights, data order and noise.")] = 0,
    batch: Annotated[int, typer.Option(min=1, help="Sequences a step over all processes.")] = 8,
    name: Annotated[str, typer.Option(help="Name of the run; default: made of arm, corpus, length and seed.")] = "",
    results: Annotated[Path, typer.Option(help="The run goes to RESULTS/train/<name>/.")] = RESULTS,
    model: ModelOption = None,
    settings: Annotated[
        Pairs, typer.Option("--train", help="Setting of the trainer, key=value, repeatable: learning_rate=5e-4.")
    ] = None,
    diffusion: Annotated[Pairs, typer.Option(help="Setting of the process, key=value, repeatable: steps=64.")] = None,
    tokenizer: Annotated[Pairs, typer.Option(help="remi-m, or a setting, key=value, repeatable.")] = None,
    plugin: PluginOption = None,
) -> None:
    """Train one arm; the same command goes on where it was stopped (Ctrl-C and kill alike).

    Leaves cell.json, environment.json, history.jsonl, checkpoint/ and measurements.jsonl under RESULTS/train/<name>/.
    Several processes: `torchrun --nproc-per-node 2 -m bench train ...`.
    """

    from bench.measure.quality.music import load_tokens
    from bench.plugins import load_plugins
    from bench.study.content import ArmChoice
    from bench.study.grid import Combination
    from bench.study.settings import DiffusionSettings, KernelSettings, SampleSettings
    from bench.study.yaml import Place, validate
    from bench.training import train_settings
    from bench.training.devices import check_here, join_processes

    launch = launched(os.environ)
    if launch.note:
        print_line(launch.note, error=True)
    load_plugins(plugin or ())
    trainer = train_settings(parse_budget(budget) | {"batch": batch} | settings_of(settings, "--train"))
    member = Combination(
        label=arm,
        arm=validate(ArmChoice, {"name": arm, "arm": arm}, Place("train")),
        corpus=corpus,
        length=length,
        model=sizes_of_arm(arm, model),
        tokenizer=tokenizer_of(tokenizer, "--tokenizer"),
        diffusion=typed(DiffusionSettings, diffusion, "--diffusion"),
        train=trainer,
        sample=SampleSettings(),
        kernels=KernelSettings(),
    )
    check_here(trainer)
    main = launch.rank == 0
    folder = results / "train" / (name or default_name(arm, corpus, length, seed))
    with sole_process(folder) if main else nullcontext():
        join_processes(trainer.device)
        tokens = load_tokens(corpus, member.tokenizer)
        run_cell(make_cell(member, tokens, seed, plugin or ()), tokens, folder, main)


def parse_budget(text: str) -> dict[str, float]:
    """`10m` -> {"seconds": 600.0}; UserError for anything that is not a positive number and a known unit."""
    found = re.fullmatch(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([a-z]+)\s*", text.lower())
    if not found or found[2] not in BUDGET_UNITS:
        raise UserError(f"--budget {quoted(text)}: allowed: {BUDGET_WORDS}")
    key, unit = BUDGET_UNITS[found[2]]
    try:
        value = float(found[1]) * unit
    except ValueError:
        raise UserError(
            f"--budget {quoted(text)}: {quoted(found[1])} is not a number; allowed: {BUDGET_WORDS}"
        ) from None
    if value <= 0 or (key == "steps" and value != int(value)):
        raise UserError(f"--budget {quoted(text)}: nothing would be trained; allowed: more than 0, steps whole")
    return {key: int(value) if key == "steps" else value}


def default_name(arm: str, corpus: str, length: int, seed: int) -> str:
    """Folder name of a run: letters, digits, dots, hyphens."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", f"{arm}-{corpus}-{length}-seed{seed}").strip("-")


def make_cell(member: Combination, tokens: TokenCorpus, seed: int, plugins: Sequence[str] = ()) -> Cell:
    """The run as a quality cell, the same as in a study of these settings. Raises UserError for invalid settings."""
    from architectures import without_weights
    from bench.measure.quality.process import build_diffusion
    from bench.run.arms import arm_config
    from bench.run.cells import quality_cell
    from bench.study.settings import given
    from bench.training.checks import check_process

    diffusion = build_diffusion(tokens, member.diffusion.deciding())
    with as_user_error(ValueError, TypeError):
        config = arm_config(member, tokens, member.length, given(member.model), [])
        without_weights(config).check_length(member.length)
        check_process(diffusion, without_weights(config), member.length, member.train)
    return quality_cell(member, config, tokens, seed, plugins)


@contextmanager
def sole_process(path: Path) -> Iterator[None]:
    """Hold the run in `path` for the block. Raises UserError where another process has it."""
    from bench.files import canonical_hash
    from bench.run.lease import STALE_S, Leases

    with Leases(path.parent) as leases:
        if leases.take(f"train-{canonical_hash(path.name)}") is None:
            raise UserError(
                f"{path}: another process trains this run (or ended less than {STALE_S:g} s ago on another machine or "
                "in another container); wait for it, or choose another --name"
            )
        yield


def run_cell(cell: Cell, tokens: TokenCorpus, path: Path, main: bool) -> None:
    """Train the cell in `path`, or go on there, as the main process of those that do or as another one; raises
    UserError where another run lies there."""
    import time

    from bench.cli.displays import TrainDisplay, interruptible
    from bench.files import to_json
    from bench.measure.quality.cell import likelihood_vectors, test_rows, training_rows
    from bench.measure.quality.training import CellTraining, training_device
    from bench.store.cells import CellFolder
    from bench.store.vectors import write_vectors
    from bench.training.checkpoint import first_difference
    from metrics.cost.device import describe_environment

    folder, settings, started = CellFolder(path), cell.settings, time.time()
    found = folder.configuration()
    if found is not None:
        different = first_difference(found["settings"], json.loads(to_json(settings)))
        if different:
            raise UserError(f"{path} holds another run ({different}); choose another --name")
    console = terminal(quiet=not main)
    if main:
        if found is None:
            folder.begin(cell)
        else:
            folder.write_configuration(cell)  # its labels name the tracker
        folder.mark_running(describe_environment(training_device(settings)))
    training = CellTraining.of(settings, tokens)
    arm, pattern = cell.labels["arm"], cell.labels["pattern"]
    title = arm if arm == pattern else f"{arm} ({pattern})"
    size = f"{cell.labels['parameters']:,} parameters"
    console.print(f"{title}, {size}, {settings['corpus']}, L = {settings['length']}", soft_wrap=True)
    with interruptible() as stop, TrainDisplay(console) as display:
        result = training.run(path, display.show, stop)
    if result.stopped == "interrupted":
        console.print(f"stopped at step {result.steps:,}; the same command goes on from there")
        raise typer.Exit(stop.exit_code)
    console.print(f"{result.steps:,} steps, {result.tokens:,} tokens, {result.seconds:,.0f} s")
    if not main:
        return
    if result.diverged:
        folder.finish("diverged", [], reason="the loss blew up", started=started)
        raise UserError(f"the loss blew up at step {result.steps}; lower learning_rate (run kept in {path})")
    bits = training.test_bits(result, path)
    rows = [row | {"train_steps": result.steps} for row in training_rows(training, result) + test_rows(training, bits)]
    write_vectors(path, likelihood_vectors(training, result, bits))
    folder.finish("done", rows, started=started)
    conclude(result, bits, tokens, settings["length"], path, console)


def conclude(
    result: TrainResult, test: BitsPerToken, tokens: TokenCorpus, length: int, path: Path, console: Any
) -> None:
    """Print bits/token of both sides, beside those of the corpus without a network."""
    from bench.data import TokenBaselines

    fitted = TokenBaselines(tokens, length)
    for side, bits in (("test", test), ("validation", result.validation)):
        if bits is not None:
            baselines = ", ".join(f"{name} {value:.3f}" for name, value in fitted.bits(side).items())
            console.print(
                f"{side} {bits.value:.3f} bits/token ({bits.low:.3f} to {bits.high:.3f} over masks, "
                f"{bits.n_windows} windows); without a network: {baselines}",
            )
    console.print(f"run: {path}", soft_wrap=True)
