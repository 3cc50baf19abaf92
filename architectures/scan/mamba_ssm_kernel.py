"""The `mamba_ssm` kernel: the compiled CUDA scan of the optional package mamba-ssm, in its layout and types."""

from typing import Any

import torch
from torch import Tensor

from architectures import package_kernels
from architectures.scan.inputs import ScanGradients, ScanInputs


class _Context:
    """Autograd's context for a call inside an operator, where autograd makes none."""

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        self.saved_tensors = tensors


def unusable_reason() -> str:
    """The package and its extension must be importable and compute a tiny scan on the CUDA device."""
    return package_kernels.unusable_reason("mamba_ssm", _trial)


def _trial(device: torch.device) -> tuple[Tensor, Tensor]:
    """Output and gradient of a scan of two channels against the closed form: y_t = 2 - 2^-t for halving states."""
    u = torch.ones(1, 2, 40, device=device, requires_grad=True)
    step, ones = torch.full_like(u, 0.6931471805599453), torch.ones(1, 1, 40, device=device)
    decay = -torch.ones(2, 1, device=device)
    y = differentiable(ScanInputs(u / step, step.detach(), decay, ones, ones, None, None, None, False, False))
    (found,) = torch.autograd.grad(y.sum(), u)
    place = torch.arange(40.0, device=device).expand(1, 2, 40)
    expected = torch.stack((2 - 2.0**-place, 2 - 2.0 ** (place - 39)))
    return torch.stack((y.detach(), found)), expected


def _arguments(inputs: ScanInputs) -> list[Any]:
    """In the order and types of mamba_ssm: A, D and the bias in float32, all that has time in the type of u."""
    tensors = list(inputs.tensors)
    if inputs.reverse:
        tensors = [t.flip(-1) if t is not None and t.dim() == 3 else t for t in tensors]
    timed = [None if t is None else t.to(inputs.u.dtype if t.dim() == 3 else torch.float32) for t in tensors]
    return [*(None if t is None else t.contiguous() for t in timed), inputs.delta_softplus]


def differentiable(inputs: ScanInputs) -> Tensor:
    """y (B, D, L) through the package's own autograd function, which keeps what its backward pass needs;
    `selective_scan` calls it where the operator need not appear in a graph or a count."""
    y_BDL = package_kernels.selective_scan(*_arguments(inputs))
    return (y_BDL.flip(-1) if inputs.reverse else y_BDL).to(inputs.u.dtype)


def _detached(inputs: ScanInputs) -> ScanInputs:
    return inputs.with_tensors(tuple(None if t is None else t.detach() for t in inputs.tensors))


def forward(inputs: ScanInputs) -> Tensor:
    """y (B, D, L), state in float32, in the type of u."""
    y_BDL = package_kernels.selective_scan_class().forward(_Context(), *_arguments(_detached(inputs)))
    return (y_BDL.flip(-1) if inputs.reverse else y_BDL).contiguous()


def backward(inputs: ScanInputs, grad_BDL: Tensor) -> ScanGradients:
    """Gradients of all arguments, each in its argument's type; runs the forward pass again for what it saves."""
    context, scan = _Context(), package_kernels.selective_scan_class()
    scan.forward(context, *_arguments(_detached(inputs)))
    grad_BDL = grad_BDL.flip(-1) if inputs.reverse else grad_BDL
    found = scan.backward(context, grad_BDL.to(inputs.u.dtype).contiguous())[:8]

    def returned(gradient: Tensor, argument: Tensor) -> Tensor:
        gradient = gradient.flip(-1) if inputs.reverse and argument.dim() == 3 else gradient
        return gradient.to(argument.dtype)

    pairs = zip(found, inputs.tensors, strict=True)
    return ScanGradients(*(None if t is None else returned(g, t) for g, t in pairs))  # type: ignore[arg-type]
