"""BackboneConfig: the settings that decide a backbone's parameters and cost, as plain JSON-able values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any, Literal, get_args, get_type_hints

from architectures.pattern import BlockPattern, PatternError
from architectures.registry import canonical_pattern

Norm = Literal["layer", "rms"]
StemPositions = Literal["none", "learned"]


class BackboneError(ValueError):
    """A backbone that cannot be built, or run on what it was given; the message is one line."""


@dataclass(frozen=True)
class BackboneConfig:
    """A backbone's settings; the pattern is kept in its canonical form, so equal backbones have equal settings."""

    vocab_size: int
    """V, number of token ids, mask and padding included."""
    pattern: str
    """Mixers in order, such as `MFA*8`; see architectures/pattern.py for the grammar."""
    width: int = 256
    """D, features a position between the stem's two ends; an even number."""
    stride: int = 4
    """Tokens per position of the blocks: the stem shortens L to L / stride. 1 leaves the length as it is."""
    kernel: int | None = None
    """Width of the stem's convolution and of its transpose in tokens, at least the stride; None: the stride."""
    embedding_width: int | None = None
    """E, features of a token before the stem widens them to `width`; None: half the width."""
    head_width: int = 32
    """Features wanted per attention head; the number of heads follows the width, which matching may change."""
    hidden: int | None = None
    """Inner features of a feed-forward mixer; None: about 8/3 of the width (gated) or 4 times (plain)."""
    state: int | None = None
    """N, states a channel of a state-space mixer; None: each mixer's published default (Mamba-1: 16)."""
    expand: int | None = None
    """Inner width of a state-space mixer over `width`; None: each mixer's published default (2)."""
    norm: Norm = "layer"
    """Normalisation before each mixer and at the end: LayerNorm, or RMSNorm."""
    positions: StemPositions = "none"
    """`learned` adds a trained vector to each position after the stem; `none` leaves positions to the mixers."""
    max_length: int = 2048
    """Longest input in tokens that learned positions cover; without them any length runs."""
    dropout: float = 0.0
    """Share of a mixer's output values zeroed in training before they join the residual."""
    time_conditioning: bool = False
    """Scale and shift each norm by a function of the diffusion time; off by default, since the time of an absorbing
    process follows from the share of masked tokens."""
    mask_id: int | None = None
    """Id of the mask token; with time conditioning the share of masks is the time when none is passed."""
    pad_id: int | None = None
    """Id of the token that fills rows after the end of a piece: positions of nothing else are neither attended to nor
    carried by a recurrence or a convolution. None: no token is treated so."""
    tied_head: bool = False
    """Use the embedding's weights, scaled by 1 / E, as the output layer."""
    checkpoint_blocks: bool = False
    """In training keep only each mixer's input and compute the rest again in the backward pass: slower, smaller."""

    def __post_init__(self) -> None:
        for name, hint in _hints().items():
            _check_type(name, getattr(self, name), hint)
        try:
            pattern = canonical_pattern(self.pattern)
        except PatternError as error:
            raise BackboneError(str(error)) from error
        object.__setattr__(self, "pattern", str(pattern))
        if self.kernel is None:
            object.__setattr__(self, "kernel", self.stride)
        if self.embedding_width is None:
            object.__setattr__(self, "embedding_width", max(1, self.width // 2))
        self._check_ranges()

    def _check_ranges(self) -> None:
        for name in ("vocab_size", "width", "stride", "embedding_width", "head_width", "max_length"):
            self._check(name, getattr(self, name) >= 1, "at least 1")
        for name in ("hidden", "state", "expand"):
            self._check(name, getattr(self, name) is None or getattr(self, name) >= 1, "at least 1, or none")
        self._check("width", self.width % 2 == 0, "an even number")
        self._check("kernel", self.stem_kernel >= self.stride, f"at least the stride, {self.stride}")
        self._check("dropout", 0.0 <= self.dropout < 1.0, "in [0, 1)")
        for name in ("mask_id", "pad_id"):
            token = getattr(self, name)
            self._check(name, token is None or 0 <= token < self.vocab_size, "a token id, or none")

    def _check(self, name: str, right: bool, allowed: str) -> None:
        if not right:
            raise BackboneError(f"backbone {self.pattern}: {name}={getattr(self, name)!r}; must be {allowed}")

    @property
    def blocks(self) -> BlockPattern:
        """The pattern, read."""
        return BlockPattern.parse(self.pattern)

    @property
    def stem_kernel(self) -> int:
        """`kernel`, resolved."""
        return self.kernel if self.kernel is not None else self.stride

    @property
    def token_width(self) -> int:
        """`embedding_width`, resolved."""
        return self.embedding_width if self.embedding_width is not None else self.width // 2

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON-able values, `pad_id` only where it is set; `from_dict` gives the same configuration
        back."""
        return {name: value for name, value in asdict(self).items() if name != "pad_id" or value is not None}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> BackboneConfig:
        """The configuration of a mapping. Raises BackboneError that names unknown or missing keys."""
        known = [item.name for item in fields(cls)]
        unknown = [key for key in settings if key not in known]
        if unknown:
            raise BackboneError(f"backbone: unknown setting {unknown[0]!r}; allowed: {', '.join(known)}")
        missing = [key for key in ("vocab_size", "pattern") if key not in settings]
        if missing:
            raise BackboneError(f"backbone: setting {missing[0]!r} is missing")
        return cls(**settings)


@cache
def _hints() -> dict[str, Any]:
    """Types of the settings, resolved once: matching builds hundreds of configurations."""
    hints = get_type_hints(BackboneConfig)
    return {item.name: hints[item.name] for item in fields(BackboneConfig)}


def _check_type(name: str, value: Any, hint: Any) -> None:
    choices = get_args(hint)
    if hint is float:
        right = isinstance(value, (int, float)) and not isinstance(value, bool)
    elif hint in (int, bool, str):
        right = type(value) is hint
    elif type(None) in choices:
        right = value is None or type(value) is int
    else:
        right = value in choices
    if not right:
        allowed = (
            ", ".join(map(str, choices)) if choices and type(None) not in choices else getattr(hint, "__name__", hint)
        )
        raise BackboneError(f"backbone: {name}={value!r}; allowed: {allowed}")
