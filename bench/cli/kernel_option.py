"""`--kernel OPERATOR=NAME`: which implementation computes what, for commands that compute in this process."""

from __future__ import annotations

import os
from typing import Annotated

import typer

KernelOption = Annotated[
    list[str] | None,
    typer.Option("--kernel", help="Kernel of an operator: scan=torch, attention=math, ...; repeatable; see `doctor`."),
]


def kernels_of(words: list[str] | None) -> dict[str, str]:
    """Operator -> kernel. Raises UserError for an operator or a kernel that does not exist."""
    from pydantic import ValidationError

    from bench.errors import UserError
    from bench.study_file import KernelSettings

    known = ", ".join(KernelSettings.model_fields)
    found = {}
    for word in words or []:
        operator, equals, name = word.partition("=")
        if not equals or operator not in KernelSettings.model_fields:
            raise UserError(f"--kernel {word}: write OPERATOR=NAME; operators: {known}")
        try:
            KernelSettings(**{operator: name})
        except ValidationError as error:
            raise UserError(f"--kernel {word}: {error.errors()[0]['msg']}") from error
        found[operator] = name
    return found


def force_kernels(words: list[str] | None, device: str) -> None:
    """Force the kernels in this process. Raises UserError for one that cannot run on `device`, with the reason."""
    from architectures.kernels import chosen_kernels
    from bench.errors import UserError
    from bench.study_file import kernel_environment
    from metrics.device import resolve_device

    asked = kernels_of(words)
    if not asked:
        return
    try:
        chosen_kernels(resolve_device(device), asked)
    except ValueError as error:
        raise UserError(f"--kernel: {error}") from error
    os.environ.update(kernel_environment(asked))
