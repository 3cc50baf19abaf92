"""Building of networks: parameters counted, without weights for sizes and shapes, with random draws of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


def count_parameters(module: nn.Module) -> int:
    """Number of trained values, shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


ELEMENTWISE = (  # by torch.nn.init as well as by tensors
    "normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "xavier_uniform_", "_no_grad_normal_",
    "log", "log_", "exp", "expm1", "log1p", "clamp_", "clamp", "copy_", "fill_", "zero_", "neg", "empty_like", "div_",
    "__rdiv__",
)  # fmt: skip
BINARY = ("add", "sub", "mul")


class _NoInitialValues(TorchFunctionMode):
    """Initial values are not computed: torch would import its compiler, in seconds, to infer their shapes alone."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ELEMENTWISE:
            return args[0] if args else kwargs["tensor"]  # the same shape, the same type
        if name == "arange" and all(isinstance(x, int) for x in args):
            return torch.empty(1).expand(len(range(*args)))
        if name == "randn" and not kwargs:
            return torch.empty(*args)
        if name == "logspace":
            return torch.empty(1).expand(args[2])
        if name in BINARY and all(isinstance(x, float) or _same_floats(x, args[0]) for x in args):
            return args[0]
        return func(*args, **kwargs)


def _same_floats(x: Any, first: Any) -> bool:
    tensors = isinstance(x, torch.Tensor) and isinstance(first, torch.Tensor)
    return tensors and x.shape == first.shape and x.is_floating_point()


@contextmanager
def own_random(seed: int | None = None) -> Iterator[None]:
    """A block whose draws leave torch's generators as they were; `seed`: what it draws from. No GPU is initialised."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        if seed is not None:
            torch.manual_seed(seed)
        yield


@contextmanager
def shapes_only() -> Iterator[None]:
    """Modules built inside lie on the meta device: their parameters have shapes and no storage.

    For parameters and FLOPs of a backbone of any size at no cost.
    """
    with torch.device("meta"), _NoInitialValues():
        yield
