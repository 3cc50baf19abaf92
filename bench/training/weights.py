"""Weights of a file put into a network that is not trained here: safetensors alone, nothing is unpickled.

A file holds the names of the network's own `state_dict`, or is a checkpoint of `train`: its averaged weights are taken.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from bench.errors import first_line
from bench.files import canonical_hash, file_sha256, read_json
from bench.training.checkpoint import averaged_part, latest_checkpoint, module_tensors
from bench.training.errors import TrainingError

SUFFIX = ".safetensors"
NO_WEIGHTS = ("ema/", "kept/", "optimiser/")
"""Prefixes in a checkpoint of `train` of what may be left over."""
NETWORK = "network."
"""Prefix of a registered denoiser's own names in the state of what trains it."""


def weights_file(path: Path | str) -> Path:
    """The file of a checkpoint: itself, or the newest one of the folder of a run. Raises TrainingError for neither."""
    path = Path(path)
    newest = latest_checkpoint(path / "checkpoint") or latest_checkpoint(path)
    found = newest.with_suffix(SUFFIX) if newest else path
    if found.suffix != SUFFIX or not found.is_file():
        raise TrainingError(
            f"checkpoint: {path} is no {SUFFIX} file; allowed: such a file, or the folder of a `train` run"
        )
    return found


def weights_hash(file: Path) -> str:
    """SHA-256 of a file, and of the JSON beside it, which decides what of a checkpoint is evaluated."""
    digests = [file_sha256(one) for one in (file, file.with_suffix(".json")) if one.is_file()]
    return digests[0] if len(digests) == 1 else canonical_hash(digests, 64)


def check_weights(file: Path, network: nn.Module) -> None:
    """Raise TrainingError where the tensors of a file are not those of the network; reads the file's header alone."""
    with _opened(file) as stream:
        _names(file, network, {name: tuple(stream.get_slice(name).get_shape()) for name in stream.keys()})  # noqa: SIM118


def load_weights(file: Path, network: nn.Module) -> None:
    """Fill the network with the tensors of a file. Raises TrainingError, nothing changed, where they do not fit."""
    with _opened(file) as stream:
        stored = {name: tuple(stream.get_slice(name).get_shape()) for name in stream.keys()}  # noqa: SIM118
        names = _names(file, network, stored)
        tensors, _ = module_tensors(network)
        with torch.no_grad():
            for name, source in names.items():
                tensors[name].copy_(stream.get_tensor(source))


def _opened(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt")
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"checkpoint: {file} cannot be read ({first_line(error)})") from error


def _part(file: Path, stored: dict[str, tuple[int, ...]]) -> str:
    """Part of a checkpoint of `train` that is evaluated, by the JSON beside it; "" for any other file."""
    if not any(name.startswith("weights/") for name in stored):
        return ""
    meta = read_json(file.with_suffix(".json"))
    if meta is None:
        raise TrainingError(
            f"checkpoint: {file} is of a training, and its JSON is not beside it; give the run's folder"
        )
    return averaged_part(meta)[0]


def _names(file: Path, network: nn.Module, stored: dict[str, tuple[int, ...]]) -> dict[str, str]:
    """Tensor of the network -> its name in the file, a shared tensor by any of its names."""
    tensors, aliases = module_tensors(network)
    others: dict[str, list[str]] = {name: [name] for name in tensors}
    for alias, kept in aliases.items():
        others[kept].append(alias)
    part = _part(file, stored)
    kinds = (f"{part}/", "weights/") if part else ("",)
    names, used = {}, set()
    for name, tensor in tensors.items():
        written = [
            f"{kind}{one}" for kind in kinds for alias in others[name] for one in (alias, alias.removeprefix(NETWORK))
        ]
        source = next((one for one in written if one in stored), None)
        used |= set(written)
        if source is None:
            raise TrainingError(f"checkpoint: {file} has no {name}; its tensors: {_some(stored)}")
        if stored[source] != tuple(tensor.shape):
            raise TrainingError(
                f"checkpoint: {file}: {source} is {stored[source]}, the network's is {tuple(tensor.shape)}"
            )
        names[name] = source
    surplus = [name for name in stored if name not in used and not (part and name.startswith(NO_WEIGHTS))]
    if surplus:
        raise TrainingError(f"checkpoint: {file} has {surplus[0]}, the network has not; its tensors: {_some(tensors)}")
    return names


def _some(names: Any) -> str:
    """The first names, and how many more there are."""
    listed = list(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
