"""`patterns` and `check`, and the rows of `list architectures`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import KernelOption, PluginOption, force_kernels
from bench.cli.terminal import print_line, terminal
from bench.errors import UserError, as_user_error, first_line

if TYPE_CHECKING:
    from rich.console import Console

    from architectures.denoiser import Registration
    from architectures.pattern import Slot

LISTED_VOCABULARY = 256
LISTED_LENGTH = 2048


def patterns(
    family: Annotated[
        str, typer.Argument(help='A pattern or a family: "permute(MFA)*8", "M{1..4}FA*4", "place(A, MF*8)".')
    ],
    plain: Annotated[bool, typer.Option("--plain", help="Patterns only, one a line, for a study's axis.")] = False,
    plugin: PluginOption = None,
) -> None:
    """List the block patterns of a family, and which of them are rotations of one another.

    permute(MFA) gives every order, M{1..4} counts, place(A, MF*8) one A at every place in the stack. Repeated orders
    are cycles: MFA*8, FAM*8 and AMF*8 are one sequence read from three places, equal but for the edges.
    """
    from rich.table import Table

    from architectures.family import expand_family
    from architectures.pattern import PatternError
    from bench.plugins import load_plugins

    load_plugins(plugin or [])
    with as_user_error(PatternError):
        found = expand_family(family)
    if plain:
        for pattern in found:
            print_line(str(pattern))
        return
    table = Table("pattern", "mixers", "block", "repeats", "cycle", box=None, pad_edge=False)
    for pattern in found:
        cycle = pattern.cycle if pattern.repeats > 1 else ""
        table.add_row(str(pattern), str(len(pattern)), str(len(pattern.block)), str(pattern.repeats), cycle)
    terminal().print(table)


def check(
    module: Annotated[
        str,
        typer.Argument(help="Module (my_lab.my_block), mixers ('M(backward)', '[fla.gla]') or registered denoiser."),
    ],
    device: Annotated[str | None, typer.Option(help="cpu or cuda; both where there is a GPU when left out.")] = None,
    kernel: KernelOption = None,
) -> None:
    """Run the contract on every mixer and denoiser that a module registers; exit code 1 when a check fails.

    Shape, type, determinism, gradients, no leak across the batch, FLOP count, mixed precision. Mixers: direction by
    perturbing the input, on a GPU agreement with the CPU. Denoisers: lengths, special tokens, state, device.
    """
    import torch
    from rich.table import Table
    from rich.text import Text

    from architectures.contract import check_slot
    from architectures.denoiser import Registration
    from architectures.denoiser_contract import check_denoiser
    from architectures.registry import find_mixer

    if device not in (None, "cpu", "cuda"):
        raise UserError(f"--device {device}: allowed are cpu and cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no CUDA device here")
    there = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    devices = [device] if device else there
    for place in devices:
        force_kernels(kernel, place)
    console, failures = terminal(), 0
    for one in _registered_by(module):
        alone = () if isinstance(one, Registration) else find_mixer(one.mixer).devices
        if alone and not set(alone) & set(devices):
            raise UserError(f"{one} runs on {', '.join(alone)} alone; here: {', '.join(there)}")
        for place in [place for place in devices if not alone or place in alone]:
            if isinstance(one, Registration):
                title, points = f"denoiser {one.name} on {place}", check_denoiser(one, device=place)
            else:
                named = f" [{find_mixer(one.mixer).name}]" if one.mixer.isupper() else ""
                title, points = f"{one}{named} on {place}", check_slot(one, device=place)
            table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=False)
            for point in points:
                failures += not point.passed
                state = Text("ok", style="green") if point.passed else Text("FAILED", style="red")
                table.add_row(state, point.name, point.detail)
            console.print(table)
    if "cuda" not in devices:
        console.print("CUDA was not checked: no CUDA device here" if device is None else "CUDA was not checked")
    if failures:
        console.print(f"{failures} of the contract's checks failed")
        raise typer.Exit(1)


def _registered_by(module: str) -> list[Registration | Slot]:
    """What is checked: the mixers of a pattern, a registered denoiser, or all that a module registers."""
    from architectures.denoiser import Registration, registered_denoisers
    from architectures.pattern import PatternError, Slot
    from architectures.registry import canonical_pattern
    from bench.plugins import load_plugins

    with as_user_error(PatternError):
        if module[:1].isupper() or module[:1] == "[":
            return list(dict.fromkeys(canonical_pattern(module).slots))
    if known := registered_denoisers().get(module):
        return [known]
    found = load_plugins([module])
    return [one if isinstance(one, Registration) else Slot(one.letter or one.name) for one in found]


def print_architectures(console: Console) -> None:
    """Print each catalog arm: name, pattern, parameters, GFLOPs at 2048 tokens; below it direction and words.

    Two lines an arm, so that nothing is cut on a terminal of 80 columns.
    """
    from architectures.building import count_parameters, shapes_only
    from architectures.catalog import CATALOG, build
    from architectures.denoiser import registered_denoisers

    console.print("architectures", style="italic")
    console.print(
        f"default sizes, {LISTED_VOCABULARY} token ids; GFLOPs of one forward pass of {LISTED_LENGTH} tokens",
        style="dim",
    )
    name_width = max(map(len, CATALOG)) + 2
    pattern_width = max(len(arm.pattern) for arm in CATALOG.values()) + 2
    header = f"{'name':<{name_width}}{'pattern':<{pattern_width}}{'parameters':>11}{'GFLOPs':>9}"
    console.print(header, style="bold", no_wrap=True)
    for arm in CATALOG.values():
        with shapes_only():
            backbone = build(arm.name, vocab_size=LISTED_VOCABULARY)
        gflops = backbone.flops(LISTED_LENGTH).total / 1e9
        figures = f"{count_parameters(backbone):>11,}{gflops:>9.2f}"
        row = f"{arm.name:<{name_width}}{arm.pattern:<{pattern_width}}{figures}"
        console.print(row, no_wrap=True)
        console.print(f"  {backbone.direction}; {arm.description}", style="dim")
    for found in registered_denoisers().values():
        _print_denoiser(console, found, name_width + pattern_width)
    console.print()


def _print_denoiser(console: Console, found: Registration, column: int) -> None:
    """Two lines, or what keeps it from being built with its default sizes."""
    from architectures.building import count_parameters
    from architectures.catalog import resolve, without_weights

    try:
        network = without_weights(resolve(found.name, LISTED_VOCABULARY))
        figures = f"{count_parameters(network):>11,}{network.flops(LISTED_LENGTH).total / 1e9:>9.2f}"
    except Exception as error:  # a user's network may fail in any way
        figures = f"  n/a: {first_line(error)}"
    console.print(f"{f'{found.name}  own stem':<{column}}{figures}", no_wrap=True)
    console.print(f"  {found.direction}; {found.description}", style="dim")
