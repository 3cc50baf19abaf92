"""The contract of a mixer, checked by running it: `smdim-bench check my_lab.my_block`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from architectures.building import own_random
from architectures.errors import first_line
from architectures.mixer import Direction, FlopCount, Mixer
from architectures.pattern import Slot
from architectures.registry import make_mixer

Subject = TypeVar("Subject")
WIDTH = 64
LENGTHS = (1, 7, 64)  # one position, a length no chunk divides, a usual one
BATCH = 3
PERTURBED_AT = 20
SAME = 1e-5  # largest change, relative to the outputs' size, that counts as rounding
NOISE = 0.02  # added to the weights, so that a layer that starts at zero does not hide what depends on it
FLOP_FACTOR = 2.0  # a declared count that is smaller than torch's own by more than this is wrong
DEVICE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Check:
    """A point of the contract: whether it holds, and what was found."""

    name: str
    passed: bool
    detail: str


def check_mixer(cls: type[Mixer], *, device: str = "cpu", width: int = WIDTH) -> list[Check]:
    """Run the contract on a mixer with its default options, on `device`. Never raises for what the mixer does."""
    return check_slot(Slot(cls.letter or cls.name), device=device, width=width)


def check_slot(slot: Slot, *, device: str = "cpu", width: int = WIDTH) -> list[Check]:
    """As `check_mixer`, with options: Slot("M", (("direction", "backward"),))."""
    try:
        mixer = _make(slot, width, device)
    except Exception as error:
        return [Check("constructed", False, f"{type(error).__name__}: {error}")]
    tests: dict[str, Callable[[Mixer], str]] = {
        "keeps the shape": _shape,
        "keeps the type": _dtype,
        "is deterministic": _determinism,
        "passes gradients": _gradients,
        "keeps sequences of a batch apart": _batch_leak,
        "counts its FLOPs": _flops,
        "sees what it declares": _direction,
        "runs under autocast": _autocast,
    }
    checks = [Check("constructed", True, f"width {width} on {device}")]
    if mixer.uncounted:
        del tests["counts its FLOPs"]
        checks.append(Check("counts its FLOPs", True, f"n/a: {mixer.uncounted}"))
    for name, test in tests.items():
        checks.append(run_check(name, test, mixer))
    if device != "cpu" and not mixer.devices:
        checks.append(run_check("agrees with the CPU", lambda on_device: _agreement(on_device, slot, width), mixer))
    return checks


def run_check(name: str, test: Callable[[Subject], str], subject: Subject) -> Check:
    """The result of one test, which returns what is wrong, "" if nothing."""
    try:
        problem = test(subject)
    except Exception as error:  # whatever a user's code raises is a finding
        problem = first_line(error)
    return Check(name, not problem, problem or "yes")


def _make(slot: Slot, width: int, device: str) -> Mixer:
    """The mixer with weights drawn from one seed and moved off zero."""
    with own_random(0):
        mixer = make_mixer(slot, width, {})
        with torch.no_grad():
            for parameter in mixer.parameters():
                parameter.add_(NOISE * torch.randn_like(parameter))
    return mixer.to(device)


def _input(mixer: Mixer, length: int, batch: int = BATCH, seed: int = 1) -> torch.Tensor:
    device = next((parameter.device for parameter in mixer.parameters()), torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, length, mixer.width, generator=generator).to(device)


def relative_change(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Largest change at each (sequence, position), relative to the largest output."""
    return (after - before).abs().amax(dim=-1) / before.abs().max().clamp(min=1e-12)  # B L D -> B L


def _shape(mixer: Mixer) -> str:
    for length in LENGTHS:
        x = _input(mixer, length)
        y = mixer(x)
        if not isinstance(y, torch.Tensor):
            return f"returns {type(y).__name__}, not a tensor"
        if y.shape != x.shape:
            return f"returns {tuple(y.shape)} for {tuple(x.shape)}"
        if not bool(torch.isfinite(y).all()):
            return f"returns values that are not finite at length {length}"
    return ""


def _dtype(mixer: Mixer) -> str:
    y = mixer(_input(mixer, LENGTHS[-1]))
    return "" if y.dtype == torch.float32 else f"returns {y.dtype} for float32"


def _determinism(mixer: Mixer) -> str:
    mixer.eval()
    first, other = _input(mixer, 64), _input(mixer, 64, seed=2)
    with torch.no_grad():
        before = mixer(first)
        mixer(other)
        after = mixer(first)
    mixer.train()
    same = torch.equal(before, after)
    return "" if same else "gives another result for the same input, or keeps something from the call before"


def _gradients(mixer: Mixer) -> str:
    x = _input(mixer, 64).requires_grad_()
    weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(3)).to(x.device)
    mixer.zero_grad()
    (mixer(x) * weight).sum().backward()
    if x.grad is None or not bool(x.grad.abs().amax(dim=(1, 2)).min() > 0):
        return "no gradient reaches the input"
    for name, parameter in mixer.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.grad is None or not bool(parameter.grad.abs().max() > 0):
            return f"no gradient reaches the parameter {name}"
        if not bool(torch.isfinite(parameter.grad).all()):
            return f"the gradient of {name} is not finite"
    mixer.zero_grad()
    return ""


def _batch_leak(mixer: Mixer) -> str:
    """In training mode, where a batch norm would mix sequences; both calls draw the same noise."""
    x = _input(mixer, 64)
    moved = x.clone()
    moved[1] += 1.0
    outputs = []
    with torch.no_grad(), own_random():
        for given in (x, moved):
            torch.manual_seed(4)
            outputs.append(mixer(given))
    change = relative_change(*outputs).amax(dim=1)
    leaked = float(torch.stack((change[0], change[2])).max())
    return "" if leaked <= SAME else f"changing one sequence changes another by {leaked:.1e} of the output"


def _flops(mixer: Mixer) -> str:
    count = mixer.flops(64)
    if not isinstance(count, FlopCount):
        return f"flops() returns {type(count).__name__}, not a FlopCount"
    if not (math.isfinite(count.total) and count.total > 0):
        return f"flops(64).total is {count.total}"
    if mixer.flops(128).total < count.total:
        return "flops(128) is below flops(64)"
    counter = FlopCounterMode(display=False)
    # The plain form of attention: torch's counter has no formula for the fused one of a CPU.
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        mixer(_input(mixer, 64, batch=1))
    seen = counter.get_total_flops()
    if count.total * FLOP_FACTOR < seen:
        return f"declares {count.total:.3g} FLOPs at 64 positions where torch counts {seen:.3g} in products alone"
    return ""


def measured_direction(mixer: Mixer, length: int = 48) -> Direction:
    """Which positions see a change of the input in the middle: those after it, before it, both, or only itself."""
    x = _input(mixer, length, batch=1)
    moved = x.clone()
    moved[:, PERTURBED_AT] += 3.0
    was_training = mixer.training
    mixer.eval()
    with torch.no_grad():
        change = relative_change(mixer(x), mixer(moved))[0]  # L
    mixer.train(was_training)
    before = bool(change[:PERTURBED_AT].max() > SAME)
    after = bool(change[PERTURBED_AT + 1 :].max() > SAME)
    if before and after:
        return "bidirectional"
    return "backward" if before else "forward" if after else "none"


def _direction(mixer: Mixer) -> str:
    seen = measured_direction(mixer)
    if mixer.direction != seen:
        return f"declares direction {mixer.direction!r}; a change of one position is seen {seen!r}"
    causal = seen in ("forward", "none")
    return "" if mixer.causal is causal else f"declares causal={mixer.causal}, but it is {causal} by direction {seen!r}"


def _autocast(mixer: Mixer) -> str:
    x = _input(mixer, 64).requires_grad_()
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        y = mixer(x)
    y.float().sum().backward()
    finite = bool(torch.isfinite(y).all()) and x.grad is not None and bool(torch.isfinite(x.grad).all())
    mixer.zero_grad()
    return "" if finite and y.shape == x.shape else "gives values or gradients that are not finite in bfloat16"


def _agreement(mixer: Mixer, slot: Slot, width: int) -> str:
    there = _make(slot, width, "cpu").eval()
    mixer.eval()
    with torch.no_grad():
        difference = float(relative_change(there(_input(there, 64)), mixer(_input(mixer, 64)).cpu()).max())
    mixer.train()
    return "" if difference <= DEVICE_TOLERANCE else f"differs from the CPU by {difference:.1e} of the output"
