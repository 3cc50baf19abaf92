"""From a study to its cells: sizes matched, data fingerprinted, machine named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from bench import versions
from bench.errors import UserError, first_line
from bench.study.grid import Cell, Combination, Study
from bench.study.settings import DiffusionSettings, KernelSettings, SampleSettings
from bench.study.yaml import allowed_words, validate

if TYPE_CHECKING:
    from architectures.backbone import BackboneConfig
    from bench.data import TokenCorpus

Say = Callable[[str], None]
SKIPPED_NAMED = 5  # files named one by one in a note; the rest is counted


@dataclass(frozen=True)
class Plan:
    """The cells of a study in the order in which they run, and what a reader must know of how they were made."""

    study: Study
    cells: list[Cell]
    notes: list[str]


def make_plan(study: Study, say: Say = lambda _: None) -> Plan:
    """Load the data, resolve and match the arms, and list the cells. Raises UserError naming file and key."""
    _load_plugins(study)
    combinations = study.combinations()
    groups: dict[tuple[str, str], list[Combination]] = {}
    for combination in combinations:
        groups.setdefault(combination.group_key(), []).append(combination)
    cells: dict[str, Cell] = {}
    notes: list[str] = []
    for members in groups.values():
        tokens = _load_tokens(study, members[0], say)
        notes += _skipped_notes(members[0].corpus, tokens)
        ours = [member for member in members if not member.arm.midi]
        configs = _matched_configs(study, ours, tokens.vocab_size, notes) if ours else {}
        found = _cells_of_group(study, ours, configs, tokens)
        found += [
            cell for member in members if member.arm.midi for cell in _outside_cells(study, member, tokens, notes)
        ]
        for cell in found:
            cells.setdefault(cell.id, cell)
    notes += _broken_kernels(study)
    order = {"efficiency": 0, "reference": 1, "quality": 2}
    return Plan(study, sorted(cells.values(), key=lambda cell: order[cell.kind]), notes)


def _load_plugins(study: Study) -> None:
    from bench.plugins import load_plugins

    for index, module in enumerate(study.content.plugins):
        try:
            load_plugins([module])
        except UserError as error:
            raise study.place.error(("plugins", index), str(error)) from error


def _load_tokens(study: Study, member: Combination, say: Say) -> TokenCorpus:
    from bench.measure.quality.music import load_tokens

    say(f"reading corpus {member.corpus}")
    try:
        return load_tokens(member.corpus, member.groups["tokenizer"])
    except ValueError as error:
        raise study.place.error(("baseline", "tokenizer"), first_line(error)) from error


def _skipped_notes(corpus: str, tokens: TokenCorpus) -> list[str]:
    """One line that counts and names the files of a corpus that could not be used."""
    if not tokens.skipped:
        return []
    named = [f"{one.path.name} ({one.reason})" for one in tokens.skipped[:SKIPPED_NAMED]]
    more = len(tokens.skipped) - len(named)
    others = f" and {more} more" if more else ""
    return [f"corpus {corpus}: {len(tokens.skipped)} files skipped: {'; '.join(named)}{others}"]


def _matched_configs(
    study: Study, members: list[Combination], vocab_size: int, notes: list[str]
) -> dict[str, BackboneConfig]:
    """Backbone configuration of each label, made equal in size where the study asks for it."""
    from architectures.catalog import SIZE_KEYS, resolve
    from architectures.matching import match

    configs: dict[str, BackboneConfig] = {}
    for member in members:
        known = (*SIZE_KEYS, "depth", "layers")
        for key in member.groups["model"]:
            if key not in known:
                raise study.place.error(("baseline", "model", key), f"unknown key; {allowed_words(key, known)}")
        try:
            configs[member.label] = resolve(member.arm.arm, vocab_size=vocab_size, **member.groups["model"])
        except (ValueError, TypeError) as error:
            raise study.place.error(("axes", "arm"), f"arm {member.label!r}: {first_line(error)}") from error
        _check_lengths(study, member, configs[member.label])
    wanted = study.content.match
    if wanted is None:
        return configs
    named = wanted.reference or study.content.baseline.arm
    labels = [member.label for member in members if named in (member.label, member.arm.name)]
    if not labels:
        raise study.place.error(("match",), f"reference {named!r} is not an arm; arms: {', '.join(configs)}")
    reference = labels[0]
    try:
        matched = match(configs, by=wanted.by, reference=reference, length=wanted.length, tolerance=wanted.tolerance)
    except ValueError as error:
        raise study.place.error(("match",), first_line(error)) from error
    for label, arm in matched.items():
        note = f"{label}: {arm.parameters:,} parameters"
        if label != reference:
            note += f", {100 * arm.mismatch:+.2f} % in {wanted.by} against {reference}"
        if arm.changed:
            note += f"; {arm.changed}"
        if note not in notes:
            notes.append(note)
    return {label: arm.config for label, arm in matched.items()}


def _check_lengths(study: Study, member: Combination, config: BackboneConfig) -> None:
    measure = study.content.measure
    timed = measure.efficiency.lengths if measure.efficiency else ()
    places = [("baseline.length", one) for one in (member.length, *member.played_lengths) if measure.quality]
    for place, length in (*places, *(("measure.efficiency.lengths", one) for one in timed)):
        if length % config.stride:
            raise study.place.error(
                tuple(place.split(".")),
                f"arm {member.label!r}: length {length} is not a multiple of the stem's stride {config.stride}",
            )


def _cells_of_group(
    study: Study, members: list[Combination], configs: dict[str, BackboneConfig], tokens: TokenCorpus
) -> list[Cell]:
    measure = study.content.measure
    cells: list[Cell] = []
    for member in members:
        labels = _arm_labels(member.label, configs[member.label])
        config = configs[member.label]
        if measure.efficiency:
            cells.append(_efficiency_cell(study, labels, config, member))
        if measure.quality:
            cells += [_reference_cell(member, tokens, length) for length in member.played_lengths]
            first = _quality_cell(study, labels, config, member, tokens, study.content.seeds[0])
            cells += [_with_seed(first, seed) for seed in study.content.seeds]
    return cells


def _arm_labels(label: str, config: BackboneConfig) -> dict[str, Any]:
    direction, parameters = _direction_and_parameters(config)
    return {"arm": label, "pattern": config.pattern, "direction": direction, "parameters": parameters}


@cache
def _direction_and_parameters(config: BackboneConfig) -> tuple[str, int]:
    from architectures import Backbone, count_parameters
    from architectures.weightless import weightless

    with weightless():
        backbone = Backbone(config)
    return backbone.direction, count_parameters(backbone)


def _data_settings(member: Combination, tokens: TokenCorpus, length: int) -> dict[str, Any]:
    return {
        "corpus": member.corpus,
        "corpus_fingerprint": tokens.fingerprint,
        "tokenizer": member.groups["tokenizer"],
        "length": length,
    }


def _reference_cell(member: Combination, tokens: TokenCorpus, length: int) -> Cell:
    settings = {
        "kind": "reference",
        "format": versions.FORMAT,
        "parts": versions.REFERENCE_PARTS,
        "pieces": member.groups["sample"]["pieces"],
    } | _data_settings(member, tokens, length)
    labels = {"arm": "reference", "corpus": member.corpus, "length": length}
    return Cell("reference", labels | {"version": versions.label(versions.REFERENCE_PARTS)}, settings)


def _quality_cell(
    study: Study, labels: dict[str, Any], config: BackboneConfig, member: Combination, tokens: TokenCorpus, seed: int
) -> Cell:
    from bench.measure.quality.music import build_constraint, build_diffusion
    from bench.training import TrainSettings

    train = validate(TrainSettings, member.groups["train"], study.place, ("baseline", "train"))
    diffusion = validate(DiffusionSettings, member.groups["diffusion"], study.place, ("baseline", "diffusion"))
    sample = validate(SampleSettings, member.groups["sample"], study.place, ("baseline", "sample"))
    try:
        process = build_diffusion(tokens, diffusion.deciding())
    except ValueError as error:
        raise study.place.error(("baseline", "diffusion"), first_line(error)) from error
    try:
        process.check_sampler(sample.sampler, sample.options())
        build_constraint(tokens, sample.constraints)
    except ValueError as error:
        raise study.place.error(("baseline", "sample"), f"{member.label!r}: {first_line(error)}") from error
    assert study.content.measure.quality
    settings = {
        "kind": "quality",
        "format": versions.FORMAT,
        "parts": versions.QUALITY_PARTS,
        "model": config.to_dict(),
        "seed": seed,
        "train": train.model_dump(mode="json"),
        "diffusion": diffusion.deciding(),
        "sample": sample.deciding(),
        "plugins": list(study.content.plugins),
    } | _data_settings(member, tokens, member.length)
    if (asked := _kernels_asked(study, member))["kernels"]:
        _check_kernels(study, member, train.device, asked["kernels"])
        settings |= asked
    if member.arm.sample_lengths:
        settings["sample_lengths"] = list(member.arm.sample_lengths)
    run = {"threads": study.content.measure.quality.threads}
    extra = {
        "seed": seed,
        "length": member.length,
        "corpus": member.corpus,
        "batch": member.groups["sample"]["pieces"],
        "version": versions.label(versions.QUALITY_PARTS),
    }
    return Cell("quality", labels | extra | run, settings)


def _outside_cells(study: Study, member: Combination, tokens: TokenCorpus, notes: list[str]) -> list[Cell]:
    """The cells of an arm that is a folder of MIDI files: what its music is measured against, and its music."""
    from bench.measure.quality.outside import outside_tokens

    measure = study.content.measure
    if not measure.quality:
        raise study.place.error(
            ("axes", "arm"), f"arm {member.label!r}: MIDI files have no cost to measure; add measure.quality"
        )
    assert member.arm.midi
    try:
        other = outside_tokens(member.arm.midi, member.groups["tokenizer"])
    except (ValueError, UserError) as error:
        raise study.place.error(("axes", "arm"), f"arm {member.label!r}: {first_line(error)}") from error
    notes += [note for note in _skipped_notes(f"of arm {member.label}", other) if note not in notes]
    settings = {
        "kind": "quality",
        "format": versions.FORMAT,
        "parts": {name: versions.QUALITY_PARTS[name] for name in ("data", "metrics")},
        "midi": member.arm.midi,
        "midi_fingerprint": other.fingerprint,
        "pieces": member.groups["sample"]["pieces"],
        "cost_lengths": list(measure.efficiency.lengths) if measure.efficiency else [],
    } | _data_settings(member, tokens, member.length)
    labels = {
        "arm": member.label,
        "pattern": "",
        "direction": "another system",
        "corpus": member.corpus,
        "length": member.length,
        "threads": measure.quality.threads,
        "version": versions.label(settings["parts"]),
    }
    return [_reference_cell(member, tokens, member.length), Cell("quality", labels, settings)]


def _with_seed(cell: Cell, seed: int) -> Cell:
    return Cell(cell.kind, cell.labels | {"seed": seed}, cell.settings | {"seed": seed})


def _kernels_asked(study: Study, member: Combination) -> dict[str, dict[str, str]]:
    """{"kernels": operator -> the kernel that the study asks for}."""
    wanted = validate(KernelSettings, member.groups["kernels"], study.place, ("baseline", "kernels"))
    return {"kernels": wanted.asked()}


def _check_kernels(study: Study, member: Combination, device: str, asked: dict[str, str]) -> None:
    """Raise UserError where a kernel that is asked for cannot run on the device that the cell trains on."""
    from architectures.kernels import chosen_kernels
    from metrics.cost.device import resolve_device

    if study.elsewhere:
        return
    try:
        chosen_kernels(resolve_device(device), asked)
    except ValueError as error:
        raise study.place.error(("baseline", "kernels"), f"arm {member.label!r}: {first_line(error)}") from error


def _broken_kernels(study: Study) -> list[str]:
    """A line for each package that is installed for the device that is timed, and does not work."""
    from architectures.kernels import broken_kernels
    from metrics.cost.device import resolve_device

    wanted = study.content.measure.efficiency
    return broken_kernels(resolve_device(wanted.device)) if wanted else []


def _efficiency_cell(study: Study, labels: dict[str, Any], config: BackboneConfig, member: Combination) -> Cell:
    from bench.run.machine import timing_identity

    wanted = study.content.measure.efficiency
    assert wanted
    try:
        timing_identity(wanted.device, wanted.threads)
    except UserError as error:
        raise study.place.error(("measure", "efficiency", "device"), first_line(error)) from error
    asked = _kernels_asked(study, member)
    try:
        here = {} if study.elsewhere else asked["kernels"]
        identity = timing_identity(wanted.device, wanted.threads, here, wanted.precision)
    except UserError as error:
        raise study.place.error(("baseline", "kernels"), f"arm {member.label!r}: {first_line(error)}") from error
    settings = {
        "kind": "efficiency",
        "format": versions.FORMAT,
        "parts": versions.EFFICIENCY_PARTS,
        "arm": labels["arm"],  # one arm under two names is timed twice: that is the A/A test
        "model": config.to_dict(),
        "sample": {key: member.groups["sample"][key] for key in ("steps", "sampler")},
        "measure": wanted.deciding(),
        "machine": identity,
        "plugins": list(study.content.plugins),
    } | (asked if asked["kernels"] else {})
    return Cell("efficiency", labels | {"version": versions.label(versions.EFFICIENCY_PARTS)}, settings)
