"""Counted costs of two arms over many sizes, to find where a published ratio holds whose sizes are not known.

Nothing is run or allocated: parameters and operations are formulas, training memory is counted on the meta device.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from architectures.config import BackboneConfig

WIDTHS = (128, 256, 384, 512, 768, 1024)
LAYERS = (6, 12, 18, 24, 36, 48)
STRIDES = (1, 2, 4, 8)
LENGTHS = (256, 512, 1024, 2048)
MATCHINGS = {
    "layers": "as many mixers of the same width in both arms",
    "blocks": "as many blocks of the same width in both arms, so an arm with larger blocks has more mixers",
    "parameters": "equal parameters: the inner width of the arm's feed-forward is solved, then its width",
    "flops": "equal FLOPs at 2048 tokens: the width of the arm is solved",
    "no stem": "as many mixers of the same width, the baseline without the stem's compression (stride 1)",
}
VOCABULARY = 222  # tokens of the REMI vocabulary used throughout
TRAINING_BATCH = 8  # sequences a step whose memory is counted; at 1 the weights would hide the activations
TOLERANCE = 0.02  # largest relative mismatch that the solver accepts
MATCHED_LAYERS = (
    12  # mixers at which sizes are solved; deeper, the stem counts for less and the mismatch grows a little
)
MEASURED = (
    "arm_width",
    "arm_hidden",
    "arm_layers",
    "parameters",
    "baseline_parameters",
    "gflops_ratio",
    "training_memory_ratio",
    "unfused_training_memory_ratio",
    "flops_exponent",
)


@dataclass(frozen=True)
class Cost:
    """Cost of a backbone: parameters, FLOPs of one sequence at each of LENGTHS, bytes of a training step at 2048.

    `unfused_bytes` are those of an implementation that keeps the L x L scores of attention for the backward pass.
    """

    parameters: float
    flops: tuple[float, ...]
    training_bytes: float
    unfused_bytes: float

    def further(self, other: Cost, steps: int) -> Cost:
        """The cost `steps` blocks after this one, of which `other` is the next: every block adds the same."""

        def grown(first: float, second: float) -> float:
            return first + steps * (second - first)

        return Cost(
            grown(self.parameters, other.parameters),
            tuple(map(grown, self.flops, other.flops)),
            grown(self.training_bytes, other.training_bytes),
            grown(self.unfused_bytes, other.unfused_bytes),
        )


def claim_map(arm: str = "smdim", baseline: str = "transformer") -> list[dict[str, Any]]:
    """A row for each width, number of mixers, stride and way of matching: the arm's cost over the baseline's.

    Keys: width, layers (mixers of the baseline), stride, matching (`MATCHINGS`), arm_width, arm_hidden, arm_layers,
    parameters and baseline_parameters; at 2048 tokens gflops_ratio, training_memory_ratio and
    unfused_training_memory_ratio (computed: float32, AdamW, `TRAINING_BATCH` sequences; unfused attention keeps its
    scores); flops_exponent of the arm from 256 to 2048 tokens.
    Where the arm cannot be brought to the baseline's size within `TOLERANCE` everything from arm_width on is NaN.
    """
    return [_row(arm, baseline, *setting) for setting in itertools.product(WIDTHS, LAYERS, STRIDES, MATCHINGS)]


def _row(arm: str, baseline: str, width: int, layers: int, stride: int, matching: str) -> dict[str, Any]:
    from architectures.matching import MatchingError
    from metrics.statistics.scaling import growth_exponent

    setting = {"width": width, "layers": layers, "stride": stride, "matching": matching}
    base_config = _config(baseline, width, 1 if matching == "no stem" else stride)
    try:
        config = _matched(arm, baseline, width, stride, matching)
    except MatchingError:
        return setting | dict.fromkeys(MEASURED, math.nan)
    base_blocks = max(1, layers // _unit(base_config))
    blocks = base_blocks if matching == "blocks" else max(1, layers // _unit(config))
    cost, base = _cost(config, blocks), _cost(base_config, base_blocks)
    return setting | {
        "arm_width": config.width,
        "arm_hidden": config.hidden,
        "arm_layers": blocks * _unit(config),
        "parameters": cost.parameters,
        "baseline_parameters": base.parameters,
        "gflops_ratio": cost.flops[-1] / base.flops[-1],
        "training_memory_ratio": cost.training_bytes / base.training_bytes,
        "unfused_training_memory_ratio": cost.unfused_bytes / base.unfused_bytes,
        "flops_exponent": growth_exponent(LENGTHS, [cost.flops]).value,
    }


def _config(arm: str, width: int, stride: int, depth: int = 1) -> BackboneConfig:
    from architectures.catalog import resolve

    return resolve(arm, VOCABULARY, width=width, stride=stride, depth=depth)


def _unit(config: BackboneConfig) -> int:
    """Mixers of one block; `config` has one."""
    return len(config.blocks.slots)


@lru_cache(maxsize=1024)
def _matched(arm: str, baseline: str, width: int, stride: int, matching: str) -> BackboneConfig:
    """One block of the arm, sized at `MATCHED_LAYERS`."""
    from architectures.matching import match

    start = _config(arm, width, stride)
    if matching not in ("parameters", "flops"):
        return start
    if matching == "parameters" and stride != STRIDES[0]:
        solved = _matched(arm, baseline, width, STRIDES[0], matching)  # the stem is that of both arms
        return replace(solved, stride=stride, kernel=stride)
    units = {name: _unit(_config(name, width, stride)) for name in (arm, baseline)}
    arms = {name: _config(name, width, stride, max(1, MATCHED_LAYERS // unit)) for name, unit in units.items()}
    by: Literal["params", "flops"] = "params" if matching == "parameters" else "flops"
    found = match(arms, by=by, reference=baseline, length=LENGTHS[-1], tolerance=TOLERANCE)
    return replace(found[arm].config, pattern=start.pattern)


def _cost(config: BackboneConfig, blocks: int) -> Cost:
    one, two = _first_blocks(config)
    return one.further(two, blocks - 1)


@lru_cache(maxsize=1024)
def _first_blocks(config: BackboneConfig) -> tuple[Cost, Cost]:
    """The cost with one block and with two."""
    first, second = (_counted(replace(config, pattern=str(config.blocks.repeated(n)))) for n in (1, 2))
    return first, second


def _counted(config: BackboneConfig) -> Cost:
    import torch

    from architectures.backbone import Backbone, count_parameters
    from bench.measure.efficiency.memory import training_memory

    with torch.device("meta"):
        backbone = Backbone(config)
    fused, unfused = (
        training_memory(config, LENGTHS[-1], TRAINING_BATCH, attention=kind).total_bytes
        for kind in ("fused", "unfused")
    )
    flops = tuple(backbone.flops(length).total for length in LENGTHS)
    return Cost(count_parameters(backbone), flops, fused, unfused)
