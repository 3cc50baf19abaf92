"""`profile`: time of a denoising or a training step by mixer and kind of operator."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import (
    RESULTS,
    ArmArgument,
    DeviceOption,
    KernelOption,
    ModelOption,
    PluginOption,
    force_kernels,
    sizes_of_arm,
)
from bench.cli.terminal import terminal
from bench.files import write_atomically

if TYPE_CHECKING:
    from rich.table import Table

    from bench.measure.efficiency.arm import TimedArm
    from bench.measure.efficiency.profile import StepProfile


KIND_COLOURS = {
    "matmul": "#0072B2",
    "attention": "#D55E00",
    "scan": "#009E73",
    "convolution": "#CC79A7",
    "element-wise": "#E69F00",
    "movement": "#999999",
}


def save_chart(found: StepProfile, path: Path, title: str) -> None:
    """Write the chart as PNG."""
    from bench.report.figures.style import DOUBLE_COLUMN_IN, figure_style, new_figure, panel_title, render

    parts, kinds, table = found.shares()
    with figure_style(DOUBLE_COLUMN_IN):
        figure = new_figure(DOUBLE_COLUMN_IN, 0.9 + 0.3 * len(parts))
        axis = figure.subplots()
        starts = dict.fromkeys(parts, 0.0)
        for kind in kinds:
            widths = [100 * table.get((part, kind), 0.0) for part in parts]
            axis.barh(parts, widths, left=list(starts.values()), color=KIND_COLOURS.get(kind, "#000000"), label=kind)
            starts = {part: starts[part] + width for part, width in zip(parts, widths, strict=True)}
        axis.invert_yaxis()
        axis.set_xlabel("share of a denoising step [%]")
        panel_title(axis, title, DOUBLE_COLUMN_IN, loc="left")
        axis.legend(ncols=3, loc="lower right")
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        write_atomically(path, render(figure))


VOCABULARY = 256
SMALL_SHARE = 0.005


def profile(
    arm: ArmArgument,
    length: Annotated[int, typer.Option(min=1, help="Tokens per sequence.")] = 2048,
    batch: Annotated[int, typer.Option(min=1, help="Sequences per step.")] = 1,
    device: DeviceOption = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; default: as torch chooses.")] = None,
    kernel: KernelOption = None,
    precision: Annotated[str, typer.Option(help="Of matrix products: float32 or bfloat16.")] = "float32",
    training: Annotated[bool, typer.Option("--training", help="A training step instead.")] = False,
    steps: Annotated[int, typer.Option(min=1, help="Steps that are profiled after a warm one.")] = 5,
    model: ModelOption = None,
    plugin: PluginOption = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder; default results/profile/ARM-LENGTH.")
    ] = None,
) -> None:
    """Profile a denoising or training step: a table by mixer and kind of operator, a chart (PNG), a CSV and a trace.

    The trace opens in chrome://tracing or ui.perfetto.dev. The profiler slows a step down: read shares, not times.
    """

    from bench.measure.efficiency.profile import profile_step
    from bench.plugins import load_plugins
    from bench.study.settings import given

    force_kernels(kernel, device)
    load_plugins(plugin or ())
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in arm)
    folder = output or RESULTS / "profile" / f"{name}-{length}"
    timed = _timed(arm, length, batch, device, threads, precision, given(sizes_of_arm(arm, model)))
    call = timed.train(length, batch) if training else timed.step(length, batch)
    found = profile_step(timed.model, call, steps=steps, trace=folder / "trace.json")
    console = terminal()
    title = f"{arm}, {length} tokens, batch {batch}" + (", training" if training else "")
    console.print(profile_table(found, f"{title}: share of a step [%]"))
    write_atomically(folder / "profile.csv", as_csv(found))
    save_chart(found, folder / "profile.png", title)
    console.print(f"{folder}/: profile.csv, profile.png, trace.json", soft_wrap=True)


def _timed(
    arm: str, length: int, batch: int, device: str, threads: int | None, precision: str, size: dict[str, Any]
) -> TimedArm:
    """The arm ready to be run. Raises UserError for anything that cannot be built."""
    import torch

    from architectures import Inputs, resolve, without_weights
    from bench.errors import as_user_error
    from bench.measure.efficiency.arm import TimedArm
    from bench.measure.efficiency.cell import EfficiencyCell
    from bench.training.checks import check_device
    from metrics.cost.device import resolve_device

    if threads:
        torch.set_num_threads(threads)
    with as_user_error(ValueError, TypeError):
        place = resolve_device(device)
        config = resolve(arm, VOCABULARY, inputs=Inputs(length), **size)
        network = without_weights(config)
        check_device(network, place)
        cell = EfficiencyCell(arm, arm, config.to_dict(), (length,), device=str(place), precision=precision)
        timed = TimedArm(asdict(cell))
    with as_user_error(ValueError, words=f"--length {length}: "):
        network.check_length(length)
    return timed


def profile_table(found: StepProfile, title: str) -> Table:
    """Mixers by kinds of operator, in percent of a step."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    parts, kinds, table = found.shares()
    result = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, padding=0, collapse_padding=True)
    result.add_column("part", no_wrap=True)
    for name in (*kinds, "all"):
        result.add_column(name, justify="right")
    for part in parts:
        row = [table.get((part, kind), 0.0) for kind in kinds]
        result.add_row(part, *(f"{100 * share:.1f}" if share > SMALL_SHARE / 10 else "" for share in (*row, sum(row))))
    totals = found.by_kind()
    result.add_section()
    result.add_row("all", *(f"{100 * totals[kind]:.1f}" for kind in kinds), "100.0")
    return result


def as_csv(found: StepProfile) -> str:
    """Every part and kind of operator: milliseconds per step, share 0..1, calls per step."""
    import pandas as pd

    return str(pd.DataFrame(found.spent).to_csv(index=False, float_format="%.6g"))
