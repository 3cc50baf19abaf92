"""Named backbones, the arms of most studies: a pattern that grows with the number of blocks, and its settings."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

from architectures.backbone import Backbone
from architectures.building import own_random, shapes_only
from architectures.config import BackboneConfig, BackboneError
from architectures.denoiser import DenoiserConfig, DenoiserError, Inputs, registered_denoisers, resolve_denoiser
from architectures.denoiser_network import Denoiser, denoiser_without_weights
from architectures.pattern import BlockPattern, PatternError
from architectures.registry import canonical_pattern

ArmConfig = BackboneConfig | DenoiserConfig
SIZE_KEYS = (*(item.name for item in fields(BackboneConfig) if item.name not in ("pattern", "vocab_size")),)


@dataclass(frozen=True)
class Arm:
    """A named backbone.

    template: its pattern with {k} blocks, {half} = k // 2 and {rest} = k - half. blocks: k by default; least: the
    smallest. fixed: settings that define it and hold whatever size is given, so that a study may set a stride for all
    its arms.
    """

    name: str
    template: str
    blocks: int
    description: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    least: int = 1

    def written(self, blocks: int) -> str:
        """The pattern's text with `blocks` blocks."""
        half = blocks // 2
        return self.template.format(k=blocks, half=half, rest=blocks - half)

    @property
    def pattern(self) -> str:
        """The canonical pattern at the default number of blocks."""
        return str(canonical_pattern(self.written(self.blocks)))


_ARMS = (
    Arm(
        "smdim",
        "MFA*{k}",
        8,
        "the MFA block; the authors' own direction is not known to us",
    ),
    Arm("smdim-bidirectional", "M(bidirectional)FA*{k}", 8, "smdim, half of Mamba's channels reading backward"),
    Arm("transformer", "AF*{k}", 12, "attention and feed-forward behind the same stem"),
    Arm(
        "transformer-uncompressed",
        "AF*{k}",
        12,
        "the transformer on every token: its stride is always 1",
        fixed={"stride": 1, "kernel": 1},
    ),
    Arm("mamba", "M(bidirectional)F*{k}", 12, "our split: half of the channels read backward"),
    Arm("mamba-vim", "M(bidirectional,separate)F*{k}", 12, "as Vision Mamba: two whole scans, added"),
    Arm("mamba-causal", "MF*{k}", 12, "Mamba and feed-forward; nothing sees what lies to the right"),
    Arm("mamba2", "S(bidirectional)F*{k}", 12, "published sizes, our split of each head"),
    Arm("fam", "FAM*{k}", 8, "one of the six orders; a rotation of smdim"),
    Arm("amf", "AMF*{k}", 8, "one of the six orders; a rotation of smdim"),
    Arm("maf", "MAF*{k}", 8, "one of the six orders; with afm and fma the other cycle"),
    Arm("afm", "AFM*{k}", 8, "one of the six orders; a rotation of maf"),
    Arm("fma", "FMA*{k}", 8, "one of the six orders; a rotation of maf"),
    Arm("attention-early", "A{k}(MF){k}", 8, "smdim's mixers, not in a cycle: all attention first"),
    Arm(
        "attention-middle",
        "(MF){half}A{k}(MF){rest}",
        8,
        "smdim's mixers, not in a cycle: all attention midway",
        least=2,
    ),
    Arm("attention-late", "(MF){k}A{k}", 8, "smdim's mixers, not in a cycle: all attention last"),
    Arm("jamba-1-3", "(MF)2AFMF*{k}", 3, "one attention to three Mamba, after Jamba"),
    Arm("jamba-1-7", "(MF)4AF(MF)3*{k}", 2, "one attention to seven Mamba, after Jamba"),
    Arm("conformer", "FACF*{k}", 6, "attention and local convolution between two feed-forwards"),
    Arm("hyena", "H(bidirectional)F*{k}", 12, "gated long convolution by FFT, then feed-forward"),
    Arm("gla", "G(bidirectional)F*{k}", 12, "published heads, our split: half of each backward"),
)
CATALOG: dict[str, Arm] = {arm.name: arm for arm in _ARMS}


def resolve(name_or_pattern: str, vocab_size: int, *, inputs: Inputs | None = None, **size: Any) -> ArmConfig:
    """The configuration of an arm of the catalog, of a registered denoiser, or of a pattern.

    inputs: what a registered denoiser is given. size: for a denoiser its own sizes, else as in `resolve_backbone`.
    Raises BackboneError or DenoiserError for an unknown name, a malformed pattern or an unknown setting.
    """
    if name_or_pattern not in registered_denoisers():
        return resolve_backbone(name_or_pattern, vocab_size, **size)
    if name_or_pattern in CATALOG:
        raise DenoiserError(f"denoiser {name_or_pattern!r}: the name is that of a catalog arm; register it by another")
    return resolve_denoiser(name_or_pattern, vocab_size, inputs or Inputs(), size)


def resolve_backbone(
    name_or_pattern: str, vocab_size: int, *, depth: int | None = None, layers: int | None = None, **size: Any
) -> BackboneConfig:
    """The configuration of an arm of the catalog or of a pattern.

    depth: how often the block repeats; layers: how many mixers in all, a multiple of the block's (give one of
    them, or neither for the default). Further settings are those of BackboneConfig; they yield to what is fixed about
    the arm.
    Raises BackboneError for an unknown name, a malformed pattern, an unknown setting or a depth that does not fit.
    """
    for key in size:
        if key not in SIZE_KEYS:
            raise BackboneError(f"arm {name_or_pattern}: unknown setting {key!r}; allowed: {', '.join(SIZE_KEYS)}")
    if depth is not None and layers is not None:
        raise BackboneError(f"arm {name_or_pattern}: give depth or layers, not both")
    if any(value is not None and value < 1 for value in (depth, layers)):
        raise BackboneError(f"arm {name_or_pattern}: depth={depth}, layers={layers}; must be at least 1")
    arm = CATALOG.get(name_or_pattern) or _arm_of_pattern(name_or_pattern)
    unit = len(canonical_pattern(arm.written(2))) // 2
    if layers is not None and layers % unit:
        raise BackboneError(f"arm {arm.name}: layers={layers}; its blocks hold {unit} mixers, so a multiple of {unit}")
    blocks = depth if depth is not None else layers // unit if layers is not None else arm.blocks
    if blocks < arm.least:
        raise BackboneError(f"arm {arm.name}: {blocks} blocks; it needs at least {arm.least}")
    settings = {**size, **arm.fixed}
    try:
        return BackboneConfig(vocab_size=vocab_size, pattern=arm.written(blocks), **settings)
    except BackboneError as error:
        raise BackboneError(f"arm {arm.name}: {error}") from error


def _arm_of_pattern(text: str) -> Arm:
    if text and text.lower() == text and "[" not in text and "(" not in text:
        names = (*CATALOG, *registered_denoisers())
        near = difflib.get_close_matches(text, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = f"{hint}known: {', '.join(names)}"
        raise BackboneError(f"no arm {text!r}; {known}; a pattern is written in capitals: MFA*8")
    try:
        pattern = canonical_pattern(text)
    except PatternError as error:
        raise BackboneError(f"no arm of that name, and as a {error}") from error
    block = str(BlockPattern(pattern.block))
    return Arm(str(pattern), f"{block}*{{k}}", pattern.repeats, "a pattern of your own")


def config_of(settings: Mapping[str, Any]) -> ArmConfig:
    """The configuration that a `to_dict` of either kind describes. Raises as their `from_dict` do."""
    return DenoiserConfig.from_dict(settings) if "denoiser" in settings else BackboneConfig.from_dict(settings)


def build(
    name_or_pattern: str, *, vocab_size: int, seed: int | None = None, inputs: Inputs | None = None, **size: Any
) -> Backbone | Denoiser:
    """The network of an arm (`smdim`), of a registered denoiser or of a pattern (`MFA*4`), on the current default
    device.

    size: depth or layers, and the settings of BackboneConfig (width, stride, ...), or the denoiser's own sizes. seed:
    draw the weights from that seed and leave torch's generator as it was; None draws from the generator. Raises as
    `resolve` does.
    """
    config = resolve(name_or_pattern, vocab_size, inputs=inputs, **size)
    return build_config(config, name=name_or_pattern, seed=seed)


def build_config(config: ArmConfig, *, name: str = "", seed: int | None = None) -> Backbone | Denoiser:
    """As `build`, from a configuration; `name` is shown in errors."""
    make: Any = Denoiser if isinstance(config, DenoiserConfig) else Backbone
    if seed is None:
        return make(config, name)
    with own_random(seed):
        return make(config, name)


def without_weights(config: ArmConfig) -> Backbone | Denoiser:
    """The network on the meta device: its direction, its parameters and its FLOPs are known, nothing is computed."""
    if isinstance(config, DenoiserConfig):
        return denoiser_without_weights(config)
    return _backbone_without_weights(config)


@lru_cache(maxsize=1024)
def _backbone_without_weights(config: BackboneConfig) -> Backbone:
    with shapes_only():
        return Backbone(config)
