"""[fla.NAME]: layers of the package flash-linear-attention as mixers, on CUDA.

The package (module `fla`) is imported in this file alone, when a pattern names one of its layers. NAME is the layer's
module in `fla.layers`; where that has several layers, the class in small letters follows: `rodimus.rodimusattention`.
"""

from __future__ import annotations

import inspect
import math
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from inspect import Parameter
from typing import Any, ClassVar, get_args

import torch
from torch import nn

from architectures.errors import first_line
from architectures.mamba import MambaDirection
from architectures.mixer import FlopCount, Mixer, MixerError, has_autocast, writes_residual
from architectures.registry import register_family

FAMILY = "fla"
PACKAGE = "flash-linear-attention"
WRITTEN = (bool, int, float, str, type(None))
"""Types of the options that a pattern can write; None: whatever the layer takes."""
OUTPUTS = ("o_proj", "out_proj")
"""Names of a layer's last projection, which joins the residual."""


class FlaLayer(Mixer):
    """A layer of flash-linear-attention with its own options and defaults, through an adapter that is not published.

    (B, L, D) -> (B, L, D), in bfloat16 where autocast is off: some of its kernels take no float32. direction: `forward`
    is causal, `backward` its mirror; `bidirectional` (of this project, not published) adds both ways of one layer:
    equal parameters, twice the cost.
    """

    form = "tied"
    devices = ("cuda",)
    uncounted = "the Triton kernels of flash-linear-attention are seen by no FLOP counter"
    words: ClassVar = {word: ("direction", word) for word in get_args(MambaDirection)}
    layer_class: ClassVar[type[nn.Module]]

    def __init__(self, width: int, *, direction: MambaDirection = "forward", **options: Any) -> None:
        super().__init__(width)
        self.set_direction(direction, MambaDirection)
        known = inspect.signature(self.layer_class).parameters
        given = {"hidden_size": width, **{name: value for name, value in options.items() if value is not None}}
        if "layer_idx" in known:
            given["layer_idx"] = 0  # the place in a cache, which is not used here
        try:
            self.layer = self.layer_class(**given)
        except Exception as error:  # whatever a foreign constructor raises
            raise ValueError(first_line(error)) from error
        for name in OUTPUTS:
            if isinstance(last := getattr(self.layer, name, None), nn.Linear):
                writes_residual(last)

    def forward(self, x_BLD: torch.Tensor, pad_BL: torch.Tensor | None = None) -> torch.Tensor:
        """(B, L, D) -> (B, L, D); PAD, which follows what is read, is left out where the layer runs backward."""
        self.check_device(x_BLD.device)
        place = x_BLD.device.type
        dtype = torch.get_autocast_dtype(place) if torch.is_autocast_enabled(place) else torch.bfloat16
        with torch.autocast(place, dtype):
            if self.direction == "forward":
                y = self._run(x_BLD)
            else:
                y = self._run(x_BLD.flip(1), None if pad_BL is None else pad_BL.flip(1)).flip(1)
                y = y + self._run(x_BLD) if self.direction == "bidirectional" else y
        return y.to(x_BLD.dtype)

    def _run(self, x_BLD: torch.Tensor, pad_BL: torch.Tensor | None = None) -> torch.Tensor:
        more = {} if pad_BL is None else {"attention_mask": (~pad_BL).int()}  # 1: read, 0: PAD
        y = self.layer(x_BLD, **more)
        return y[0] if isinstance(y, tuple) else y

    def flops(self, length: int) -> FlopCount:
        """NaN: see `uncounted`."""
        return FlopCount(matmul=math.nan)

    def kernels(self, device: torch.device) -> dict[str, str]:
        """{"fla": its version, and the type where autocast is off}."""
        on = has_autocast(device) and torch.is_autocast_enabled(device.type)
        return {FAMILY: package_version() + ("" if on else "+bfloat16")}


def package_version() -> str:
    """Version of the package that is installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "unknown"


@register_family(FAMILY)
def layer_mixer(name: str) -> type[Mixer]:
    """The mixer of a layer. Raises MixerError where the package is not there, cannot be imported or has no such one."""
    layers = _layers()
    if name not in layers:
        raise MixerError(f"no layer {name!r} in {PACKAGE} {package_version()}; allowed: {', '.join(sorted(layers))}")
    layer = layers[name]
    options = [
        one.replace(kind=Parameter.KEYWORD_ONLY, default=None if one.default is Parameter.empty else one.default)
        for one in inspect.signature(layer).parameters.values()
        if one.name not in ("hidden_size", "layer_idx") and one.kind is not Parameter.VAR_KEYWORD and _is_written(one)
    ]
    own = list(inspect.signature(FlaLayer).parameters.values())[:-1]  # width and direction, without **options
    content = {
        "layer_class": layer,
        "title": f"{layer.__name__} of fla (unpublished adapter)",
        "__doc__": f"{layer.__name__}: {FlaLayer.__doc__}",
        "__module__": __name__,
        "__signature__": inspect.Signature([*own, *options]),
    }
    return type(layer.__name__, (FlaLayer,), content)


def _is_written(option: Parameter) -> bool:
    """Whether a pattern can write it: a small-letter name, and a plain value."""
    plain = option.default is Parameter.empty or isinstance(option.default, WRITTEN)
    return plain and option.name == option.name.lower()


@cache
def _layers() -> dict[str, type[nn.Module]]:
    """The layers that the package exports, by the name in a pattern."""
    try:
        package = import_module(f"{FAMILY}.layers")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != FAMILY:
            raise MixerError(f"{PACKAGE} needs {error.name}, which is not installed") from error
        raise MixerError(f"{PACKAGE} is not installed; pip install {PACKAGE} beside torch for CUDA") from error
    except Exception as error:  # a foreign build can fail in any way
        raise MixerError(f"{PACKAGE} is installed but broken: {first_line(error)}") from error
    modules: dict[str, list[type[nn.Module]]] = {}
    for exported in package.__all__:
        layer = getattr(package, exported)
        modules.setdefault(layer.__module__.rpartition(".")[2], []).append(layer)
    return {
        module if len(classes) == 1 else f"{module}.{one.__name__.lower()}": one
        for module, classes in modules.items()
        for one in classes
    }
