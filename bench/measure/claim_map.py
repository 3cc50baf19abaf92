"""Counted costs of two arms over many sizes, to find where a published ratio holds whose sizes are not known.

Nothing is run or allocated: parameters and operations are formulas, training memory is counted on the meta device.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
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


def claim_map(arm: str = "smdim", baseline: str = "transformer") -> list[dict[str, Any]]:
    """A row for each width, number of mixers, stride and way of matching: the arm's cost over the baseline's.

    Keys: width, layers (mixers of the baseline), stride, matching (`MATCHINGS`), arm_width, arm_hidden, arm_layers,
    parameters and baseline_parameters; at 2048 tokens gflops_ratio, training_memory_ratio and
    unfused_training_memory_ratio (computed: float32, AdamW, `TRAINING_BATCH` sequences; unfused attention keeps its
    scores); flops_exponent of the arm from 256 to 2048 tokens.
    Where the arm cannot be brought to the baseline's size within `TOLERANCE` everything from arm_width on is NaN.
    """
    rows = [_row(arm, baseline, *setting) for setting in itertools.product(WIDTHS, LAYERS, STRIDES, MATCHINGS)]
    missing = {name: math.nan for row in rows for name in row}
    return [missing | row for row in rows]


def _row(arm: str, baseline: str, width: int, layers: int, stride: int, matching: str) -> dict[str, Any]:
    from architectures.matching import MatchingError
    from metrics.statistics.scaling import growth_exponent

    setting = {"width": width, "layers": layers, "stride": stride, "matching": matching}
    base_config = _config(baseline, width, 1 if matching == "no stem" else stride)
    try:
        config = _matched(arm, baseline, width, stride, matching)
    except MatchingError:
        return setting
    base_blocks = max(1, layers // _unit(base_config))
    blocks = base_blocks if matching == "blocks" else max(1, layers // _unit(config))
    parameters, fused_bytes, unfused_bytes, *flops = _cost(config, blocks)
    base_parameters, base_fused_bytes, base_unfused_bytes, *base_flops = _cost(base_config, base_blocks)
    return setting | {
        "arm_width": config.width,
        "arm_hidden": config.hidden,
        "arm_layers": blocks * _unit(config),
        "parameters": parameters,
        "baseline_parameters": base_parameters,
        "gflops_ratio": flops[-1] / base_flops[-1],
        "training_memory_ratio": fused_bytes / base_fused_bytes,
        "unfused_training_memory_ratio": unfused_bytes / base_unfused_bytes,
        "flops_exponent": growth_exponent(LENGTHS, [flops]).value,
    }


def _config(arm: str, width: int, stride: int, depth: int = 1) -> BackboneConfig:
    from architectures.catalog import resolve_backbone

    return resolve_backbone(arm, VOCABULARY, width=width, stride=stride, depth=depth)


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
    sized = found[arm].config
    assert isinstance(sized, type(start))
    return replace(sized, pattern=start.pattern)


def _cost(config: BackboneConfig, blocks: int) -> list[float]:
    """Cost of a backbone of so many blocks, see `_counted`: every block after the first adds the same."""
    one, two = (_counted(replace(config, pattern=str(config.blocks.repeated(n)))) for n in (1, 2))
    return [first + (blocks - 1) * (second - first) for first, second in zip(one, two, strict=True)]


@lru_cache(maxsize=2048)
def _counted(config: BackboneConfig) -> list[float]:
    """Parameters; bytes of a training step at 2048 tokens, and those of an implementation that keeps the L x L scores
    of attention for the backward pass; FLOPs of one sequence at each of LENGTHS."""
    import torch

    from architectures.backbone import Backbone
    from architectures.building import count_parameters
    from bench.measure.efficiency.memory import training_memory

    with torch.device("meta"):
        backbone = Backbone(config)
    memory = [
        training_memory(config, LENGTHS[-1], TRAINING_BATCH, attention=kind).total_bytes
        for kind in ("fused", "unfused")
    ]
    return [count_parameters(backbone), *memory, *(backbone.flops(length).total for length in LENGTHS)]
