"""One piece of an arm: its process, the call that its sampler makes most, and its predicted calls, FLOPs and state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from bench.diffusion import AbsorbingDiffusion, Autoregressive, BlockDiffusion
from bench.diffusion.objectives import AUTOREGRESSIVE, BLOCK
from bench.diffusion.samplers import call_plan
from bench.diffusion.samplers.calls import CallPlan

CHUNK = 1024
"""Tokens that are committed at once where a state is made to be timed behind."""
GROWING = "no CUDA graph: what a call is given grows from call to call, so each is a plain one"


def process_of(settings: Mapping[str, Any]) -> AbsorbingDiffusion:
    """The process of an EfficiencyCell as a dict."""
    ids = settings["mask_id"], settings["pad_id"]
    if settings["objective"] == BLOCK:
        return BlockDiffusion(*ids, block=settings["block"])
    if settings["objective"] == AUTOREGRESSIVE:
        return Autoregressive(*ids)
    return AbsorbingDiffusion(*ids, steps=settings["sample_steps"])


def cached_call(model: Any, tokens_BL: torch.Tensor, block: int, inside: Callable[[], Any]) -> Callable[[], Any]:
    """The denoising call on the last `block` tokens of rows behind the state of all before them, which is made here.

    `inside()` is the context in which both run.
    """
    state, past = None, tokens_BL.shape[1] - block
    with torch.inference_mode(), inside():
        for first in range(0, past, CHUNK):
            _, state = model.extend(tokens_BL[:, first : min(first + CHUNK, past)], state, head=False)

    def call() -> Any:
        with torch.inference_mode(), inside():
            return model.extend(tokens_BL[:, past:], state, keep=False)[0]

    return call


def planned_calls(settings: Mapping[str, Any], length: int) -> CallPlan | None:
    """The network calls of a piece of `length` tokens by an EfficiencyCell as a dict; None where not predicted."""
    sample = {"sampler": settings["sampler"], "steps": settings["sample_steps"], **settings["sample_options"]}
    return call_plan(settings, sample, length)


def piece_counts(model: Any, settings: Mapping[str, Any], length: int) -> dict[str, Any]:
    """Predicted calls, FLOPs (NaN with a reason where there is no formula) and bytes of the state of one piece.

    Raises ValueError where its calls are not predicted.
    """
    plan = planned_calls(settings, length)
    if plan is None:
        raise ValueError(f"the calls of sampler {settings['sampler']} are not predicted")
    return {"calls": plan.calls, "most": plan.most, **plan.of_network(model)._asdict()}
