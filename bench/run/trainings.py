"""Cost of the training of each arm of a plan, from formulas alone: steps, tokens, targets, FLOPs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from bench.study.grid import Cell
from bench.study.settings import process_words


@dataclass(frozen=True)
class TrainingCost:
    """Predicted cost of one training of an arm; NaN where there is no formula, or a budget in seconds decides."""

    arm: str
    process: str
    steps: float
    tokens: float
    """Of full windows."""
    supervised: float
    """Targets of the loss, in expectation."""
    flops: float


def training_costs(cells: Iterable[Cell]) -> list[TrainingCost]:
    """One for each arm that quality cells train, in their order; arms that cannot be built here are left out."""
    found: dict[tuple[Any, ...], TrainingCost] = {}
    for cell in cells:
        if cell.kind != "quality" or "diffusion" not in cell.settings or "checkpoint" in cell.settings:
            continue
        key = (cell.labels["arm"], cell.settings["corpus"], cell.settings["length"])
        if key not in found and (cost := _cost(cell.labels["arm"], cell.settings)) is not None:
            found[key] = cost
    return list(found.values())


def _cost(arm: str, settings: Mapping[str, Any]) -> TrainingCost | None:
    from architectures import DenoiserError, config_of, without_weights
    from bench.measure.quality.process import build_diffusion
    from bench.training import TrainSettings
    from bench.training.errors import TrainingError
    from bench.training.progress import budget_of
    from metrics.cost.quantities import TRAINING_PASSES

    process, length = settings["diffusion"], int(settings["length"])
    if process["schedule"] == "multi-scale":  # its targets depend on the tokens
        return None
    ids: Any = SimpleNamespace(mask_id=0, pad_id=1)  # which they are decides no cost
    try:
        network: Any = without_weights(config_of(settings["model"]))
        diffusion = build_diffusion(ids, process)
        called: Any = diffusion.as_called(network)
        steps = budget_of(TrainSettings(**settings["train"]), called, length).steps or math.nan
    except (DenoiserError, TrainingError, ValueError):
        return None
    tokens = steps * settings["train"]["batch"] * length
    flops = tokens / length * TRAINING_PASSES * called.flops(length).total if hasattr(called, "flops") else math.nan
    words = process_words(diffusion.objective, diffusion.block)
    return TrainingCost(arm, words, steps, tokens, tokens * diffusion.supervised_share(length), flops)
