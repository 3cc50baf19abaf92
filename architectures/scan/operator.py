"""The selective scan as a torch operator, smdim_bench::selective_scan, and its backward as an operator of its own.

FLOP counters find both by name, torch.compile keeps both whole, and the kernel is chosen when they run.
"""

from typing import Any

import torch
from torch import Tensor

from architectures.kernel_choice import KernelError, around_autograd, record, watched
from architectures.scan.inputs import ScanInputs, check_inputs
from architectures.scan.kernels import KERNELS, chosen_kernel
from architectures.scan.reference import differentiate

ARGUMENTS = (
    "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, Tensor? delta_bias, "
    "bool delta_softplus, bool reverse, str kernel"
)
GRADIENTS = ", ".join(["Tensor"] * 8)


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    *,
    reverse: bool = False,
    kernel: str = "auto",
) -> Tensor:
    """The selective state-space recurrence of Mamba, y (B, D, L) in the type of u.

        step_t = softplus(delta_t + delta_bias)                 (softplus only if `delta_softplus`)
        h_t    = exp(step_t A) h_{t-1} + step_t u_t B_t         h: (B, D, N), zero before the first step
        y_t    = (C_t . h_t + D u_t) silu(z_t)                  (the last two factors only if D, z are given)

    u, delta, z: (B, D, L); A: (D, N); B, C: (B, N, L); D, delta_bias: (D,). Strides are free, types may be mixed;
    half-precision inputs are computed in float32. `reverse` runs time backward: equal to flipping u, delta, B, C, z
    and y along L. `kernel` is "auto" or a name from `available_kernels()`; see `chosen_kernel`.

    Departs from mamba_ssm's `selective_scan_fn`: no B and C constant in time or in groups, no complex A, no last
    state; D, delta_bias and A may have any real type. Gradients exist for all eight tensors; a second derivative
    exists for the kernels `torch` and `reference` and raises for the others.

    Reproducibility: a kernel gives the same bits for any number of threads and batch order, but two kernels, or one
    kernel on two CPU types, differ within float32 rounding.

    Raises ValueError for shapes, types or devices that do not fit, KernelError for a forced kernel that cannot run.
    Source: Gu and Dao 2023 (arXiv 2312.00752), equation 2, with the Euler form of B.
    """
    check_inputs(u, delta, A, B, C, D, z, delta_bias)
    if (u.is_cuda or u.is_cpu) and u.numel() and not watched():
        name = chosen_kernel(u.device, kernel, u.dtype)
        own = getattr(KERNELS[name].load(), "differentiable", None)
        if own is not None:  # its own backward pass keeps what the operator's would compute again
            record("scan", name)
            return own(ScanInputs(u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse))
        if around_autograd():
            record("scan", name)
            inputs = ScanInputs(u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse)
            return KERNELS[name].load().forward(inputs)
        # the operator's dispatch would take a quarter of a short scan's time on a CPU, and as long on the host of a GPU
        result: Tensor = SelectiveScan.apply(u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse, name)
        return result
    return _scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, reverse, kernel)


@torch.library.custom_op("smdim_bench::selective_scan", mutates_args=(), schema=f"({ARGUMENTS}) -> Tensor")
def _scan(u: Tensor, *arguments: Any) -> Tensor:
    *tensors, delta_softplus, reverse, kernel = arguments
    name = chosen_kernel(u.device, kernel, u.dtype)
    record("scan", name)
    if u.numel() == 0:
        return u.new_zeros(u.shape)
    return KERNELS[name].load().forward(ScanInputs.of((u, *tensors), delta_softplus, reverse)).contiguous()


class SelectiveScan(torch.autograd.Function):
    """A kernel called without the operator around it; a gradient that keeps its graph comes from the operator."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, *arguments: Any) -> Tensor:
        *tensors, delta_softplus, reverse, name = arguments
        ctx.save_for_backward(u, *tensors)
        ctx.flags = (delta_softplus, reverse, name)
        record("scan", name)
        return KERNELS[name].load().forward(ScanInputs.of((u, *tensors), delta_softplus, reverse))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled() or watched():
            return _differentiate_scan(ctx, grad)
        delta_softplus, reverse, name = ctx.flags
        gradients = KERNELS[name].load().backward(ScanInputs.of(ctx.saved_tensors, delta_softplus, reverse), grad)
        return *gradients, None, None, None


@_scan.register_fake
def _scan_shape(u: Tensor, *arguments: Any) -> Tensor:
    return u.new_empty(u.shape)


@torch.library.custom_op(
    "smdim_bench::selective_scan_backward", mutates_args=(), schema=f"(Tensor grad, {ARGUMENTS}) -> ({GRADIENTS})"
)
def _scan_backward(grad: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    """Gradients of the eight tensors, contiguous; an absent argument's is an empty vector."""
    *tensors, delta_softplus, reverse, kernel = arguments
    inputs = ScanInputs.of(tensors, delta_softplus, reverse)
    u = inputs.u
    name = chosen_kernel(u.device, kernel, u.dtype)
    if u.numel() == 0:
        return tuple(u.new_zeros(0) if t is None else t.new_zeros(t.shape) for t in inputs.tensors)
    gradients = KERNELS[name].load().backward(inputs, grad)
    return tuple(u.new_zeros(0) if g is None else g.contiguous() for g in gradients)


@_scan_backward.register_fake
def _scan_backward_shape(grad: Tensor, u: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    return tuple(u.new_empty(0) if t is None else t.new_empty(t.shape) for t in (u, *arguments[:7]))


def _remember_scan(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs[:8])
    ctx.flags = inputs[8:]


def _differentiate_scan(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    tensors = ctx.saved_tensors
    gradients = _scan_backward(grad, *tensors, *ctx.flags)
    return *(None if t is None else g for t, g in zip(tensors, gradients, strict=True)), None, None, None


def _remember_backward(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs[:9])
    ctx.flags = inputs[9:]


def _differentiate_backward(ctx, *grad_of_gradients):  # type: ignore[no-untyped-def]
    """Second derivatives, through a float loop whose own gradient keeps its graph; refused for kernels without one."""
    grad, *tensors = ctx.saved_tensors
    delta_softplus, reverse, kernel = ctx.flags
    u = tensors[0]
    name = chosen_kernel(u.device, kernel, u.dtype)
    if not KERNELS[name].differentiable_twice:
        twice = [other for other, entry in KERNELS.items() if entry.differentiable_twice]
        raise KernelError(f"scan kernel {name} cannot be differentiated twice; force one of {', '.join(twice)}")
    if torch.is_grad_enabled():
        raise KernelError("the selective scan cannot be differentiated three times")
    leaves = [None if t is None else t.detach().requires_grad_() for t in (grad, *tensors)]
    inputs = ScanInputs.of(leaves[1:], delta_softplus, reverse)
    dtype = torch.float64 if name == "reference" else inputs.compute_type()
    with torch.enable_grad():
        gradients = differentiate(inputs, leaves[0], dtype, create_graph=True)  # type: ignore[arg-type]
        pairs = [(g, v) for g, v in zip(gradients, grad_of_gradients, strict=True) if g is not None and g.requires_grad]
        present = [t for t in leaves if t is not None]
        second = iter(torch.autograd.grad([g for g, _ in pairs], present, [v for _, v in pairs], allow_unused=True))
    return *(None if t is None else next(second) for t in leaves), None, None, None


_scan.register_autograd(_differentiate_scan, setup_context=_remember_scan)
_scan_backward.register_autograd(_differentiate_backward, setup_context=_remember_backward)
