"""The `torch` kernel: the scan in plain torch operations, a chunk of time steps at once, on any device of torch.

Inside a chunk the decays and inputs of all steps are formed by a few large operations, and only the recurrence itself
runs step by step, in place, on buffers that are reused from chunk to chunk. Nothing of size B L D N exists: the
backward pass keeps the state at the start of every chunk and recomputes the rest. Closed forms that divide by a
cumulative decay are avoided on purpose: they overflow on ordinary inputs.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from architectures.scan.inputs import ScanGradients, ScanInputs, step_sizes

CHUNK_STEPS = 16


@dataclass
class _Sequence:
    """The scan's arguments laid out time first, in scan order (reversed already if the scan runs backward in time)."""

    step_LBD: Tensor
    driven_LBD: Tensor
    A_ND: Tensor
    B_LBN: Tensor
    C_LBN: Tensor

    @property
    def chunks(self) -> list[slice]:
        length = self.step_LBD.shape[0]
        return [slice(start, min(start + CHUNK_STEPS, length)) for start in range(0, length, CHUNK_STEPS)]

    def buffer(self) -> Tensor:
        batch, channels = self.step_LBD.shape[1:]
        steps = min(CHUNK_STEPS, self.step_LBD.shape[0])
        return self.step_LBD.new_empty(steps, batch, self.A_ND.shape[0], channels)


def _time_first(x: Tensor, reverse: bool) -> Tensor:
    """B D L -> L B D, in scan order. Row by row: torch has a fast transpose for contiguous matrices only."""
    x = torch.stack([row.contiguous().t().contiguous() for row in x], dim=1)
    return x.flip(0) if reverse else x


def _time_last(x: Tensor, reverse: bool) -> Tensor:
    """L B D -> B D L, back from scan order."""
    x = x.flip(0) if reverse else x
    return torch.stack([row.contiguous().t().contiguous() for row in x.unbind(1)])


def _run_chunk(sequence: _Sequence, chunk: slice, start_BND: Tensor, decay: Tensor, state: Tensor) -> None:
    """Fill `decay` and `state` (T B N D) for the steps of one chunk that begins in `start_BND`.

    Channels lie innermost, so that a sum over the state is one of whole rows.
    """
    torch.mul(sequence.step_LBD[chunk][:, :, None, :], sequence.A_ND, out=decay)
    decay.exp_()
    torch.mul(sequence.driven_LBD[chunk][:, :, None, :], sequence.B_LBN[chunk][..., None], out=state)
    previous = start_BND
    for now, kept in zip(state.unbind(0), decay.unbind(0), strict=True):
        previous = now.addcmul_(kept, previous)


def _sweep(sequence: _Sequence, *, keep_starts: bool, read_out: bool) -> tuple[Tensor, list[Tensor]]:
    """Run the recurrence once. Returns y (L, B, D) if `read_out`, else empty, and the chunks' first states if kept."""
    decay, state = sequence.buffer(), sequence.buffer()
    start = torch.zeros_like(state[0])
    y_LBD = torch.empty_like(sequence.step_LBD) if read_out else sequence.step_LBD.new_empty(0)
    starts = []
    for chunk in sequence.chunks:
        steps = chunk.stop - chunk.start
        if keep_starts:
            starts.append(start.clone())
        _run_chunk(sequence, chunk, start, decay[:steps], state[:steps])
        if read_out:
            y_LBD[chunk] = torch.matmul(sequence.C_LBN[chunk][:, :, None, :], state[:steps])[
                :, :, 0
            ]  # T B N D -> T B D
        start.copy_(state[steps - 1])
    return y_LBD, starts


def _prepare(inputs: ScanInputs, dtype: torch.dtype) -> tuple[_Sequence, Tensor, Tensor]:
    """The sequence in scan order, and u and delta + bias (B, D, L) in the type computed in."""
    u_BDL = inputs.u.to(dtype)
    raw_BDL = step_sizes(inputs.delta.to(dtype), inputs.delta_bias, False)
    step_LBD = _time_first(F.softplus(raw_BDL) if inputs.delta_softplus else raw_BDL, inputs.reverse)
    sequence = _Sequence(
        step_LBD=step_LBD,
        driven_LBD=step_LBD * _time_first(u_BDL, inputs.reverse),
        A_ND=inputs.A.to(dtype).t().contiguous(),  # D N -> N D
        B_LBN=_time_first(inputs.B.to(dtype), inputs.reverse),
        C_LBN=_time_first(inputs.C.to(dtype), inputs.reverse),
    )
    return sequence, u_BDL, raw_BDL


def forward(inputs: ScanInputs) -> Tensor:
    """y (B, D, L), computed in float32 (float64 for float64 inputs), in the type of u."""
    dtype = inputs.compute_type()
    sequence, u_BDL, _ = _prepare(inputs, dtype)
    y_LBD, _ = _sweep(sequence, keep_starts=False, read_out=True)
    y_BDL = _time_last(y_LBD, inputs.reverse)
    if inputs.D is not None:
        y_BDL = y_BDL + inputs.D.to(dtype)[:, None] * u_BDL
    if inputs.z is not None:
        y_BDL = y_BDL * F.silu(inputs.z.to(dtype))
    return y_BDL.to(inputs.u.dtype).contiguous()


def backward(inputs: ScanInputs, grad_BDL: Tensor) -> ScanGradients:
    """Gradients of all arguments, each in its argument's type; memory grows as B D N L / 16 plus a few of B D L."""
    dtype = inputs.compute_type()
    sequence, u_BDL, raw_BDL = _prepare(inputs, dtype)
    grad_BDL = grad_BDL.to(dtype)
    y_LBD, starts = _sweep(sequence, keep_starts=True, read_out=inputs.z is not None)
    grad_z = None
    if inputs.z is not None:
        y_BDL = _time_last(y_LBD, inputs.reverse)
        if inputs.D is not None:
            y_BDL = y_BDL + inputs.D.to(dtype)[:, None] * u_BDL
        z_BDL = inputs.z.to(dtype)
        gate = torch.sigmoid(z_BDL)
        grad_z = (grad_BDL * y_BDL * gate * (1 + z_BDL * (1 - gate))).to(inputs.z.dtype)
        grad_BDL = grad_BDL * z_BDL * gate
    grad_step, grad_driven, grad_A, grad_B, grad_C = _sweep_back(
        sequence, starts, _time_first(grad_BDL, inputs.reverse)
    )
    step_BDL = _time_last(sequence.step_LBD, inputs.reverse)
    grad_driven = _time_last(grad_driven, inputs.reverse)
    grad_delta = _time_last(grad_step, inputs.reverse) + grad_driven * u_BDL
    if inputs.delta_softplus:
        grad_delta = grad_delta * torch.sigmoid(raw_BDL)
    grad_u = grad_driven * step_BDL
    grad_D = grad_bias = None
    if inputs.D is not None:
        grad_u = grad_u + inputs.D.to(dtype)[:, None] * grad_BDL
        grad_D = (grad_BDL * u_BDL).sum((0, 2)).to(inputs.D.dtype)  # B D L -> D
    if inputs.delta_bias is not None:
        grad_bias = grad_delta.sum((0, 2)).to(inputs.delta_bias.dtype)  # B D L -> D
    return ScanGradients(
        u=grad_u.to(inputs.u.dtype),
        delta=grad_delta.to(inputs.delta.dtype),
        A=grad_A.to(inputs.A.dtype),
        B=_time_last(grad_B, inputs.reverse).to(inputs.B.dtype),
        C=_time_last(grad_C, inputs.reverse).to(inputs.C.dtype),
        D=grad_D,
        z=grad_z,
        delta_bias=grad_bias,
    )


def _sweep_back(
    sequence: _Sequence, starts: list[Tensor], grad_LBD: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of step, driven (L B D), A (D N), B and C (L B N), from the gradient of y before D and gate."""
    decay, state, grad_state = sequence.buffer(), sequence.buffer(), sequence.buffer()
    grad_step, grad_driven = torch.empty_like(grad_LBD), torch.empty_like(grad_LBD)
    grad_B, grad_C = torch.empty_like(sequence.B_LBN), torch.empty_like(sequence.C_LBN)
    grad_A = torch.zeros_like(sequence.A_ND)
    carried = torch.zeros_like(state[0])
    for chunk, start in zip(reversed(sequence.chunks), reversed(starts), strict=True):
        steps = chunk.stop - chunk.start
        a, h, g = decay[:steps], state[:steps], grad_state[:steps]
        _run_chunk(sequence, chunk, start, a, h)
        torch.mul(grad_LBD[chunk][:, :, None, :], sequence.C_LBN[chunk][..., None], out=g)
        grad_C[chunk] = torch.matmul(h, grad_LBD[chunk][..., None])[..., 0]  # T B N D, T B D 1 -> T B N
        g[-1].add_(carried)
        for i in range(steps - 2, -1, -1):
            g[i].addcmul_(a[i + 1], g[i + 1])
        grad_B[chunk] = torch.matmul(g, sequence.driven_LBD[chunk][..., None])[..., 0]  # T B N D, T B D 1 -> T B N
        grad_driven[chunk] = torch.matmul(sequence.B_LBN[chunk][:, :, None, :], g)[:, :, 0]  # T B N D -> T B D
        g.mul_(a)
        carried.copy_(g[0])
        g[1:].mul_(h[:-1])
        g[0].mul_(start)
        grad_A += torch.mul(g, sequence.step_LBD[chunk][:, :, None, :], out=h).sum((0, 1))  # T B N D -> N D
        grad_step[chunk] = g.mul_(sequence.A_ND).sum(2)  # T B N D -> T B D
    return grad_step, grad_driven, grad_A.t(), grad_B, grad_C
