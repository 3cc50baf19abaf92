"""The `mamba_ssm` kernel: the CUDA scan of the optional package mamba_ssm, imported here and nowhere else."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from architectures.scan.inputs import ScanGradients, ScanInputs


class _Context:
    """Stands in for autograd's context: inside an operator there is no autograd to make one."""

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        self.saved_tensors = tensors


@cache
def unusable_reason() -> str:
    """The package and its compiled extension must be importable and torch must see a CUDA device."""
    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    try:
        _scan_function()
    except ImportError as error:
        return f"mamba_ssm is not importable: {error}"
    return ""


def _scan_function() -> Any:
    from mamba_ssm.ops.selective_scan_interface import SelectiveScanFn

    return SelectiveScanFn


def _arguments(inputs: ScanInputs) -> list[Any]:
    """In the order and types of mamba_ssm: A, D and the bias in float32, all that has time in the type of u."""
    tensors = [None if t is None else t.detach() for t in inputs.tensors]
    if inputs.reverse:
        tensors = [t.flip(-1) if t is not None and t.dim() == 3 else t for t in tensors]
    timed = [None if t is None else t.to(inputs.u.dtype if t.dim() == 3 else torch.float32) for t in tensors]
    return [*(None if t is None else t.contiguous() for t in timed), inputs.delta_softplus]


def forward(inputs: ScanInputs) -> Tensor:
    """y (B, D, L), state in float32, in the type of u."""
    y_BDL = _scan_function().forward(_Context(), *_arguments(inputs))
    return (y_BDL.flip(-1) if inputs.reverse else y_BDL).contiguous()


def backward(inputs: ScanInputs, grad_BDL: Tensor) -> ScanGradients:
    """Gradients of all arguments, each in its argument's type; runs the forward pass again for what it saves."""
    context = _Context()
    _scan_function().forward(context, *_arguments(inputs))
    grad_BDL = grad_BDL.flip(-1) if inputs.reverse else grad_BDL
    found = _scan_function().backward(context, grad_BDL.to(inputs.u.dtype).contiguous())[:8]

    def returned(gradient: Tensor, argument: Tensor) -> Tensor:
        gradient = gradient.flip(-1) if inputs.reverse and argument.dim() == 3 else gradient
        return gradient.to(argument.dtype)

    pairs = zip(found, inputs.tensors, strict=True)
    return ScanGradients(*(None if t is None else returned(g, t) for g, t in pairs))  # type: ignore[arg-type]
