"""Weights of a file put into a network that is not trained here: safetensors alone, nothing is unpickled.

A file holds the names of the network's own `state_dict`, or is a checkpoint of `train`: its averaged weights are taken.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from bench.training.checkpoint import latest_checkpoint, module_tensors
from bench.training.errors import TrainingError

SUFFIX = ".safetensors"
KINDS = ("ema/", "weights/")
"""Prefixes in a checkpoint of `train`, the first wanted first."""
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
        raise TrainingError(f"checkpoint: {file} cannot be read ({str(error).splitlines()[0]})") from error


def _names(file: Path, network: nn.Module, stored: dict[str, tuple[int, ...]]) -> dict[str, str]:
    """Tensor of the network -> its name in the file, a shared tensor by any of its names."""
    tensors, aliases = module_tensors(network)
    others: dict[str, list[str]] = {name: [name] for name in tensors}
    for alias, kept in aliases.items():
        others[kept].append(alias)
    names, used = {}, set()
    for name, tensor in tensors.items():
        written = [
            f"{kind}{one}"
            for kind in (*KINDS, "")
            for alias in others[name]
            for one in (alias, alias.removeprefix(NETWORK))
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
    surplus = [name for name in stored if name not in used and not name.startswith("optimiser/")]
    if surplus:
        raise TrainingError(f"checkpoint: {file} has {surplus[0]}, the network has not; its tensors: {_some(tensors)}")
    return names


def _some(names: Any) -> str:
    """The first names, and how many more there are."""
    listed = list(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
