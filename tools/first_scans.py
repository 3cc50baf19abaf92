"""Steps of the first minutes that are of the selective scan: its kernels against float64, its constants, its times."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from first_figures import Figures, Size
from scan_against_floor import Tensors, calls_of, floor_bytes, forward_and_backward, medians_ms, scan_arguments

from architectures.scan import available_kernels
from architectures.scan.kernels import KERNELS, SCAN
from bench.errors import first_line
from metrics.cost.roofline import measure_ceilings

TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}
"""Largest |difference| from float64 over largest |value|, of inputs rounded to the type."""
CASES = (
    *itertools.product((torch.float32, torch.bfloat16), (16,), (False, True)),
    (torch.bfloat16, 1, False),
    (torch.bfloat16, 64, False),
    (torch.float16, 16, False),
)
"""Type, N and direction of the scans that are checked, the most used first."""
SWEPT = ("TILE", "LONGEST_CHUNK", "PROGRAMS_WANTED", "CARRY_CELLS")
"""Constants of the Triton scan that are varied, as far as it has them; each alone, by factors of 2."""
WARPS = (1, 2, 4, 8)
FASTEST_SHARE = 1.1
"""Time of the scan as it is over that of its fastest variant, at most."""
OVER_PEERS = {"torch": 0.1, "mamba_ssm": 1.0}
"""Time of the Triton scan over that of another kernel, at most, at 2048 steps."""


def kernels(figures: Figures, device: torch.device, size: Size) -> None:
    """Every kernel of the scan, values and gradients, against the recurrence in float64."""
    usable = usable_scans(device)
    for name in (name for name, reason in usable.items() if reason):
        figures.add(name, reason=usable[name])
    for dtype, state, reverse in CASES:
        given = scan_arguments(*size.checked, state, dtype, device)
        gradient = torch.randn_like(given["u"])
        exact = scan_results(
            "reference", {name: one.double() for name, one in given.items()}, gradient.double(), reverse
        )
        for name in (name for name, reason in usable.items() if not reason):
            words = f"{name}, {str(dtype).removeprefix('torch.')}, N {state}{', reversed' if reverse else ''}"
            with figures.named(words):
                found = scan_results(name, given, gradient, reverse)
                figures.add(words, largest_error(found, exact), "of the largest", limit=TOLERANCES[dtype])


def usable_scans(device: torch.device) -> dict[str, str]:
    """Kernel of the scan -> why it cannot run on the device, "" if it can; the reference is none of them."""
    return {name: SCAN.refusal(name, device) for name in available_kernels() if name != "reference"}


def scan_results(kernel: str, given: Tensors, gradient: torch.Tensor, reverse: bool) -> list[torch.Tensor]:
    """Output, and gradients of all arguments, in float64."""
    leaves = {name: one.detach().requires_grad_() for name, one in given.items()}
    return [one.detach().double() for one in forward_and_backward(kernel, leaves, gradient, reverse)]


def largest_error(found: list[torch.Tensor], exact: list[torch.Tensor]) -> float:
    """Largest |difference| over largest |value| of any of the tensors; NaN where one holds NaN."""
    errors = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, exact, strict=True)]
    return math.nan if any(map(math.isnan, errors)) else max(errors)


def variants(module: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Words for a variant of the Triton scan -> its constants; with the warps of a program what follows from them."""
    for name, factor in itertools.product((name for name in SWEPT if hasattr(module, name)), (0.5, 2)):
        value = max(1, int(getattr(module, name) * factor))
        yield f"{name} {value}", {name: value}
    for warps in (one for one in WARPS if one != module.WARPS):
        follows = {"LANES": 32 * warps, "COMPILED": {**getattr(module, "COMPILED", {}), "num_warps": warps}}
        yield f"WARPS {warps}", {"WARPS": warps} | {name: one for name, one in follows.items() if hasattr(module, name)}


def tiles(figures: Figures, device: torch.device, size: Size) -> None:
    """The Triton scan with each of its constants halved and doubled: how far the shipped ones are from the fastest
    that agrees with them."""
    if reason := usable_scans(device)["triton"]:
        figures.add("triton", reason=reason)
        return
    module: Any = KERNELS["triton"].load()
    given = scan_arguments(*size.scan, 16, torch.bfloat16, device)

    gradient = torch.randn_like(given["u"])

    def results() -> list[torch.Tensor]:
        return scan_results("triton", given, gradient, reverse=False)

    def measured_ms() -> float:
        return medians_ms(calls_of(["triton"], given), 3, 5, device)["triton"]

    expected, shipped_ms = results(), measured_ms()
    figures.add("as shipped", shipped_ms, "ms")
    found = {}
    for words, changed in variants(module):
        kept = {name: getattr(module, name) for name in changed}
        vars(module).update(changed)
        try:
            error = largest_error(results(), expected)
            if not error <= TOLERANCES[torch.bfloat16]:  # NaN as well
                raise ValueError(f"differs from the scan as shipped by {error:.1e}")
            found[words] = measured_ms()
            figures.add(words, found[words], "ms")
        except Exception as problem:  # a size that the compiler or the device refuses
            figures.add(words, reason=first_line(problem))
        finally:
            vars(module).update(kept)
    fastest = min(found, key=lambda words: found[words], default="as shipped")
    ratio = shipped_ms / min([shipped_ms, *found.values()])
    figures.add(f"as shipped over the fastest ({fastest})", ratio, "x", limit=FASTEST_SHARE)


def scan(figures: Figures, device: torch.device, size: Size) -> None:
    """The scan's kernels in turns, beside the time that moving the bytes alone would take."""
    usable = usable_scans(device)
    for name in (name for name, reason in usable.items() if reason):
        figures.add(name, reason=usable[name])
    given = scan_arguments(*size.scan, 16, torch.bfloat16 if device.type == "cuda" else torch.float32, device)
    floor_ms = 1e3 * floor_bytes(given) / measure_ceilings(device).bytes_per_s
    figures.add("bytes moved once", floor_ms, "ms")
    calls = {}
    for name, call in calls_of([name for name, reason in usable.items() if not reason], given).items():
        with figures.named(name):
            call()
            calls[name] = call
    found = medians_ms(calls, 3, 5, device)
    for name, median_ms in found.items():
        figures.add(name, median_ms, "ms")
        figures.add(f"{name} over the floor", median_ms / floor_ms, "x")
    for peer, most in OVER_PEERS.items():
        if "triton" in found and peer in found:
            figures.add(f"triton over {peer}", found["triton"] / found[peer], "x", limit=most)
