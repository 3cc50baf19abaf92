"""Stand-ins for the optional packages: their signatures and demands, computed in plain torch on any device."""

import sys
import types

import pytest
import torch
from torch.nn import functional as F

from architectures.scan.inputs import ScanInputs
from architectures.scan.reference import scan_loop
from architectures.ssd import ssd_reference


def selective_scan_fn(
    u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False, return_last_state=False, cu_seqlens=None
):
    assert not return_last_state and cu_seqlens is None
    assert all(one is None or one.dtype == torch.float32 for one in (A, D, delta_bias))
    assert all(one.dtype == u.dtype and one.stride(-1) == 1 for one in (delta, B, C, *([] if z is None else [z])))
    assert B.dim() == C.dim() == 3
    inputs = ScanInputs(u, delta, A, B, C, D, z, delta_bias, delta_softplus, False)
    wide = inputs.with_tensors(tuple(None if one is None else one.double() for one in inputs.tensors))
    return scan_loop(wide, torch.float64).to(u.dtype)


class SelectiveScanFn:
    """The two static methods as an operator calls them, without autograd."""

    @staticmethod
    def forward(ctx, *arguments):
        ctx.save_for_backward(*arguments[:8])
        ctx.delta_softplus = arguments[8]
        return selective_scan_fn(*arguments)

    @staticmethod
    def backward(ctx, dout, *_):
        with torch.enable_grad():
            leaves = [None if one is None else one.detach().requires_grad_() for one in ctx.saved_tensors]
            y = selective_scan_fn(*leaves, ctx.delta_softplus)
            found = iter(torch.autograd.grad(y, [one for one in leaves if one is not None], dout))
        return *(None if one is None else next(found) for one in leaves), None, None, None


def mamba_chunk_scan_combined(
    x, dt, A, B, C, chunk_size, D=None, z=None, dt_bias=None, initial_states=None, seq_idx=None, dt_softplus=False
):
    batch, length, heads, _ = x.shape
    assert B.shape == C.shape == (batch, length, 1, B.shape[-1]) and dt.shape == (batch, length, heads)
    assert A.shape == D.shape == (heads,) and chunk_size & (chunk_size - 1) == 0
    assert B.dtype == C.dtype == x.dtype and {A.dtype, D.dtype, dt.dtype} == {torch.float32}
    assert z is None and dt_bias is None and initial_states is None and seq_idx is None and not dt_softplus
    y = ssd_reference(x.double(), dt.double(), A.double(), B[:, :, 0].double(), C[:, :, 0].double())
    return (y + D[:, None] * x).to(x.dtype)


def causal_conv1d_fn(
    x, weight, bias=None, seq_idx=None, initial_states=None, return_final_states=False, final_states_out=None,
    activation=None,
):  # fmt: skip
    channels, width = weight.shape
    assert x.shape[1] == channels and 2 <= width <= 4 and activation == "silu"
    assert weight.dtype == x.dtype and (bias is None or bias.dtype == x.dtype)
    assert x.stride(2) == 1 or (x.stride(1) == 1 and channels % 8 == x.stride(0) % 8 == x.stride(2) % 8 == 0)
    return F.silu(F.conv1d(x, weight[:, None], bias, padding=width - 1, groups=channels)[..., : x.shape[2]])


def flash_attn_func(
    q, k, v, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0, alibi_slopes=None,
    deterministic=False, return_attn_probs=False,
):  # fmt: skip
    assert q.dim() == 4 and q.dtype in (torch.float16, torch.bfloat16) and q.shape[-1] <= 256
    place = torch.arange(q.shape[1], device=q.device)
    distance = place[:, None] - place
    left, right = window_size
    hidden = torch.zeros_like(distance, dtype=torch.bool)
    if left >= 0:
        hidden |= distance > left
    if right >= 0:
        hidden |= -distance > right
    if causal:
        hidden |= distance < 0
    scores = torch.einsum("blhk,bmhk->bhlm", q.double(), k.double()) / q.shape[-1] ** 0.5
    shares = scores.masked_fill(hidden, -torch.inf).softmax(-1)
    return torch.einsum("bhlm,bmhk->blhk", shares, v.double()).to(q.dtype)


CONTENT = {
    "mamba_ssm": {},
    "mamba_ssm.ops": {},
    "mamba_ssm.ops.selective_scan_interface": {
        "selective_scan_fn": selective_scan_fn,
        "SelectiveScanFn": SelectiveScanFn,
    },
    "mamba_ssm.ops.triton": {},
    "mamba_ssm.ops.triton.ssd_combined": {"mamba_chunk_scan_combined": mamba_chunk_scan_combined},
    "causal_conv1d": {"causal_conv1d_fn": causal_conv1d_fn},
    "flash_attn": {"flash_attn_func": flash_attn_func},
}


@pytest.fixture
def packages(monkeypatch) -> None:
    """Puts the stand-ins where the packages would be."""
    for name, content in CONTENT.items():
        module = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def relative():
    """Error of a tensor, relative to the one that is expected."""

    def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
        """Largest error over the largest expected value; where zeros are expected, the largest value found."""
        size = float(expected.abs().max())
        return float((found - expected).abs().max()) / (size or 1.0)

    return difference
