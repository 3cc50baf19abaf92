"""A study: one question, a baseline, the axes that vary, and the cells that follow from them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from bench.errors import UserError
from bench.files import canonical_hash
from bench.study.settings import LONG_LENGTHS, PLAIN_AXES, SETTING_GROUPS, ArmChoice, Baseline, StudyFile
from bench.study.source import axis_name, check_axes, check_number, excluded_values, read_source
from bench.study.yaml import Place, allowed_words, validate

STUDIES_FOLDER = Path(__file__).parents[1] / "studies"


@dataclass(frozen=True)
class Combination:
    """One choice on every axis: the settings that hold there."""

    label: str
    arm: ArmChoice
    corpus: str
    length: int
    groups: Mapping[str, dict[str, Any]]  # model, tokenizer, diffusion, train, sample, kernels

    @property
    def played_lengths(self) -> tuple[int, ...]:
        """Lengths of the pieces that are generated and measured."""
        return self.arm.sample_lengths or (self.length,)

    def group_key(self) -> tuple[str, str]:
        """What decides the vocabulary: corpus and tokenizer."""
        return self.corpus, canonical_hash(self.groups["tokenizer"])


@dataclass(frozen=True)
class Cell:
    """One measurement to make. `settings` holds all that decides the result, `labels` what tables call it."""

    kind: Literal["quality", "efficiency", "reference"]
    labels: dict[str, Any]
    settings: dict[str, Any] = field(hash=False)

    @cached_property
    def id(self) -> str:
        """`<kind>-<arm>-<hash of the settings>`; the hash alone decides identity."""
        word = "".join(c if c.isalnum() or c in "-_" else "-" for c in str(self.labels["arm"]))[:40]
        return f"{self.kind}-{word}-{canonical_hash(self.settings, 12)}"


class Study:
    """A validated study file. `combinations()` are the points of its grid; `bench.run.plan` turns them into cells.

    `elsewhere`: to be run on another machine, so whether this one has the kernels that it asks for does not matter.
    """

    def __init__(self, content: StudyFile, place: Place, *, elsewhere: bool = False) -> None:
        self.content = content
        self.place = place
        self.elsewhere = elsewhere
        self.name = content.name

    def timing_more(self, *, long: bool = False, prune: bool = True) -> Study:
        """This study with half octaves up to 16384 tokens added to its timed lengths (`long`), and with every length
        tried even where a shorter one ran out of memory (`prune` false).

        Raises UserError where the study times nothing.
        """
        efficiency = self.content.measure.efficiency
        if efficiency is None:
            raise UserError(f"{self.place.path}: --long and --no-prune are about timing; it has no measure.efficiency")
        lengths = efficiency.lengths
        if long:
            lengths += tuple(length for length in LONG_LENGTHS if length > max(lengths))
        changed = efficiency.model_copy(update={"lengths": lengths, "prune": prune})
        measure = self.content.measure.model_copy(update={"efficiency": changed})
        return Study(self.content.model_copy(update={"measure": measure}), self.place)

    def combinations(self) -> list[Combination]:
        """Every combination of axis values that is not excluded, in the order of the file."""
        axes = self.content.axes
        points = []
        for values in itertools.product(*axes.values()):
            chosen = dict(zip(axes, values, strict=True))
            if not any(
                all(axis_name(chosen.get(key)) in excluded_values(value) for key, value in rule.items())
                for rule in self.content.exclude
            ):
                points.append(self._combination(chosen))
        if not points:
            raise self.place.error(("exclude",), "leaves no combination of axis values")
        return points

    def _combination(self, chosen: dict[str, Any]) -> Combination:
        base = self.content.baseline
        groups: dict[str, dict[str, Any]] = {}
        for group in SETTING_GROUPS:
            value = getattr(base, group)
            groups[group] = dict(value) if isinstance(value, dict) else value.model_dump()
        extra = []
        for key, value in chosen.items():
            if key not in PLAIN_AXES:
                group, _, name = key.partition(".")
                groups[group][name] = value
                extra.append(f"{name}={value}")
        arm = self._arm_choice(chosen.get("arm", base.arm))
        groups["model"] |= arm.model
        groups["kernels"] |= arm.kernels.asked()
        return Combination(
            label=" ".join([arm.name, *extra]),
            arm=arm,
            corpus=chosen.get("corpus", base.corpus),
            length=arm.length or chosen.get("length", base.length),
            groups=groups,
        )

    def _arm_choice(self, value: Any) -> ArmChoice:
        if isinstance(value, str):
            return ArmChoice(name=value, arm=value)
        return validate(ArmChoice, value, self.place, ("axes", "arm"))


def load_study(name_or_path: str | Path, overrides: Sequence[str] = (), *, many: bool = False) -> Study:
    """Read a study by the name of a shipped one or by path, with `KEY=VALUE` overrides.

    Raises UserError with file, line and key, or with the override; also for a number of cells that can only be a slip,
    unless `many` is set.
    """
    path = find_study(str(name_or_path))
    value, place = read_source(path, overrides, StudyFile.model_fields, Baseline.model_fields)
    content = validate(StudyFile, value, place)
    settings = [*PLAIN_AXES, *(f"{group}.<setting>" for group in SETTING_GROUPS)]
    check_axes(content.axes, content.exclude, settings, place)
    if not many:
        check_number(content.axes, content.seeds, place)
    study = Study(content, place)
    study.combinations()
    return study


def find_study(name_or_path: str) -> Path:
    """Path of a study file: an existing path, or `NAME` for the shipped `bench/studies/NAME.yaml`."""
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = STUDIES_FOLDER / f"{name_or_path}.yaml"
    if shipped.is_file():
        return shipped
    names = [p.relative_to(STUDIES_FOLDER).with_suffix("").as_posix() for p in STUDIES_FOLDER.glob("*.yaml")]
    raise UserError(
        f"no study file {name_or_path!r}; give a path or a shipped study: {allowed_words(name_or_path, names)}"
    )
