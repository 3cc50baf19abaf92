"""Network of a registered denoiser: built from its configuration, its logits checked, its FLOPs counted."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from architectures.building import count_parameters, own_random, shapes_only
from architectures.denoiser import DenoiserConfig, DenoiserError, Registration, find_denoiser
from architectures.errors import first_line
from architectures.mixer import FlopCount
from architectures.padding import masked_share

OWN_FORMULA, COUNTED = "own formula", "counted"


class Denoiser(nn.Module):
    """A registered denoiser as the trainer and the samplers use it: tokens (B, L) -> logits (B, L, V) in float32.

    `network` is the user's module. Raises DenoiserError where it cannot be built, or returns what is no logits.
    """

    def __init__(self, config: DenoiserConfig, name: str = "") -> None:
        super().__init__()
        self.config = config
        self.name = name or config.name
        self.registration = find_denoiser(config.name)
        self.network = _built(self.registration, config)
        self.direction = self.registration.direction
        self._seen: set[tuple[Any, ...]] = set()

    def forward(self, tokens_BL: torch.Tensor, time_B: torch.Tensor | None = None) -> torch.Tensor:
        """Logits of token ids; a network that takes the time is given the share of masked tokens where none is passed.

        The first call of each shape names the denoiser in whatever its network raises.
        """
        inputs = self.inputs(tokens_BL, time_B)
        key = (tokens_BL.shape, tokens_BL.device, self.training)
        if torch.compiler.is_compiling() or key in self._seen:
            return self.network(*inputs).float()  # B L -> B L V
        try:
            logits = self.network(*inputs)
        except Exception as error:
            if isinstance(error, DenoiserError) or _is_out_of_memory(error):
                raise
            shape = tuple(tokens_BL.shape)
            raise DenoiserError(f"denoiser {self.name}: fails on tokens {shape}: {first_line(error)}") from error
        if problem := wrong_logits(logits, tokens_BL, self.config.vocab_size):
            raise DenoiserError(f"denoiser {self.name}: {problem}")
        self._seen.add(key)
        return logits.float()

    def inputs(self, tokens_BL: torch.Tensor, time_B: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
        """What the network is called with: the tokens, and the time (B,) where it takes one."""
        if not self.registration.takes_time:
            return (tokens_BL,)
        return (tokens_BL, masked_share(tokens_BL, self.config.mask_id) if time_B is None else time_B)

    def check_length(self, length: int) -> None:
        """Raise DenoiserError where the network's own `check_length` refuses a length, or its positions end before."""
        if length < 1 or (self.config.length is not None and length > self.config.length):
            raise DenoiserError(f"denoiser {self.name}: length {length} is not in 1..{self.config.length}")
        own = getattr(self.network, "check_length", None)
        if callable(own):
            try:
                own(length)
            except ValueError as error:
                raise DenoiserError(f"denoiser {self.name}: length {length}: {first_line(error)}") from error

    def flops(self, length: int) -> FlopCount:
        """Operations of one forward pass over one sequence: the network's own `flops(length)` (a number or a
        FlopCount), else its matrix products and convolutions, counted."""
        own = getattr(self.network, "flops", None)
        if not callable(own):
            return counted_flops(self.config, length)
        count: Any = own(length)
        return count if isinstance(count, FlopCount) else FlopCount(matmul=float(count))

    @property
    def flops_source(self) -> str:
        """Where `flops` comes from: "own formula" or "counted"."""
        return OWN_FORMULA if callable(getattr(self.network, "flops", None)) else COUNTED

    def kernels(self, device: torch.device | str | None = None) -> dict[str, str]:
        """The network's own `kernels(device)` where it has one; else nothing is known before it runs."""
        own = getattr(self.network, "kernels", None)
        return dict(own(device)) if callable(own) else {}


@lru_cache(maxsize=4096)
def measured_denoiser(config: DenoiserConfig, length: int | None) -> tuple[int, float]:
    """Parameters, and FLOPs of one sequence of `length` tokens (NaN for None)."""
    denoiser = denoiser_without_weights(config)
    return count_parameters(denoiser), denoiser.flops(length).total if length else float("nan")


@lru_cache(maxsize=256)
def denoiser_without_weights(config: DenoiserConfig) -> Denoiser:
    """The denoiser on the meta device."""
    try:
        with shapes_only():
            return Denoiser(config)
    except Exception:  # a constructor that reads values fails there in its own way
        with own_random():
            return Denoiser(config).to("meta")  # its weights are not kept


def wrong_logits(logits: Any, tokens_BL: torch.Tensor, vocab_size: int) -> str:
    """What is wrong with a network's result for these tokens, "" if nothing."""
    if not isinstance(logits, torch.Tensor):
        return f"returns {type(logits).__name__}, not a tensor; allowed: logits (batch, length, vocabulary)"
    wanted = (*tokens_BL.shape, vocab_size)
    if logits.shape != wanted:
        return f"returns shape {tuple(logits.shape)} for tokens {tuple(tokens_BL.shape)}; allowed: {tuple(wanted)}"
    return "" if logits.is_floating_point() else f"returns {logits.dtype}; allowed: floating-point logits"


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "memory" in str(error)


def _built(found: Registration, config: DenoiserConfig) -> nn.Module:
    keywords = {key: getattr(config, key) for key in found.given}
    try:
        network = found.factory(**keywords, **dict(config.sizes))
    except Exception as error:
        if _is_out_of_memory(error):
            raise
        raise DenoiserError(f"denoiser {config.name}: cannot be built: {first_line(error)}") from error
    if not isinstance(network, nn.Module):
        raise DenoiserError(f"denoiser {config.name}: builds {type(network).__name__}; allowed: a torch.nn.Module")
    return network


@lru_cache(maxsize=1024)
def counted_flops(config: DenoiserConfig, length: int) -> FlopCount:
    """Matrix products and convolutions of one sequence by torch's counter: on the meta device, or on the CPU where the
    network reads values. Attention runs as products: the counter has no formula for a CPU's fused kernel."""
    for device in ("meta", "cpu"):
        try:
            with own_random(), torch.device(device):
                denoiser = Denoiser(config).eval()
                tokens_BL = torch.zeros(1, length, dtype=torch.int64)
                counter = FlopCounterMode(display=False)
                with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
                    denoiser(tokens_BL)
            break
        except Exception:
            if device == "cpu":
                raise
    counts = {str(name): float(count) for name, count in counter.get_flop_counts().get("Global", {}).items()}
    convolution = sum(count for name, count in counts.items() if "conv" in name)
    return FlopCount(matmul=sum(counts.values()) - convolution, convolution=convolution)
