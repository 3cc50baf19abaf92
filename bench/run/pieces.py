"""Cost of one piece of each arm of a plan, from formulas alone: network calls, FLOPs, cached state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.study.grid import Cell
from bench.study.settings import process_words


@dataclass(frozen=True)
class PieceCost:
    """Predicted cost of one piece of an arm at a length; NaN where there is no formula."""

    arm: str
    corpus: str
    length: int
    process: str
    calls: int
    most: bool
    """Whether the sampler may leave out calls, so that calls and FLOPs are at most these."""
    flops: float
    state_bytes: float


def piece_costs(cells: Iterable[Cell]) -> list[PieceCost]:
    """One for each arm, sampler and length that cells draw pieces at, in their order; samplers whose calls are not
    predicted are left out, and so are arms that cannot be built here."""
    found: dict[tuple[Any, ...], PieceCost] = {}
    for cell in cells:
        settings = cell.settings
        if cell.kind not in ("quality", "efficiency") or "sample" not in settings or "model" not in settings:
            continue
        lengths = settings["measure"]["lengths"] if cell.kind == "efficiency" else played_lengths(settings)
        for length in lengths:
            key = (cell.labels["arm"], settings.get("corpus", ""), length, str(settings["sample"]))
            if key not in found and (cost := _cost(cell, length)) is not None:
                found[key] = cost
    return list(found.values())


def played_lengths(settings: Mapping[str, Any]) -> list[int]:
    """Lengths of the pieces of a quality cell."""
    return list(settings.get("sample_lengths") or [settings["length"]])


def _cost(cell: Cell, length: int) -> PieceCost | None:
    from architectures import DenoiserError, config_of, without_weights
    from bench.diffusion.samplers import call_plan

    process = cell.settings.get("diffusion", {})
    plan = call_plan(process, cell.settings["sample"], length)
    if plan is None:
        return None
    try:
        network: Any = without_weights(config_of(cell.settings["model"]))
    except (DenoiserError, ValueError):
        return None
    predicted = plan.of_network(network)
    words = process_words(process.get("objective", "absorbing"), process.get("block"))
    return PieceCost(
        cell.labels["arm"],
        str(cell.settings.get("corpus", "")),
        length,
        f"{words}, {cell.settings['sample']['sampler']}",
        plan.calls,
        plan.most,
        predicted.flops,
        predicted.state_bytes,
    )
