"""Checkpoints: safetensors beside JSON, whole or absent, never pickle.

    <folder>/step-000000400.safetensors   weights/<name>, ema/<name>, kept/<name>, optimiser/<name>/<state>
    <folder>/step-000000400.json          step, settings, seed, counters; written last, with the tensors' checksum

A pair counts once its JSON is there; the pair before it is deleted only then. `kept` is the average of the best
validation before.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from bench.errors import quoted
from bench.files import differences, file_sha256, write_atomically
from bench.training.errors import TrainingError
from bench.training.optimiser import AveragedWeights

FORMAT = 1


def save_checkpoint(folder: Path, tensors: Mapping[str, torch.Tensor], meta: Mapping[str, Any]) -> Path:
    """Write a checkpoint for `meta["step"]` and drop the ones before it; returns the path of its JSON.

    Raises TrainingError when the disk is full or the folder cannot be written; the checkpoint before stays whole.
    """
    path = folder / f"step-{meta['step']:09d}.json"
    tensor_path, temporary = path.with_suffix(".safetensors"), path.with_suffix(".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists() and tensor_path.exists():
            checksum = json.loads(path.read_text(encoding="utf-8"))["sha256"]
        else:
            _write_tensors(tensors, temporary)
            checksum = file_sha256(temporary)
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.replace(tensor_path)
        content = {"format": FORMAT, **meta, "sha256": checksum}
        write_atomically(path, json.dumps(content, indent=1))
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if not path.exists():
            tensor_path.unlink(missing_ok=True)
        raise TrainingError(f"checkpoint: cannot write {tensor_path} ({error}); the one before it is kept") from error
    for old in (*folder.glob("step-*"), *folder.glob(".step-*")):  # the latter left by a kill in mid-write
        if old.stem != path.stem:
            old.unlink(missing_ok=True)
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """JSON of the newest complete checkpoint in `folder`, or None."""
    found = sorted(folder.glob("step-*.json"))
    return found[-1] if found else None


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and meta of the checkpoint whose JSON is `path`; TrainingError where it is truncated or foreign."""
    tensor_path = path.with_suffix(".safetensors")
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
        if meta.get("format") != FORMAT:
            raise TrainingError(f"checkpoint: {path} has format {meta.get('format')}; allowed: {FORMAT}")
        if file_sha256(tensor_path) != meta["sha256"]:
            raise TrainingError(f"checkpoint: {tensor_path} is truncated or was changed (its checksum is another)")
        return load_file(tensor_path), meta
    except (OSError, ValueError, KeyError, AttributeError, SafetensorError) as error:
        if isinstance(error, TrainingError):
            raise
        raise TrainingError(f"checkpoint: {path} cannot be read ({error})") from error


def load_checkpoint(folder: Path | str, *, weights: str = "ema") -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """State of the backbone (for `load_state_dict`) and meta of the newest checkpoint of a run; `step` of the meta is
    that of the weights.

    `folder` is the run's folder or its `checkpoint` folder; `weights` is `ema` (averaged, what is evaluated: of a
    finished run those that were kept) or `weights` (the last step's). Raises TrainingError where there is none, or its
    checksum is wrong.
    """
    folder = Path(folder)
    path = latest_checkpoint(folder / "checkpoint") or latest_checkpoint(folder)
    if path is None:
        raise TrainingError(f"checkpoint: none in {folder}; allowed: the folder of a run that has saved one")
    if weights not in ("ema", "weights"):
        raise TrainingError(f"weights: {quoted(weights)}; allowed: ema, weights")
    tensors, meta = read_checkpoint(path)
    state = part_of(tensors, "weights")
    if weights == "ema":
        part, step = averaged_part(meta)
        state |= part_of(tensors, part)
        meta |= {"step": step}
    return state | {alias: state[name] for alias, name in meta["aliases"].items()}, meta


def averaged_part(meta: Mapping[str, Any]) -> tuple[str, int]:
    """Part of a checkpoint that holds the averaged weights which are evaluated, and their step: of a finished run those
    that were kept."""
    step = meta.get("ledger", {}).get("kept_at") or meta["step"]
    return ("ema" if step == meta["step"] else "kept"), step


def part_of(tensors: Mapping[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    """The tensors of a part of a checkpoint (`weights`, `ema`, `kept`) by their names in the module."""
    return {name.removeprefix(f"{part}/"): value for name, value in tensors.items() if name.startswith(f"{part}/")}


def capture(
    module: nn.Module, average: AveragedWeights, optimiser: Any, kept: Mapping[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """All tensors the next step depends on, and the aliases of shared ones."""
    state, aliases = module_tensors(module)
    tensors = {f"weights/{name}": value for name, value in state.items()}
    tensors |= {f"ema/{name}": value for name, value in average.average.items()}
    tensors |= {f"kept/{name}": value for name, value in kept.items()}
    names = {id(value): name for name, value in module.named_parameters()}
    for parameter, entries in optimiser.state.items():
        tensors |= {f"optimiser/{names[id(parameter)]}/{key}": value for key, value in entries.items()}
    return tensors, aliases


def restore(
    path: Path, tensors: Mapping[str, torch.Tensor], module: nn.Module, average: AveragedWeights, optimiser: Any
) -> None:
    """Write captured tensors back; TrainingError, with nothing changed, where they do not fit the module."""
    wanted = {f"weights/{name}": value for name, value in module_tensors(module)[0].items()}
    wanted |= {f"ema/{name}": value for name, value in average.average.items()}
    for name, value in wanted.items():
        if name not in tensors or tensors[name].shape != value.shape:
            found = tuple(tensors[name].shape) if name in tensors else "missing"
            raise TrainingError(f"checkpoint: {path}: {name} is {found}, the backbone needs {tuple(value.shape)}")
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name, value in wanted.items():
            value.copy_(tensors[name])
    for name, value in tensors.items():
        if name.startswith("optimiser/"):
            owner, key = name.removeprefix("optimiser/").rsplit("/", 1)
            optimiser.state[parameters[owner]][key] = value.to(parameters[owner].device)


def module_tensors(module: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The state of `module` with each shared tensor once, and the other names of those (alias -> kept name)."""
    kept: dict[str, torch.Tensor] = {}
    aliases: dict[str, str] = {}
    names: dict[int, str] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        if id(value) in names:
            aliases[name] = names[id(value)]
        else:
            names[id(value)], kept[name] = name, value
    return kept, aliases


def first_difference(then: dict[str, Any], now: dict[str, Any]) -> str | None:
    """Words for the first setting that differs between two nested dictionaries, or None: `train.batch: 8, now 16`."""
    return min((f"{key}: {left}, now {right}" for key, left, right in differences(then, now)), default=None)


def _write_tensors(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Raises OSError with the system's number; safetensors itself only spells it out."""
    try:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error), str(path)) from error
