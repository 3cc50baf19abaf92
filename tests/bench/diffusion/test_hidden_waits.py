"""Copies to the device in a training step: all from page-locked memory, so that the process need not wait for one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.diffusion import AbsorbingDiffusion
from bench.diffusion.multi_scale import MultiScaleDiffusion
from bench.diffusion.noised import Constant

VOCABULARY, MASK, PAD = 9, 7, 8


class CopiesToDevice(TorchDispatchMode):
    """Copies from the CPU to the meta device, which stands for a GPU: `waiting` lists those that wait for it, from
    memory that is not page-locked or with a change of type on the way. Reading a value back raises on that device."""

    def __init__(self) -> None:
        super().__init__()
        self.copies, self.waiting, self.pinned = 0, list[str](), set[int]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        found = func(*args, **(kwargs or {}))
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor) and one.dim()]
        made = [one for one in tree_leaves(found) if isinstance(one, torch.Tensor)]
        for source in (one for one in given if one.device.type == "cpu" and any(new.is_meta for new in made)):
            self.copies += 1
            changed = any(new.dtype != source.dtype for new in made)
            if changed or source.untyped_storage().data_ptr() not in self.pinned:
                self.waiting.append(f"{func} of {source.dtype} {tuple(source.shape)}")
        return found


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[CopiesToDevice]:
    mode, kept = CopiesToDevice(), list[torch.Tensor]()

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.clone())
        mode.pinned.add(kept[-1].untyped_storage().data_ptr())
        return kept[-1]

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    with mode:
        yield mode


@pytest.mark.parametrize("time_input", [False, True])
@pytest.mark.parametrize("kind", ["absorbing", "multi-scale"])
def test_a_step_after_the_first_copies_from_page_locked_memory_alone(
    monkeypatch: pytest.MonkeyPatch, kind: str, time_input: bool
) -> None:
    more: dict[str, Any] = {"steps": 20, "time_input": time_input}
    process = AbsorbingDiffusion(MASK, PAD, **more)
    if kind == "multi-scale":
        process = MultiScaleDiffusion(MASK, PAD, [1.0] * VOCABULARY, **more)
    weight = torch.zeros(VOCABULARY, VOCABULARY, device="meta", requires_grad=True)
    tokens = torch.randint(7, (4, 12), generator=torch.Generator().manual_seed(0))

    def step() -> None:
        noised = process.noise(tokens, torch.Generator().manual_seed(1)).pinned()

        def denoise(tokens_BL: torch.Tensor, *time: torch.Tensor) -> torch.Tensor:
            assert all(one.is_meta and one.dtype == torch.float32 for one in time) and len(time) == time_input
            return weight[tokens_BL]

        process.loss_of(denoise, noised, "meta").loss.backward()

    with watched(monkeypatch) as copies:
        step()  # constants are copied once
        copies.copies, copies.waiting = 0, []
        step()
    assert copies.copies >= 5 and copies.waiting == []
    assert weight.grad is not None


def test_a_constant_is_copied_once_for_a_device_and_is_itself_where_it_was_made() -> None:
    values = torch.tensor([7, 8])
    constant = Constant(values)
    assert constant.on("cpu") is values
    assert constant.on("meta") is constant.on(torch.device("meta")) and constant.on("meta").is_meta
