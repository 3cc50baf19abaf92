"""Configurations of a study's arms, made equal in size where the study asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.study.settings import given

if TYPE_CHECKING:
    from collections.abc import Sequence

    from architectures.catalog import ArmConfig
    from architectures.denoiser import Inputs
    from bench.data import TokenCorpus
    from bench.study.grid import Combination, Study


def matched_configs(
    study: Study, members: Sequence[Combination], vocab_size: int, notes: list[str]
) -> dict[str, ArmConfig]:
    """Backbone configuration of each label; a note on the size of each arm is added to `notes`.

    Raises UserError, naming file and key, for an arm that cannot be built or be given the size of the others.
    """
    from architectures.catalog import resolve

    configs: dict[str, ArmConfig] = {}
    for member in members:
        with study.place.naming("axes", "arm", arm=f"arm {member.label!r}", of=(ValueError, TypeError)):
            configs[member.label] = resolve(member.arm.arm, vocab_size=vocab_size, **given(member.model))
        _check_lengths(study, member, configs[member.label].stride)
    if study.content.match is None:
        return configs
    named = study.content.match.reference or study.content.baseline.arm
    labels = [member.label for member in members if named in (member.label, member.arm.name)]
    if not labels:
        raise study.place.error(("match",), f"reference {named!r} is not an arm; arms: {', '.join(configs)}")
    return _matched(study, configs, labels[0], notes)


def _check_lengths(study: Study, member: Combination, stride: int) -> None:
    measure = study.content.measure
    timed = measure.efficiency.lengths if measure.efficiency else ()
    places = [("baseline.length", one) for one in (member.length, *member.played_lengths) if measure.quality]
    for place, length in (*places, *(("measure.efficiency.lengths", one) for one in timed)):
        if length % stride:
            raise study.place.error(
                tuple(place.split(".")),
                f"arm {member.label!r}: length {length} is not a multiple of the stem's stride {stride}",
            )


def _matched(
    study: Study, configs: dict[str, ArmConfig], reference: str, notes: list[str]
) -> dict[str, ArmConfig]:
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
