"""`doctor`: what this machine can run and measure, each kernel tried once, and what to do for the rest."""

from __future__ import annotations

import typer

from bench.cli.options import DeviceOption
from bench.cli.terminal import terminal

PASSING = ("quiet", "clock")
"""Findings about the moment, which are no fault of what is installed."""
STYLES = {"works": "green", "missing": "yellow", "fails": "red"}


def doctor(device: DeviceOption = "auto") -> None:
    """Look at the machine, what is installed and which kernels work (a tiny run of each), and say what to do.

    Compiling a kernel for the first time may take a minute. Exit code 1 when something that is there fails.
    """
    from rich.text import Text

    from bench.errors import as_user_error
    from bench.measure.efficiency.doctor import examine

    console = terminal()
    with as_user_error(ValueError):
        findings = list(examine(device))
    width = max(len(one.subject) for one in findings)
    for one in findings:
        words = f" {one.subject:<{width}}  {one.detail}"
        console.print(Text(f"{one.state:8}", style=STYLES[one.state]) + Text(words), soft_wrap=True)
        if one.advice:
            console.print(f"{'':8} {'':<{width}}  -> {one.advice}", soft_wrap=True)
    failing = [one.subject for one in findings if one.state == "fails" and one.subject not in PASSING]
    if failing:
        console.print(f"failing: {', '.join(failing)}", soft_wrap=True)
        raise typer.Exit(1)
