"""Calls and FLOPs of a piece over processes, arms, sizes, strides and lengths, by formulas; nothing is run."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from architectures.backbone import Backbone

ARMS = {
    "transformer": "AF",
    "transformer-window64": "A(window=64)F",
    "mamba": "M(bidirectional)F",
    "smdim": "M(bidirectional)FA",
}
"""Arm -> its pattern, repeated to as many mixers as the size has."""
BASELINE = "transformer"
SIZES = {"2 M": (224, 6), "19 M": (512, 12)}
"""Parameters, about -> width and mixers of the transformer; the other arms' widths are matched to it."""
STRIDES = (1, 4)
LENGTHS = (1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
PROCESSES = {
    "whole": "on the whole piece, 64 calls",
    "whole-half": "on the whole piece, a call for every two tokens",
    "block-16": "by blocks of 16, two tokens a call, behind a cache",
    "ar": "token by token, behind a cache",
}
WHOLE_CALLS = 64
BLOCK, REVEAL = 16, 2
VOCABULARY = 222  # tokens of the REMI vocabulary used throughout


def piece_map() -> list[dict[str, Any]]:
    """A row for each size, stride, arm, process and length. Keys: size, stride, arm (`ARMS`), process (`PROCESSES`),
    name (arm and process), length, calls, gflops. Token by token stands at stride 1 alone, as it needs it."""
    return [
        {"size": size, "stride": stride, "arm": arm, "process": process, "name": f"{arm} {process}"}
        | {"length": length, "calls": calls(process, length), "gflops": gflops(size, stride, arm, process, length)}
        for size in SIZES
        for stride in STRIDES
        for arm in ARMS
        for process in PROCESSES
        if process != "ar" or stride == 1
        for length in LENGTHS
    ]


def calls(process: str, length: int) -> int:
    """Network calls of a piece."""
    return int(_plan(process, length).calls)


def gflops(size: str, stride: int, arm: str, process: str, length: int) -> float:
    """GFLOPs of a piece, multiply-add = 2."""
    network = _networks(size, stride, causal=process == "ar")[arm]
    return float(_plan(process, length).flops(network)) / 1e9


def _plan(process: str, length: int) -> Any:
    from bench.diffusion.samplers import SAMPLERS

    if process == "block-16":
        return SAMPLERS["block"].plan(length, None, BLOCK, reveal=REVEAL)
    if process == "ar":
        return SAMPLERS["autoregressive"].plan(length, None)
    return SAMPLERS["first-hitting"].plan(length, WHOLE_CALLS if process == "whole" else length // 2)


@lru_cache(maxsize=32)
def _networks(size: str, stride: int, *, causal: bool) -> dict[str, Backbone]:
    """The arms of one size without weights; their causal twins have the same parameters."""
    from architectures.backbone import Backbone
    from architectures.building import shapes_only
    from architectures.catalog import resolve_backbone
    from architectures.family import causal_twin
    from architectures.matching import match

    width, mixers = SIZES[size]
    configs = {}
    for arm, pattern in ARMS.items():
        unit = len(resolve_backbone(pattern, VOCABULARY, width=width, stride=stride).blocks.slots)
        depth = mixers // unit
        configs[arm] = resolve_backbone(pattern, VOCABULARY, width=width, stride=stride, depth=depth)
    found = match(configs, by="params", reference=BASELINE, tolerance=0.02)
    networks = {}
    for arm, matched in found.items():
        config = matched.config
        assert isinstance(config, type(configs[BASELINE]))
        config = replace(config, pattern=str(causal_twin(config.pattern))) if causal else config
        with shapes_only():
            networks[arm] = Backbone(config)
    return networks
