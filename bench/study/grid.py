"""A study: one question, a baseline, the axes that vary, and the combinations of settings that follow."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from bench.data.settings import TokenizerSettings
from bench.errors import UserError, quoted
from bench.files import canonical_hash
from bench.study.content import PLAIN_AXES, SETTING_GROUPS, TUNED_KINDS, ArmChoice, Baseline, StudyFile
from bench.study.settings import (
    ArmModelSettings,
    DiffusionSettings,
    KernelSettings,
    ModelSettings,
    SampleSettings,
    given,
)
from bench.study.source import axis_name, axis_word, check_axes, check_number, excluded_values, is_combined, read_source
from bench.study.tuning import Point, is_number
from bench.study.yaml import Model, Place, allowed_words, validate
from bench.training.settings import BUDGETS, TrainSettings
from metrics.cost.quantities import BITS, VALIDATION_BITS
from metrics.quantities import known_quantity

STUDIES_FOLDER = Path(__file__).parents[1] / "studies"
LONG_LENGTHS = (2896, 4096, 5792, 8192, 11584, 16384)
"""Half octaves, as multiples of the usual strides."""


@dataclass(frozen=True)
class Combination:
    """The settings at one value of every axis."""

    label: str
    arm: ArmChoice
    corpus: str
    length: int
    model: ArmModelSettings
    tokenizer: TokenizerSettings
    diffusion: DiffusionSettings
    train: TrainSettings | None  # None where nothing is trained
    sample: SampleSettings
    kernels: KernelSettings

    @property
    def is_trained(self) -> bool:
        """Whether there is a training: not where the weights are given, and not of MIDI files."""
        return self.train is not None and self.arm.train != "none"

    @property
    def own_training(self) -> dict[str, Any]:
        """Dotted settings of the training that the arm states itself, with their values."""
        own = {} if isinstance(self.arm.train, str) else given(self.arm.train)
        return {f"train.{name}": value for name, value in own.items()}

    @property
    def played_lengths(self) -> tuple[int, ...]:
        """Lengths of the pieces that are generated and measured."""
        return self.arm.sample_lengths or (self.length,)


@dataclass(frozen=True)
class Cell:
    """One measurement. `settings` decide the result and the id; `labels` identify it in tables."""

    kind: Literal["quality", "efficiency", "reference", "tuning"]
    labels: dict[str, Any]
    settings: dict[str, Any] = field(hash=False)

    @cached_property
    def id(self) -> str:
        """`<kind>-<arm>-<hash of the settings>`; the hash alone decides identity."""
        word = "".join(c if c.isalnum() or c in "-_" else "-" for c in str(self.labels["arm"]))[:40]
        return f"{self.kind}-{word}-{canonical_hash(self.settings, 12)}"


class Study:
    """A validated study file; `bench.run.plan` makes cells of its combinations.

    other_machine: it runs on another machine, so kernels that this one lacks are no error.
    """

    def __init__(self, content: StudyFile, place: Place, *, other_machine: bool = False) -> None:
        self.content = content
        self.place = place
        self.other_machine = other_machine
        self.name = content.name

    def timing_more(self, *, long: bool = False, prune: bool = True) -> Study:
        """This study with half octaves up to 16384 tokens added to its timed lengths (`long`), and with every length
        tried even where a shorter one ran out of memory (`prune` false).

        Raises UserError where the study times nothing.
        """
        if self.content.measure.efficiency is None:
            raise UserError(f"{self.place.path}: --long and --no-prune are about timing; it has no measure.efficiency")
        lengths = self.content.measure.efficiency.lengths
        if long:
            lengths += tuple(length for length in LONG_LENGTHS if length > max(lengths))
        return self.timed(lengths=lengths, prune=prune and self.content.measure.efficiency.prune)

    def timed(self, *, other_machine: bool = False, **changes: Any) -> Study:
        """This study with other settings of its timing."""
        measure = self.content.measure
        assert measure.efficiency
        measure = measure.model_copy(update={"efficiency": measure.efficiency.model_copy(update=changes)})
        return Study(self.content.model_copy(update={"measure": measure}), self.place, other_machine=other_machine)

    def arms(self) -> list[ArmChoice]:
        """The arms of the arm axis, or the baseline's."""
        values = self.content.axes.get("arm", [self.content.baseline.arm])
        return [self._arm_choice(value, index) for index, value in enumerate(values)]

    def combinations(self) -> list[Combination]:
        """Every combination of axis values that is not excluded, in the order of the file."""
        axes = self.content.axes | {"arm": self.arms()}
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
        base, arm = self.content.baseline, chosen["arm"]
        varied = [word for key, value in chosen.items() if key not in PLAIN_AXES and (word := axis_word(key, value))]
        chosen = _spread(chosen)
        trained = self.content.measure.quality is not None and not arm.midi
        return Combination(
            label=" ".join([arm.name, *varied]),
            arm=arm,
            corpus=chosen.get("corpus", base.corpus) + (f"@{chosen['splits']}" if "splits" in chosen else ""),
            length=arm.length or chosen.get("length", base.length),
            model=ArmModelSettings(**given(self._settings(ModelSettings, "model", chosen)) | given(arm.model)),
            tokenizer=self._settings(TokenizerSettings, "tokenizer", chosen),
            diffusion=self._settings(DiffusionSettings, "diffusion", chosen),
            train=self._train(arm, chosen) if trained else None,
            sample=self._settings(SampleSettings, "sample", chosen),
            kernels=self._settings(KernelSettings, "kernels", chosen).model_copy(update=arm.kernels.asked()),
        )

    def _settings(self, kind: type[Model], group: str, chosen: Mapping[str, Any]) -> Model:
        """The baseline's settings of a group, with the values chosen on axes in place of its own."""
        settings = getattr(self.content.baseline, group)
        varied = _of_group(group, chosen)
        if isinstance(settings, kind) and not varied:
            return settings
        return validate(kind, given(settings) | varied, self.place, ("baseline", group), varied)

    def at(self, member: Combination, point: Point) -> Combination:
        """`member` with these values in place of its own. Raises UserError for one that a setting does not allow."""
        changes: dict[str, Any] = {}
        for group in TUNED_KINDS:
            if values := _of_group(group, point):
                place, before = ("tune", group), getattr(member, group)
                changes[group] = validate(type(before), given(before) | values, self.place, place)
        return replace(member, **changes)

    def grid_of(self, member: Combination) -> dict[str, list[Any]]:
        """Values of each tuned setting that this member tries, as the settings read them: what an arm states itself is
        its own choice, and numbers are sorted."""
        tune = self.content.tune
        assert tune
        grid = {}
        for name, values in tune.grid.items():
            group, _, key = name.partition(".")
            own = getattr(member.arm, group, None)
            if own is not None and not isinstance(own, str) and key in given(own):
                values = [given(own)[key]]
            read = [self.point_read(member, {name: value})[name] for value in values]
            if len({canonical_hash(value) for value in read}) != len(read):
                raise self.place.error(("tune", name), "lists a value twice")
            grid[name] = sorted(read) if all(map(is_number, read)) else read
        return grid

    def point_read(self, member: Combination, point: Point) -> Point:
        """The point with its values as the settings of `member` read them. Raises UserError for one not allowed."""
        found = self.at(member, point)
        return {name: getattr(getattr(found, (parts := name.partition("."))[0]), parts[2]) for name in point}

    def check_tune(self) -> None:
        """Raise UserError for a setting that cannot be tuned, or a value that it does not allow."""
        tune = self.content.tune
        if tune is None:
            return
        for name in tune.grid:
            group, _, key = name.partition(".")
            if group not in TUNED_KINDS or key not in TUNED_KINDS[group].model_fields:
                allowed = [f"{group}.{key}" for group, kind in TUNED_KINDS.items() for key in kind.model_fields]
                raise self.place.error(
                    ("tune", name), f"is not a setting that can be tuned; {allowed_words(name, allowed)}"
                )
            if group == "train" and key in BUDGETS:
                raise self.place.error(
                    ("tune", name), "is the budget, of which a sweep takes a share; it can be an axis"
                )
            if name in self._varied:
                raise self.place.error(("tune", name), "varies on an axis already")
            if group == "model" and self.content.match and key != "dropout":
                raise self.place.error(
                    ("tune", name), "changes the size, which `match` makes equal; leave out one of them"
                )
        for member in self.combinations():
            if member.is_trained:
                self.grid_of(member)

    @property
    def _varied(self) -> set[str]:
        """Settings that vary on an axis, those of named choices among them."""
        axes = self.content.axes
        return {name for key, values in axes.items() for value in values for name in _spread({key: value})}

    def _train(self, arm: ArmChoice, chosen: Mapping[str, Any]) -> TrainSettings:
        """The settings of the trainer with the arm's own over them; its budget replaces theirs."""
        own = {"steps": 1, "ema_steps": 1} if isinstance(arm.train, str) else given(arm.train)  # none: not spent
        if not own:
            return self._settings(TrainSettings, "train", chosen)
        varied = _of_group("train", chosen)
        shared = given(self.content.baseline.train) | varied
        if any(name in own for name in BUDGETS):
            shared = {name: value for name, value in shared.items() if name not in BUDGETS}
        return validate(TrainSettings, shared | own, self.place, ("axes", "arm", arm.name, "train"))

    def _arm_choice(self, value: Any, index: int) -> ArmChoice:
        named = {"name": value, "arm": value} if isinstance(value, str) else value
        return validate(ArmChoice, named, self.place, ("axes", "arm", index))


def _spread(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Values of axes with the settings of named choices in place of these."""
    found: dict[str, Any] = {}
    for key, value in chosen.items():
        own = {name: one for name, one in value.items() if name != "name"} if is_combined(key, value) else {key: value}
        found |= own
    return found


def _of_group(group: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The dotted settings of a group, without its name."""
    return {key.removeprefix(f"{group}."): value for key, value in values.items() if key.startswith(f"{group}.")}


def load_study(name_or_path: str | Path, overrides: Sequence[str] = (), *, many: bool = False) -> Study:
    """Read a study by the name of a shipped one or by path, with `KEY=VALUE` overrides.

    Raises UserError with file, line and key, or with the override; also for more than 100,000 cells,
    unless `many` is set.
    """
    path = find_study(str(name_or_path))
    value, place = read_source(path, overrides, StudyFile.model_fields, Baseline.model_fields)
    content = _with_found_weights(validate(StudyFile, value, place), path)
    settings = [*PLAIN_AXES, *(f"{group}.<setting>" for group in SETTING_GROUPS)]
    check_axes(content.axes, content.exclude, settings, place)
    _check_matters(content.matters, place)
    if not many:
        check_number(content.axes, content.seeds, place)
    study = Study(content, place)
    combinations = study.combinations()
    _check_labels(combinations, place)
    labels = [one.label for one in combinations]
    _, refused = content.presentation.applied(labels, place, ("presentation",))
    if refused:
        raise UserError(refused[0])
    study.check_tune()
    return study


def _with_found_weights(content: StudyFile, path: Path) -> StudyFile:
    """The content with `checkpoint` of each arm as a whole path; a file's own is read from the folder of the file."""
    arms = content.axes.get("arm")
    if arms is None:
        return content
    found = [
        one | {"checkpoint": str((path.parent / one["checkpoint"]).resolve())}
        if isinstance(one, dict) and isinstance(one.get("checkpoint"), str)
        else one
        for one in arms
    ]
    return content.model_copy(update={"axes": content.axes | {"arm": found}})


def _check_labels(combinations: Sequence[Combination], place: Place) -> None:
    """Raise UserError for two combinations that differ and have one name: tables would take them for one arm."""
    known: dict[object, Combination] = {}
    for one in combinations:
        if known.setdefault((one.label, one.corpus, one.length), one) != one:
            raise place.error(
                ("axes",),
                f"two arms that differ and are both called {quoted(one.label)}; allowed: a name of its own for each",
            )


def _check_matters(stated: Mapping[str, Any], place: Place) -> None:
    """Raise UserError for a quantity that is not known, one that no verdict is of, or a margin that is none."""
    for name, given_margin in stated.items():
        with place.naming("matters", name):
            quantity = known_quantity(name)
            if quantity.name == VALIDATION_BITS:
                raise ValueError(f"choices are made on it and no verdict is of it; allowed: {BITS}")
            quantity.margin_of(given_margin)


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
        f"no study file {quoted(name_or_path)}; give a path or a shipped study: {allowed_words(name_or_path, names)}"
    )
