"""The recurrence as it is defined: a loop over time in float64, slow, plain, differentiable by autograd."""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from architectures.scan.inputs import ScanGradients, ScanInputs, step_sizes


def scan_loop(inputs: ScanInputs, dtype: torch.dtype) -> Tensor:
    """y (B, D, L) in `dtype`: h_t = exp(step_t A) h_{t-1} + step_t u_t B_t, y_t = (C_t . h_t + D u_t) silu(z_t).

    Every step is an out-of-place torch operation on tensors obtained with `unbind`: indexing the inputs inside the
    loop would make the backward pass quadratic in L. Source: Gu and Dao 2023 (arXiv 2312.00752), equation 2 with the
    Euler form of B that mamba_ssm uses.
    """
    u, delta, A, B, C, D, z, delta_bias = (None if t is None else t.to(dtype) for t in inputs.tensors)
    assert u is not None and delta is not None and A is not None and B is not None and C is not None
    steps = step_sizes(delta, delta_bias, inputs.delta_softplus)
    h_BDN = u.new_zeros(u.shape[0], u.shape[1], A.shape[1])
    times = list(zip((steps * u).unbind(-1), steps.unbind(-1), B.unbind(-1), C.unbind(-1), strict=True))
    outputs = []
    for driven_BD, step_BD, B_BN, C_BN in reversed(times) if inputs.reverse else times:
        h_BDN = torch.exp(step_BD[..., None] * A) * h_BDN + driven_BD[..., None] * B_BN[:, None, :]
        outputs.append((h_BDN * C_BN[:, None, :]).sum(-1))  # B D N -> B D
    if inputs.reverse:
        outputs.reverse()
    y_BDL = torch.stack(outputs, dim=-1)
    if D is not None:
        y_BDL = y_BDL + D[:, None] * u
    return y_BDL if z is None else y_BDL * (z * torch.sigmoid(z))


def forward(inputs: ScanInputs) -> Tensor:
    """y (B, D, L), computed in float64, in the type of u."""
    return scan_loop(inputs, torch.float64).to(inputs.u.dtype)


def backward(inputs: ScanInputs, grad_BDL: Tensor) -> ScanGradients:
    """Gradients by autograd through the float64 loop, on the CPU; keeps about five tensors of B D N for each step.

    Inside an operator autograd is switched off for the thread, and a CUDA backward holds the thread that would run a
    nested one. Both are avoided by a thread of its own that touches the CPU only.
    """
    on_cpu = inputs.with_tensors(tuple(None if t is None else t.detach().cpu() for t in inputs.tensors))
    with ThreadPoolExecutor(max_workers=1) as worker:
        found = worker.submit(differentiate, on_cpu, grad_BDL.detach().cpu(), torch.float64).result()
    return ScanGradients(*(None if g is None else g.to(inputs.u.device) for g in found))  # type: ignore[arg-type]


def differentiate(
    inputs: ScanInputs, grad_BDL: Tensor, dtype: torch.dtype, *, create_graph: bool = False
) -> ScanGradients:
    """First-order gradients of the loop in `dtype`, in the inputs' types; create_graph makes them differentiable."""
    with torch.enable_grad():
        tensors = inputs.tensors
        if not create_graph:
            tensors = tuple(None if t is None else t.detach().requires_grad_() for t in tensors)
        y_BDL = scan_loop(inputs.with_tensors(tensors), dtype)
        present = [t for t in tensors if t is not None]
        found = iter(torch.autograd.grad(y_BDL, present, grad_BDL.to(dtype), create_graph=create_graph))
    return ScanGradients(*(None if t is None else next(found) for t in tensors))  # type: ignore[arg-type]
