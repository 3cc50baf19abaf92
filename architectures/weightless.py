"""Modules without weights: to ask for sizes and shapes of a backbone of any size at no cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

ELEMENTWISE = (  # by torch.nn.init as well as by tensors
    "normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "xavier_uniform_", "_no_grad_normal_",
    "log", "exp", "expm1", "log1p", "clamp_", "clamp", "copy_", "fill_", "zero_", "neg", "empty_like", "div_",
)  # fmt: skip
BINARY = ("add", "sub", "mul")


class _NoDrawing(TorchFunctionMode):
    """Initial values are not computed: torch would import its compiler, in seconds, to learn their shapes alone."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ELEMENTWISE:
            return args[0] if args else kwargs["tensor"]  # the same shape, the same type
        if name == "arange" and all(isinstance(x, int) for x in args):
            return torch.empty(1).expand(len(range(*args)))
        if name in BINARY and all(isinstance(x, torch.Tensor) and x.shape == args[0].shape for x in args):
            return args[0]
        return func(*args, **kwargs)


@contextmanager
def weightless() -> Iterator[None]:
    """Modules built inside lie on the meta device: parameters have shapes and no storage."""
    with torch.device("meta"), _NoDrawing():
        yield
