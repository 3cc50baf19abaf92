"""Configurations of a study's arms, made equal in size where the study asks for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.errors import first_line, quoted
from bench.study.settings import ModelSettings, given
from bench.study.yaml import validate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from architectures.catalog import ArmConfig
    from bench.data import TokenCorpus
    from bench.study.grid import Combination, Study


def matched_configs(
    study: Study, members: Sequence[Combination], tokens: TokenCorpus, notes: list[str]
) -> dict[str, ArmConfig]:
    """Configuration of each label; a note on the size of each arm is added to `notes`.

    A registered denoiser that cannot be built keeps its size, with a note: its cells hold the reason. Raises UserError,
    naming file and key, for an arm whose settings are wrong or that cannot be given the size of the others.
    """
    configs: dict[str, ArmConfig] = {}
    for member in members:
        with study.place.naming("axes", "arm", arm=f"arm {quoted(member.label)}", of=(ValueError, TypeError)):
            longest = max(length for one in members if one.label == member.label for _, length in _lengths(study, one))
            configs[member.label] = arm_config(member, tokens, longest, sizes_of(member, notes), notes)
    broken = {label: problem for label, config in configs.items() if (problem := build_problem(config))}
    notes += [note for label, problem in broken.items() if (note := f"{label}: {problem}") not in notes]
    for member in members:
        if member.label not in broken:
            _check_lengths(study, member, configs[member.label])
    if study.content.match is None:
        return configs
    named = study.content.match.reference or study.content.baseline.arm
    labels = [member.label for member in members if named in (member.label, member.arm.name)]
    if not labels:
        raise study.place.error(("match",), f"reference {quoted(named)} is not an arm; arms: {', '.join(configs)}")
    if labels[0] in broken:
        raise study.place.error(("match",), f"reference {broken[labels[0]]}")
    loaded = {member.label for member in members if member.arm.checkpoint} - {labels[0]}
    notes += [f"{label}: not matched, since its weights are given" for label in sorted(loaded)]
    sized = {label: config for label, config in configs.items() if label not in broken and label not in loaded}
    return configs | _matched(study, sized, labels[0], notes)


def arm_config(
    member: Combination, tokens: TokenCorpus, length: int, sizes: Mapping[str, Any], notes: list[str]
) -> ArmConfig:
    """Configuration of an arm that is to run on up to `length` tokens; where it is trained by autoregression that of
    the causal twin of its pattern, with a note. Raises ValueError or TypeError where there is none."""
    from architectures.building import count_parameters
    from architectures.catalog import resolve, without_weights
    from architectures.config import BackboneConfig
    from architectures.denoiser import Inputs
    from architectures.family import causal_twin

    inputs = Inputs(length, tokens.mask_id, tokens.pad_id)
    config = resolve(member.arm.arm, tokens.vocab_size, inputs=inputs, **sizes)
    if member.diffusion.objective != "autoregressive" or not isinstance(config, BackboneConfig):
        return config
    twin = replace(config, pattern=str(causal_twin(config.pattern)))
    if twin == config:
        return config
    before, after = (count_parameters(without_weights(one)) for one in (config, twin))
    if before != after:
        raise ValueError(
            f"objective autoregressive: the causal twin {twin.pattern} has {after:,} parameters, {config.pattern} has "
            f"{before:,}; allowed: an arm of equal ones"
        )
    if (note := f"{member.label}: {twin.pattern}, the causal twin of {config.pattern}") not in notes:
        notes.append(note)
    return twin


def check_sizes(study: Study) -> None:
    """Raise UserError for a size of an arm that a backbone does not have; a denoiser's own are checked with it."""
    from architectures.denoiser import registered_denoisers

    for index, choice in enumerate(study.arms()):
        if choice.arm not in registered_denoisers():
            validate(ModelSettings, given(choice.model), study.place, ("axes", "arm", index, "model"))


def sizes_of(member: Combination, notes: list[str]) -> dict[str, Any]:
    """The sizes given to an arm. A registered denoiser takes its own, and those of the study that it has by the same
    name; the others are of the backbone, and a note says so. One with given weights takes its own alone."""
    from architectures.denoiser import registered_denoisers

    found, sizes, own = registered_denoisers().get(member.arm.arm), given(member.model), given(member.arm.model)
    if found is None:
        return sizes
    if member.arm.checkpoint:
        return own
    left = [key for key in sizes if key not in own and key not in found.sizes]
    if left:
        note = f"{member.label}: {', '.join(f'model.{key}' for key in left)} of the backbone; not for {found.name}"
        notes += [] if note in notes else [note]
    return {key: value for key, value in sizes.items() if key not in left}


def build_problem(config: ArmConfig) -> str:
    """Why a registered denoiser cannot be built, in one line; "" where it can."""
    from architectures.catalog import without_weights
    from architectures.denoiser import DenoiserError

    try:
        without_weights(config)
    except DenoiserError as error:
        return first_line(error)
    return ""


def _lengths(study: Study, member: Combination) -> list[tuple[str, int]]:
    """The lengths at which an arm runs, each with the key that names it."""
    measure = study.content.measure
    timed = measure.efficiency.lengths if measure.efficiency else ()
    played = [member.length, *member.played_lengths] if measure.quality or not timed else []
    return [("baseline.length", one) for one in played] + [("measure.efficiency.lengths", one) for one in timed]


def _check_lengths(study: Study, member: Combination, config: ArmConfig) -> None:
    """Raise UserError for a length that the stem does not take, or that a denoiser's own `check_length` refuses."""
    from architectures.catalog import without_weights
    from architectures.denoiser import DenoiserConfig

    for place, length in _lengths(study, member):
        key = tuple(place.split("."))
        if isinstance(config, DenoiserConfig):
            with study.place.naming(*key, arm=f"arm {quoted(member.label)}"):
                without_weights(config).check_length(length)
        elif length % config.stride:
            raise study.place.error(
                key,
                f"arm {quoted(member.label)}: length {length} is not a multiple of the stem's stride {config.stride}",
            )


def _matched(study: Study, configs: dict[str, ArmConfig], reference: str, notes: list[str]) -> dict[str, ArmConfig]:
    from architectures.matching import match

    wanted = study.content.match
    assert wanted
    with study.place.naming("match"):
        matched = match(configs, by=wanted.by, reference=reference, length=wanted.length, tolerance=wanted.tolerance)
    for label, arm in matched.items():
        note = f"{label}: {arm.parameters:,} parameters"
        if label != reference:
            note += f", {100 * arm.mismatch:+.2f} % in {wanted.by} against {reference}"
        if arm.changed:
            note += f"; {arm.changed}"
        if note not in notes:
            notes.append(note)
    return {label: arm.config for label, arm in matched.items()}
