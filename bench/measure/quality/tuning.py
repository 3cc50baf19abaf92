"""Tuning cell: one short training of an arm at a point of a sweep, and its validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.measure.quality.cell import report_training, training_rows
from bench.measure.quality.drawing import Emit
from bench.measure.quality.training import CellTraining, diverged, shared_training


def measure_tuning(settings: dict[str, Any], folder: Path, emit: Emit) -> list[dict[str, Any]]:
    """Rows of validation and training; `settings` are those of `bench.run.cells.tuning_cell`. Nothing is sampled, and
    the test side is not read.

    Raises CellFailure where the loss blows up.
    """
    from architectures import count_parameters

    training = CellTraining.of(settings)
    with shared_training(settings, folder, emit):
        result = training.run(folder, report_training(emit))
    if result.diverged:
        raise diverged(result.steps)
    common = {"train_steps": result.steps, "parameters": count_parameters(training.backbone)}
    return [common | line for line in training_rows(training, result)]
