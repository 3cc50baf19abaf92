"""The contract of a whole denoiser, checked by running it: `smdim-bench check my_lab.my_model`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional

from architectures.building import count_parameters, own_random
from architectures.contract import FLOP_FACTOR, NOISE, SAME, Check, relative_change, run_check
from architectures.denoiser import DenoiserConfig, Inputs, Registration, resolve_denoiser
from architectures.denoiser_network import OWN_FORMULA, Denoiser, counted_flops, wrong_logits
from architectures.errors import first_line

VOCABULARY = 48
INPUTS = Inputs(length=128, mask_id=3, pad_id=0)
LENGTH = 64
BATCH = 3
NEEDED = (16, 32, 64, 128)
"""Lengths that must run: studies halve and double them, and windows of one piece are shorter than those of training."""
OTHERS = (1, 7, 100)
"""Lengths that may be refused; the ones that are, are named."""


def check_denoiser(found: Registration, *, device: str = "cpu") -> list[Check]:
    """Run the contract on a denoiser of default sizes. Never raises for what the denoiser does."""
    try:
        config = resolve_denoiser(found.name, VOCABULARY, INPUTS, {})
        denoiser = _make(config).to(device)
    except Exception as error:
        return [Check("constructed", False, first_line(error))]
    tests: dict[str, Callable[[Denoiser], str]] = {
        "returns logits": _logits,
        "keeps the type": _dtype,
        "takes the lengths": _lengths,
        "gives finite values": _finite,
        "takes special tokens": _special,
        "sees the mask": _mask,
        "is deterministic in evaluation": _determinism,
        "keeps no state between calls": _state,
        "passes gradients to every parameter": _gradients,
        "keeps sequences of a batch apart": _batch_leak,
        "follows its device": _device,
        "holds all its weights": _weights,
        "counts its FLOPs": _flops,
        "runs under autocast": _autocast,
    }
    parameters = count_parameters(denoiser)
    sizes = ", ".join(f"{name}={value}" for name, value in config.sizes) or "no sizes"
    words = f"{parameters:,} parameters ({sizes}) on {device}; direction {found.direction}"
    checks = [Check("constructed", True, f"{words}; matched by {found.size or 'no size: match refuses it'}")]
    for name, test in tests.items():
        denoiser.eval()
        checks.append(run_check(name, test, denoiser))
        if name == "returns logits" and not checks[-1].passed:  # every other check needs them
            return checks
    refused = [str(length) for length in OTHERS if _refused(denoiser, length)]
    if refused:
        place = next(index for index, one in enumerate(checks) if one.name == "takes the lengths")
        if checks[place].passed:
            checks[place] = Check("takes the lengths", True, f"yes; refuses {', '.join(refused)}")
    return checks


def _make(config: DenoiserConfig) -> Denoiser:
    """The denoiser with weights drawn from one seed and moved off zero, so that a layer that starts at zero does not
    hide what depends on it."""
    with own_random(0):
        denoiser = Denoiser(config)
        with torch.no_grad():
            for parameter in denoiser.parameters():
                parameter.add_(NOISE * torch.randn_like(parameter))
    return denoiser


def _place(denoiser: Denoiser) -> torch.device:
    return next((one.device for one in denoiser.parameters()), torch.device("cpu"))


def _tokens(denoiser: Denoiser, length: int = LENGTH, batch: int = BATCH, seed: int = 1) -> torch.Tensor:
    """Random tokens (B, L), a third of them masked."""
    generator = torch.Generator().manual_seed(seed)
    tokens_BL = torch.randint(4, VOCABULARY, (batch, length), generator=generator)
    masked_BL = torch.rand(batch, length, generator=generator) < 1 / 3
    return torch.where(masked_BL, INPUTS.mask_id, tokens_BL).to(_place(denoiser))


def _raw(denoiser: Denoiser, tokens_BL: torch.Tensor) -> torch.Tensor:
    """What the network itself returns: the wrapper's conversion to float32 would hide its type."""
    return denoiser.network(*denoiser.inputs(tokens_BL))


def _logits(denoiser: Denoiser) -> str:
    tokens_BL = _tokens(denoiser)
    return wrong_logits(_raw(denoiser, tokens_BL), tokens_BL, VOCABULARY)


def _dtype(denoiser: Denoiser) -> str:
    dtype = _raw(denoiser, _tokens(denoiser)).dtype
    return "" if dtype == torch.float32 else f"returns {dtype} with weights of float32"


def _refused(denoiser: Denoiser, length: int) -> str:
    """How a length is refused, "" if it runs."""
    try:
        with torch.no_grad():
            denoiser.check_length(length)
            denoiser(_tokens(denoiser, length, batch=1))
    except Exception as error:
        return first_line(error)
    return ""


def _lengths(denoiser: Denoiser) -> str:
    refused = {length: why for length in NEEDED if (why := _refused(denoiser, length))}
    first = next(iter(refused.items()), None)
    names = ", ".join(map(str, refused))
    return f"refuses {names} of {', '.join(map(str, NEEDED))}; at {first[0]}: {first[1]}" if first else ""


def _finite(denoiser: Denoiser) -> str:
    for training in (False, True):
        denoiser.train(training)
        if not bool(torch.isfinite(_raw(denoiser, _tokens(denoiser))).all()):
            return f"gives logits that are not finite in {'training' if training else 'evaluation'}"
    return ""


def _special(denoiser: Denoiser) -> str:
    """All positions masked, as at the start of a sample; a piece that ends early; every id of the vocabulary."""
    plain = _tokens(denoiser, batch=1)
    padded = plain.clone()
    padded[:, LENGTH // 2 :] = INPUTS.pad_id
    every = torch.arange(LENGTH, device=plain.device)[None] % VOCABULARY
    cases = {"all MASK": torch.full_like(plain, INPUTS.mask_id), "half PAD": padded, "every token id": every}
    for name, tokens_BL in cases.items():
        try:
            logits = denoiser(tokens_BL)
        except Exception as error:
            return f"fails on {name}: {first_line(error)}"
        if not bool(torch.isfinite(logits).all()):
            return f"gives logits that are not finite for {name}"
    return ""


def _mask(denoiser: Denoiser) -> str:
    """Every other token in place of one MASK must give other logits."""
    tokens_VL = _tokens(denoiser, batch=1).repeat(VOCABULARY, 1)
    tokens_VL[:, LENGTH // 2] = torch.arange(VOCABULARY, device=tokens_VL.device)
    with torch.no_grad():
        logits = denoiser(tokens_VL)
    change = (logits - logits[INPUTS.mask_id]).abs().amax(dim=(1, 2))  # V L V -> V
    alike = [token for token in range(VOCABULARY) if token != INPUTS.mask_id and float(change[token]) == 0.0]
    return f"gives the same logits for MASK and for {len(alike)} other tokens ({alike[0]}, ...)" if alike else ""


def _determinism(denoiser: Denoiser) -> str:
    tokens_BL = _tokens(denoiser)
    with torch.no_grad():
        same = torch.equal(denoiser(tokens_BL), denoiser(tokens_BL))
    return "" if same else "gives other logits for the same tokens in evaluation, one call after the other"


def _state(denoiser: Denoiser) -> str:
    first, other = _tokens(denoiser), _tokens(denoiser, batch=1, seed=2)
    held = {name: value.clone() for name, value in denoiser.state_dict().items()}
    with torch.no_grad():
        before = denoiser(first)
        denoiser(other)
        after = denoiser(first)
    changed = [name for name, value in denoiser.state_dict().items() if not torch.equal(value, held[name])]
    if changed:
        return f"changes {changed[0].removeprefix('network.')} when it is called in evaluation"
    return "" if torch.equal(before, after) else "depends on what it was called with before"


def _gradients(denoiser: Denoiser) -> str:
    denoiser.train()
    tokens_BL = _tokens(denoiser, length=INPUTS.length)
    denoiser.zero_grad()
    targets = _tokens(denoiser, length=INPUTS.length, seed=3)
    functional.cross_entropy(denoiser(tokens_BL).flatten(0, 1), targets.flatten()).backward()  # B L V -> BL V
    for name, parameter in denoiser.network.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.grad is None or not bool(parameter.grad.abs().max() > 0):
            return f"no gradient reaches {name}"
        if not bool(torch.isfinite(parameter.grad).all()):
            return f"the gradient of {name} is not finite"
    denoiser.zero_grad()
    return "" if any(one.requires_grad for one in denoiser.parameters()) else "has no trained parameter"


def _batch_leak(denoiser: Denoiser) -> str:
    """In evaluation and in training, where a batch norm would mix sequences; both calls draw the same dropout."""
    tokens_BL = _tokens(denoiser)
    moved = tokens_BL.clone()
    moved[1] = _tokens(denoiser, batch=1, seed=5)[0]
    for training in (False, True):
        denoiser.train(training)
        outputs = []
        with torch.no_grad(), own_random():
            for given in (tokens_BL, moved):
                torch.manual_seed(4)
                outputs.append(denoiser(given))
        change = relative_change(*outputs).amax(dim=1)
        leaked = float(torch.stack((change[0], change[2])).max())
        if not leaked <= SAME:
            return f"changing one sequence changes another by {leaked:.1e} of the largest logit"
    return ""


def _stray(network: nn.Module) -> Iterator[str]:
    """Names of tensors that modules hold as plain attributes, which `.to` leaves where they are."""
    for path, module in network.named_modules():
        for name, value in vars(module).items():
            if name in ("_parameters", "_buffers", "_modules"):
                continue
            values = (
                value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
            )
            if any(isinstance(one, torch.Tensor) for one in values):
                yield f"{path}.{name}".lstrip(".")


def _device(denoiser: Denoiser) -> str:
    """On the meta device, where every tensor made elsewhere is refused."""
    for name in _stray(denoiser.network):
        return f"holds the tensor {name}, which .to() does not move; register it as a buffer or a parameter"
    moved = _make(denoiser.config).to("meta").eval()
    tokens_BL = torch.zeros(BATCH, LENGTH, dtype=torch.int64, device="meta")
    try:
        with torch.no_grad():
            _raw(moved, tokens_BL)
    except Exception as error:
        if "device" in str(error) and "meta!" in str(error):
            return f"makes a tensor on another device than its tokens': {first_line(error)}"
    return ""


def _weights(denoiser: Denoiser) -> str:
    """A second network, drawn from another seed and given the first one's state, computes the same."""
    with own_random(9):
        other = Denoiser(denoiser.config).to(_place(denoiser)).eval()
    other.load_state_dict(denoiser.state_dict())
    tokens_BL = _tokens(denoiser)
    with torch.no_grad():
        change = float(relative_change(denoiser(tokens_BL), other(tokens_BL)).max())
    return (
        "" if change <= SAME else "another network with the same state_dict gives other logits: a weight is not in it"
    )


def _flops(denoiser: Denoiser) -> str:
    counted = counted_flops(denoiser.config, LENGTH).total
    if denoiser.flops_source != OWN_FORMULA:
        return "" if counted > 0 else "no formula of its own, and torch counts no product"
    own = denoiser.flops(LENGTH).total
    if not (math.isfinite(own) and own > 0):
        return f"flops({LENGTH}) is {own}"
    if own * FLOP_FACTOR < counted:
        return f"declares {own:.3g} FLOPs at {LENGTH} tokens where torch counts {counted:.3g} in products alone"
    return ""


def _autocast(denoiser: Denoiser) -> str:
    denoiser.train()
    tokens_BL = _tokens(denoiser)
    with torch.autocast(tokens_BL.device.type, dtype=torch.bfloat16):
        logits = _raw(denoiser, tokens_BL)
    logits.float().sum().backward()
    gradients = [one.grad for one in denoiser.parameters() if one.grad is not None]
    finite = bool(torch.isfinite(logits).all()) and all(bool(torch.isfinite(one).all()) for one in gradients)
    denoiser.zero_grad()
    return "" if finite else "gives logits or gradients that are not finite in bfloat16"
