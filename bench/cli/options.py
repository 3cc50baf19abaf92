"""Arguments and options that several commands share, and the parsers of their values."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import UserError, as_user_error, quoted
from bench.study import MOST_SEED

if TYPE_CHECKING:
    from bench.data.settings import TokenizerSettings
    from bench.study.settings import ArmModelSettings
    from bench.study.yaml import Model

RESULTS = Path("results")
SEEDS: dict[str, Any] = {"min": 0, "max": MOST_SEED}
ArmArgument = Annotated[
    str, typer.Argument(help="Arm (see `list architectures`), registered denoiser, or block pattern, such as MFA*4.")
]
StudyArgument = Annotated[
    str, typer.Argument(help="Name of a shipped study (see `list studies`) or path of a YAML file.")
]
FinishedStudy = Annotated[str, typer.Argument(help="Name of a study that was run, or path of its results folder.")]
ResultsOption = Annotated[Path, typer.Option("--results", help="Folder that holds one folder a study.")]
LicenceOption = Annotated[
    str | None,
    typer.Option("--license", help="SPDX identifier of the results' licence: CC-BY-4.0; default: none stated."),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="A setting in place of the file's: train.steps=500; may be repeated.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="A study of very many cells is meant.")]
JobsOption = Annotated[
    int | None, typer.Option(min=1, help="Quality cells at once; default: cores divided by threads a cell.")
]
FailFastOption = Annotated[
    bool, typer.Option("--fail-fast/--keep-going", help="End the run at the first cell that fails.")
]
ExecutorOption = Annotated[str, typer.Option(help="Where cells run: local, slurm or ray.")]
OptionOption = Annotated[
    list[str] | None, typer.Option("--option", help="Setting of the executor, KEY=VALUE; may be repeated.")
]
NoReportOption = Annotated[bool, typer.Option("--no-report", help="Write the table alone, no figures and no report.")]
DeviceOption = Annotated[str, typer.Option(help="auto (a GPU where there is one), cpu, cuda or cuda:N.")]
ModelOption = Annotated[
    list[str] | None, typer.Option("--model", help="Size of the arm, key=value, repeatable: width=128.")
]
PluginOption = Annotated[
    list[str] | None, typer.Option("--plugin", help="Module that registers further mixers or denoisers; repeatable.")
]
KernelOption = Annotated[
    list[str] | None,
    typer.Option("--kernel", help="Kernel of an operator: scan=torch, attention=math, ...; repeatable; see `doctor`."),
]


def kernels_of(words: list[str] | None) -> dict[str, str]:
    """Operator -> kernel. Raises UserError for an operator or a kernel that does not exist."""
    from pydantic import ValidationError

    from bench.study.settings import KernelSettings

    known = ", ".join(KernelSettings.model_fields)
    found = {}
    for word in words or []:
        operator, equals, name = word.partition("=")
        if not equals or operator not in KernelSettings.model_fields:
            raise UserError(f"--kernel {word}: write OPERATOR=NAME; operators: {known}")
        try:
            KernelSettings.model_validate({operator: name})
        except ValidationError as error:
            raise UserError(f"--kernel {word}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error
        found[operator] = name
    return found


def force_kernels(words: list[str] | None, device: str) -> None:
    """Force the kernels in this process. Raises UserError for one that cannot run on `device`, with the reason."""
    from architectures.kernels import chosen_kernels
    from bench.study.settings import kernel_environment
    from metrics.cost.device import resolve_device

    asked = kernels_of(words)
    if not asked:
        return
    with as_user_error(ValueError, words="--kernel: "):
        chosen_kernels(resolve_device(device), asked)
    os.environ.update(kernel_environment(asked))


def pairs(words: list[str] | None, option: str) -> dict[str, str]:
    """`["width=128"]` -> {"width": "128"}. Raises UserError for a word that is no pair."""
    found = {}
    for word in words or []:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UserError(f"{option} {quoted(word)}: allowed: key=value")
        found[key] = value
    return found


def settings_of(words: list[str] | None, option: str) -> dict[str, Any]:
    """`["width=128"]` -> {"width": 128}: values are read as JSON where they are, else as text."""
    found: dict[str, Any] = dict(pairs(words, option))
    for key, text in found.items():
        with suppress(ValueError):
            found[key] = json.loads(text)
    return found


def typed(kind: type[Model], words: list[str] | None, option: str) -> Model:
    """The settings of an option's `key=value` words. Raises UserError that names the option and the key."""
    from bench.study.yaml import Place, validate

    return validate(kind, settings_of(words, option), Place(option))


def sizes_of_arm(arm: str, words: list[str] | None) -> ArmModelSettings:
    """The sizes of an arm from `--model`. Raises UserError for one that a backbone does not have; a denoiser's own are
    checked with it."""
    from architectures.denoiser import registered_denoisers
    from bench.study.settings import ArmModelSettings, ModelSettings

    if arm not in registered_denoisers():
        typed(ModelSettings, words, "--model")
    return typed(ArmModelSettings, words, "--model")


def tokenizer_of(words: list[str] | None, option: str) -> TokenizerSettings:
    """The tokenizer of an option's words: `remi-m`, `default`, or `key=value` pairs. Raises UserError."""
    from bench.data.settings import TokenizerSettings

    given = [word if "=" in word else f"preset={word}" for word in words or [] if word != "default"]
    return typed(TokenizerSettings, given, option)


def results_folder(study: str, results: Path) -> Path:
    """The results folder of a study given by name, by the path of its YAML file or by the folder itself.

    Raises UserError that names what has been run where there is none.
    """
    for folder in (results / study, Path(study), *(results / name for name in _names_in(Path(study)))):
        if (folder / "study.json").is_file():
            return folder
    from bench.study.grid import STUDIES_FOLDER

    found = sorted(path.parent.name for path in results.glob("*/study.json"))
    known = f"there are results of {', '.join(found)}" if found else f"{results} holds no study; run one first"
    if found and (STUDIES_FOLDER / f"{study}.yaml").is_file():
        known += f"; first: smdim-bench run {study}"
    raise UserError(f"no results of {quoted(study)}: {known}")


def _names_in(file: Path) -> list[str]:
    """What the results folder of a study's file may be called: the name that it states, else its own."""
    stated = ""
    if file.is_file():
        from bench.study.yaml import read_yaml

        with suppress(UserError):  # the name of a file that cannot be read is its own
            stated = read_yaml(file)[0].get("name", "")
    return [*([stated] if isinstance(stated, str) and stated else []), file.stem]
