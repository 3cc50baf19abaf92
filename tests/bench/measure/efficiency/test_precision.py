"""What is timed in half precision says so; the shares of a device's rate; whole samples as CUDA graphs."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch

from architectures import resolve
from bench.errors import UserError
from bench.measure.efficiency import worker as efficiency_worker
from bench.measure.efficiency.arm import TimedArm
from bench.measure.efficiency.cell import EfficiencyCell
from bench.measure.efficiency.record import Record
from bench.measure.efficiency.rows import rows_of
from bench.measure.efficiency.session import measure_group
from metrics.cost.roofline import Ceilings

LENGTH = 32


def cell(arm: str = "AF", **more: Any) -> EfficiencyCell:
    config = resolve(arm, 20, width=32, head_width=16, stride=4).to_dict()
    return EfficiencyCell(arm, arm, config, (LENGTH,), sample_steps=3, **more)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_steps_training_and_samples_run_in_the_precision_asked_for(precision: str) -> None:
    arm = TimedArm(asdict(cell(precision=precision)))
    seen: list[torch.dtype] = []
    arm.model.layers[0].mixer.inward.register_forward_hook(lambda module, given, found: seen.append(found.dtype))
    for kind in ("step", "train", "sample"):
        arm.call(kind, LENGTH)()
    assert len(seen) == 5 and set(seen) == {getattr(torch, precision)}
    assert next(arm.model.parameters()).dtype == torch.float32
    assert math.isfinite(arm.loss(LENGTH, 1)().item())


def test_rows_name_the_precision_and_ceilings_are_taken_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.dtype] = []

    def ceilings(device: torch.device, dtype: torch.dtype) -> Ceilings:
        asked.append(dtype)
        return Ceilings(1e12, 1e11, str(dtype), 1)

    monkeypatch.setattr(efficiency_worker, "measure_ceilings", ceilings)
    told: list[tuple[str, dict[str, Any]]] = []
    settings = asdict(cell(precision="bfloat16", energy=False))
    worker = efficiency_worker.EfficiencyWorker(settings, lambda event, **content: told.append((event, content)))
    worker.warm([(kind, LENGTH, None) for kind in ("step", "train")])
    worker.ceilings()
    worker.audit()
    kernels = [content["kernel"] for event, content in told if event == "warm" and content["kind"] == "step"]
    assert [kernel.split()[-1] for kernel in kernels] == ["precision=bfloat16"]
    assert asked == [torch.bfloat16]
    energy = [content for event, content in told if event == "energy"]
    assert len(energy) == 3 and all("not asked for" in one["reason"] for one in energy)


def test_the_share_of_a_training_step_is_that_on_paper() -> None:
    record = Record()
    record.take({"event": "traffic", "length": LENGTH, "executed_flops": 1000.0, "moved_bytes": 10.0})
    rates = {"flops_per_s": 1e4, "bytes_per_s": 1e3}
    record.take({"event": "ceilings", "dtype": "bfloat16", "threads": 1} | rates)
    for kind, seconds, note in (("step", 0.1, ""), ("train", 0.5, ""), ("sample", 2.0, "CUDA graphs of 1 batch sizes")):
        samples = {"samples_s": [seconds], "phases_s": {}, "clocks_agree": True, "nfe": [], "note": note}
        for _ in range(2):
            record.take({"event": "samples", "kind": kind, "length": LENGTH} | samples)
    rows = {row["metric"]: row for row in rows_of(cell(batch=2, training_batch=4), record, {}, {})}
    assert rows["step_compute_share"]["value"] == pytest.approx(1000 / 0.1 / 1e4)  # 1,000 FLOPs of two sequences
    assert rows["train_step_compute_share"]["value"] == pytest.approx(3 * 2000 / 0.5 / 1e4)  # of four, three times
    assert (rows["step_compute_share"]["batch"], rows["train_step_compute_share"]["batch"]) == (2, 4)
    assert rows["sample_latency"]["note"] == "CUDA graphs of 1 batch sizes"


def test_steps_and_training_steps_are_timed_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[bool] = []

    class Compiled:
        def __init__(self, model: torch.nn.Module) -> None:
            self.model = model

        def __call__(self, tokens_BL: torch.Tensor) -> torch.Tensor:
            called.append(self.model.training)
            return self.model(tokens_BL)

        def __len__(self) -> int:  # as torch's own: it must not be asked whether it is true
            raise TypeError

    monkeypatch.setattr(torch, "compile", Compiled)
    record = Record()
    wanted = cell(compile=True, batch=2, training_batch=4)

    def emit(event: str, **content: Any) -> None:
        if event != "ready":
            record.take({"event": event, **content})

    efficiency_worker.EfficiencyWorker(asdict(wanted), emit).compile()
    assert called == [False] * 6 + [True] * 6  # a cold call and five timed ones
    rows = {row["metric"]: row for row in rows_of(wanted, record, {}, {}) if row["length"] == LENGTH}
    for prefix, batch in (("", 2), ("train_", 4)):
        assert rows[f"{prefix}step_latency_compiled"]["value"] > 0 and rows[f"{prefix}step_latency_compiled"]["n"] == 5
        assert rows[f"{prefix}step_latency_compiled"]["batch"] == rows[f"{prefix}compile_time"]["batch"] == batch


def test_a_precision_that_is_not_known_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="precision = 'float8'; allowed: float32, bfloat16"):
        cell(precision="float8")


@pytest.mark.gpu
def test_a_2048_token_piece_is_sampled_with_graphs_and_two_clocks_that_agree(tmp_path) -> None:
    config = resolve("smdim", 20, width=256, layers=6, stride=4).to_dict()
    arm = EfficiencyCell("smdim", "smdim", config, (2048,), device="cuda", batch=8, sample_steps=32, graphs=True)
    arm = replace(arm, precision="bfloat16", energy=False)
    found = measure_group([arm], rounds=3, replicates=1, relative_width=math.inf, log_folder=tmp_path)
    rows = {row["metric"]: row for row in found["smdim"] if row["length"] == 2048}
    assert rows["sample_latency"]["value"] > 0 and rows["sample_latency"]["nfe"] == 32
    assert "CUDA graphs of 1 batch sizes" in rows["sample_latency"]["note"]
    for metric in ("step_latency", "train_step_latency"):
        assert "precision=bfloat16" in rows[metric]["kernel"]
        assert "clocks differ" not in rows[metric]["note"] or "the GPU is shared" in rows[metric]["note"]
    assert 0 < rows["train_step_compute_share"]["value"] < 1


def test_weights_are_cast_once_for_denoising_steps_and_in_each_training_step() -> None:
    depths: dict[str, int] = {}

    def look(length: int, figure: str) -> None:
        depths[figure] = torch.autocast_increment_nesting()
        torch.autocast_decrement_nesting()

    worker = efficiency_worker.EfficiencyWorker(asdict(cell(precision="bfloat16", energy=False)), lambda *_, **__: None)
    for figure in ("step", "step memory", "train", "sample", "train memory"):
        worker._attempt(figure, LENGTH, look, figure)
    assert depths == {"step": 2, "step memory": 2, "train": 1, "sample": 1, "train memory": 1}
