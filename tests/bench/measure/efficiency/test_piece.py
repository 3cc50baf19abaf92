"""Timed arms that draw block by block and token by token: their calls, and the rows of one piece."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pytest
import torch

from architectures import resolve
from bench.measure.efficiency.arm import TimedArm
from bench.measure.efficiency.cell import EfficiencyCell, EfficiencyError
from bench.measure.efficiency.record import Record
from bench.measure.efficiency.rows import rows_of
from bench.measure.efficiency.worker import EfficiencyWorker

LENGTH = 32
BLOCK = {"objective": "block", "block": 8, "sampler": "block", "sample_options": {"reveal": 2}}
TOKENS = {"objective": "autoregressive", "sampler": "autoregressive"}


def cell(pattern: str = "A(causal)F", **more: Any) -> EfficiencyCell:
    config = resolve(pattern, 20, width=16, head_width=8, stride=1).to_dict()
    return EfficiencyCell("a", "a", config, (LENGTH,), sample_steps=3, **more)


@pytest.mark.parametrize(
    ("more", "block", "calls"), [(BLOCK, 8, 4 * 4 + 3), (TOKENS, 1, LENGTH), (BLOCK | {"block": 32}, 32, 16)]
)
def test_a_step_is_the_last_call_of_a_piece_and_a_sample_all_of_them(
    more: dict[str, Any], block: int, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = TimedArm(asdict(cell(**more)))
    seen: list[tuple[int, int]] = []
    plain = arm.model.extend

    def extend(tokens_BL: torch.Tensor, state: Any = None, **wanted: bool) -> Any:
        seen.append((state.tokens if state else 0, tokens_BL.shape[1]))
        return plain(tokens_BL, state, **wanted)

    monkeypatch.setattr(arm.model, "extend", extend)
    step = arm.call("step", LENGTH)
    seen.clear()
    assert step().shape == (1, block, 20)
    assert seen == ([(LENGTH - block, block)] if block < LENGTH else [])
    seen.clear()
    arm.call("sample", LENGTH)()
    assert arm.nfe == [calls] and len(seen) == (calls if block < LENGTH else 0)
    assert math.isfinite(arm.loss(LENGTH, 2)().item())
    assert arm.caches(LENGTH) == (block < LENGTH)
    if block < LENGTH:
        with pytest.raises(
            ValueError, match=r"^no CUDA graph: what a call is given grows from call to call, so each is"
        ):
            arm.call("graph", LENGTH)
        with pytest.raises(ValueError, match=r"^not compiled: what a call is given grows from call to call$"):
            arm.call("step", LENGTH, arm.model)


def piece_rows(wanted: EfficiencyCell) -> dict[str, dict[str, Any]]:
    record = Record()
    worker = EfficiencyWorker(asdict(wanted), lambda event, **content: record.take({"event": event, **content}))
    worker._attempt("piece", LENGTH, worker._count_piece)
    return {row["metric"]: row for row in rows_of(wanted, record, {}, {})}


def test_rows_of_a_piece_in_numbers() -> None:
    rows, arm = piece_rows(cell(**BLOCK)), TimedArm(asdict(cell(**BLOCK)))
    parts = [
        (4 + (past < 24)) * arm.model.extend_flops(past, 8, head=False).total
        + 4 * (arm.model.extend_flops(past, 8).total - arm.model.extend_flops(past, 8, head=False).total)
        for past in (0, 8, 16, 24)
    ]
    assert rows["sample_calls"]["value"] == 19
    assert rows["sample_gflops"]["value"] == pytest.approx(sum(parts) / 1e9, rel=1e-12)
    assert rows["sample_state"]["value"] == 2 * 16 * LENGTH * 4 / 2**20  # keys and values of one layer
    rows = piece_rows(cell(**TOKENS))
    assert rows["sample_calls"]["value"] == LENGTH and rows["sample_calls"]["sampler"] == "autoregressive"
    whole = piece_rows(cell(sampler="cached"))
    assert whole["sample_calls"]["value"] == 3 and "at most" in whole["sample_calls"]["note"]
    assert whole["sample_gflops"]["value"] == pytest.approx(3 * arm.model.flops(LENGTH).total / 1e9)
    assert math.isnan(whole["sample_state"]["value"]) and "nothing is kept" in whole["sample_state"]["reason"]
    windows = piece_rows(cell(sampler="semi-autoregressive"))
    assert windows["sample_calls"]["reason"].endswith("the calls of sampler semi-autoregressive are not predicted")


def test_a_piece_is_planned_by_its_calls_and_not_by_the_steps_of_whole_rows() -> None:
    record = Record()
    worker = EfficiencyWorker(
        asdict(cell(**TOKENS, training=False)), lambda event, **content: record.take({"event": event, **content})
    )
    worker.warm([("step", LENGTH, None)])
    assert record.calls(LENGTH, 3) == LENGTH and Record().calls(LENGTH, 3) == 3


def test_blocks_that_do_not_divide_a_length_are_refused() -> None:
    with pytest.raises(EfficiencyError, match=r"lengths = \(32,\); allowed: multiples of the block, 5 tokens$"):
        cell(**BLOCK | {"block": 5})
    with pytest.raises(EfficiencyError, match=r"block = 4; allowed: with objective block alone$"):
        cell(block=4)
