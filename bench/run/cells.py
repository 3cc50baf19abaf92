"""Cells of each kind: the settings that decide a cell's id, and the labels that tables show.

Here alone those settings are put together, for studies and for `train`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench import versions
from bench.study.grid import Cell
from bench.study.settings import given
from bench.training.tracking import UNTRACKED

if TYPE_CHECKING:
    from architectures.catalog import ArmConfig
    from bench.data import TokenCorpus
    from bench.study.grid import Combination
    from bench.study.settings import EfficiencySettings, InfillingSettings, Measure


EVALUATED = {"batch", "device", "evaluation_precision", "final_validation_windows", "final_validation_draws"}
"""Settings of the trainer that matter to loaded weights: how they are evaluated, and where."""


def with_pad(config: ArmConfig, pad_id: int) -> ArmConfig:
    """The configuration of a backbone that is to meet the ends of pieces; timed ones never do. A whole denoiser has its
    PAD already, where its factory names it."""
    from architectures.config import BackboneConfig

    return replace(config, pad_id=pad_id) if isinstance(config, BackboneConfig) else config


def reference_cell(
    member: Combination, tokens: TokenCorpus, length: int, infilling: InfillingSettings | None = None
) -> Cell:
    """Real music against real music at a length, and the references of infilling at the length of training."""
    parts = versions.REFERENCE_PARTS
    settings = _settings("reference", parts) | {"pieces": member.sample.pieces} | _data(member, tokens, length)
    if infilling and length == member.length:
        settings["infilling"] = infilling.model_dump()
    labels = {"arm": "reference", "corpus": member.corpus, "length": length, "version": versions.label(parts)}
    return Cell("reference", labels, settings)


def quality_cell(
    member: Combination,
    config: ArmConfig,
    tokens: TokenCorpus,
    seed: int,
    plugins: Sequence[str] = (),
    infilling: InfillingSettings | None = None,
    **labels: Any,
) -> Cell:
    """A training of `member`, and the music drawn from it; `labels`: further ones than those of its settings."""
    from bench.training.weights import weights_file, weights_hash

    assert member.train
    parts = versions.QUALITY_PARTS
    train = member.train.model_dump(mode="json", include=EVALUATED if member.arm.checkpoint else None)
    if "track" in train:
        train["track"] = False  # as ids of every version have it: a tracker decides nothing
        labels |= {"track": member.train.track} if member.train.track != UNTRACKED else {}
    settings = _settings("quality", parts) | _data(member, tokens, member.length)
    settings |= {
        "model": with_pad(config, tokens.pad_id).to_dict(),
        "seed": seed,
        "train": train,
        "diffusion": member.diffusion.deciding(),
        "sample": member.sample.deciding(),
        "plugins": list(plugins),
    }
    if asked := member.kernels.asked():
        settings["kernels"] = asked
    if infilling:
        settings["infilling"] = infilling.model_dump()
    if member.arm.sample_lengths:
        settings["sample_lengths"] = list(member.arm.sample_lengths)
    if member.arm.checkpoint:
        file = weights_file(member.arm.checkpoint)
        settings["checkpoint"] = {"file": str(file), "sha256": weights_hash(file)}
    labels |= _arm_labels(member.label, config)
    if process := member.diffusion.process:
        labels["process"] = process
    labels |= {"seed": seed, "length": member.length, "corpus": member.corpus, "version": versions.label(parts)}
    return Cell("quality", labels, settings)


def tuning_cell(
    member: Combination,
    config: ArmConfig,
    tokens: TokenCorpus,
    seed: int,
    plugins: Sequence[str] = (),
    *,
    share: float,
    **labels: Any,
) -> Cell:
    """A training of `member` with a share of its budget, validated and not sampled."""
    assert member.train
    train = member.train.shared_out(share)
    whole = quality_cell(replace(member, train=train), config, tokens, seed, plugins, **labels, share=share)
    parts = versions.TUNING_PARTS
    drawn = ("sample", "sample_lengths", "infilling")
    settings = {name: value for name, value in whole.settings.items() if name not in drawn}
    labels = whole.labels | {"version": versions.label(parts)}
    return Cell("tuning", labels, settings | _settings("tuning", parts))


def outside_cell(member: Combination, tokens: TokenCorpus, other: TokenCorpus, measure: Measure) -> Cell:
    """The music of another system, `other`; its costs are unknown at the lengths where the other arms are timed."""
    assert measure.quality
    parts = {name: versions.QUALITY_PARTS[name] for name in ("data", "metrics")}
    settings = _settings("quality", parts) | _data(member, tokens, member.length)
    settings |= {
        "midi": member.arm.midi,
        "midi_fingerprint": other.fingerprint,
        "pieces": member.sample.pieces,
        "files": member.arm.pieces,
        "cost_lengths": list(measure.efficiency.lengths) if measure.efficiency else [],
    }
    labels = {
        "arm": member.label,
        "pattern": "",
        "direction": "another system",
        "corpus": member.corpus,
        "length": member.length,
        "threads": measure.quality.threads,
        "version": versions.label(parts),
    }
    return Cell("quality", labels, settings)


def efficiency_cell(
    member: Combination,
    config: ArmConfig,
    measure: EfficiencySettings,
    machine: Mapping[str, Any],
    plugins: Sequence[str] = (),
) -> Cell:
    """The timing of `member` on a machine, see `bench.run.machine.timing_identity`."""
    parts = versions.EFFICIENCY_PARTS
    settings = _settings("efficiency", parts) | {
        "arm": member.label,  # one arm under two names is timed twice: that is the A/A test
        "model": config.to_dict(),
        "sample": member.sample.model_dump(include={"steps", "sampler", "inner", "reveal", "block"}, exclude_none=True),
        "measure": measure.deciding(),
        "machine": machine,
        "plugins": list(plugins),
    }
    if objective := member.diffusion.model_dump(include={"objective", "block"}):  # empty for absorbing diffusion
        settings["diffusion"] = objective
    if asked := member.kernels.asked():
        settings["kernels"] = asked
    return Cell("efficiency", _arm_labels(member.label, config) | {"version": versions.label(parts)}, settings)


def _settings(kind: str, parts: Mapping[str, int]) -> dict[str, Any]:
    return {"kind": kind, "format": versions.FORMAT, "parts": parts}


def _data(member: Combination, tokens: TokenCorpus, length: int) -> dict[str, Any]:
    return {
        "corpus": member.corpus,
        "corpus_fingerprint": tokens.fingerprint,
        "tokenizer": given(member.tokenizer),
        "length": length,
    }


def _arm_labels(label: str, config: ArmConfig) -> dict[str, Any]:
    from architectures import DenoiserError, count_parameters, without_weights

    labels = {"arm": label, "pattern": config.pattern}
    try:
        network = without_weights(config)
    except DenoiserError:  # its cells hold the reason
        return labels | {"direction": "not known"}
    return labels | {"direction": network.direction, "parameters": count_parameters(network)}
