"""Presentation of a study in reports: which arms, in which order, under which labels and colours, and how numbers are
written. It is applied to the rows once, where they are read; nothing of it is stored with a cell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.errors import UserError, as_user_error
from bench.files import read_json
from bench.study.presentation import PresentationSettings
from bench.study.source import axis_name, axis_values, read_source
from bench.study.yaml import YAML_TROUBLE, KeyPath, Place, allowed_words, load_yaml, read_yaml, validate

STUDY_ARM, PLACE, COLOUR, AXES = "study_arm", "place", "colour", "axes"
"""Columns that `presented` adds: what the study calls an arm that has a label, the arm's place, its colour, and what
it is on the study's axes of settings, a line each: `sample.steps=8`."""
NOT_SHOWN = "not shown: "
"""Before the kind of rows that models hold and no table or figure shows."""
SETTING = ["kind", "corpus", "length", "sampler", "sample_steps", "device", "threads", "batch"]
NUMBER = re.compile(r"(?<![\w.])(\d+)(\.\d+)?(?![\w.]*\d)")


@dataclass(frozen=True)
class NumberStyle:
    """Decimal sign and sign between groups of three digits."""

    point: str = "."
    thousands: str = ""

    @classmethod
    def of(cls, example: str) -> NumberStyle:
        """The style of an example, such as `1.234,5`; a space becomes one at which no line ends."""
        thousands = "" if example[1] == "2" else example[1].replace(" ", "\N{NARROW NO-BREAK SPACE}")
        return cls(example[-2], thousands)

    def text(self, text: str) -> str:
        """A text with its numbers in this style; beside decimal commas `;` stands between the ends of an interval."""
        if self.point == ",":
            text = re.sub(r"(?<=\d), (?=[-−]?\d)", "; ", text)
        return text if self == NumberStyle() else NUMBER.sub(self._styled, text)

    def _styled(self, found: re.Match[str]) -> str:
        whole = re.sub(r"(?<=\d)(?=(\d{3})+$)", self.thousands, found[1])
        return whole + (self.point + found[2][1:] if found[2] else "")


@dataclass(frozen=True)
class Presentation:
    """How a study is shown.

    Parameters
    ----------
    arms: shown ones; empty: all.
    order: all arms that the study names, as they follow each other.
    labels, colours: pairs of an arm and what is shown of it.
    columns: quantities of the summary table; empty: its own.
    panels: quantities of which figures have panels; empty: all.
    lengths: tokens of the rows of the efficiency table, of those that were measured; empty: its own.
    caption: of the summary table and of a figure drawn by itself; empty: their own.
    numbers: style of the numbers in tables and figures.
    axes: pairs of an arm of the study and what it is on the axes of settings, as the column `AXES` has it.
    """

    arms: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    colours: tuple[tuple[str, str], ...] = ()
    columns: tuple[str, ...] = ()
    panels: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    caption: str = ""
    numbers: NumberStyle = NumberStyle()
    axes: tuple[tuple[str, str], ...] = ()


PLAIN = Presentation()
"""Everything as it was measured."""


def presentation_of(folder: Path) -> Presentation:
    """The presentation that a study's `study.json` records, as far as it can be applied."""
    plan = _plan(folder)
    study = plan.get("study")
    block = study.get("presentation", {}) if isinstance(study, dict) else {}
    try:
        return _applied(block, plan, Place(folder / "study.json"), ("presentation",))[0]
    except UserError:  # damaged; results are shown without it
        return _applied({}, plan, Place(None))[0]


def of_studies(folder: Path) -> Presentation:
    """The recorded presentation with every arm under the name that its study has for it, by which arms of several
    studies match."""
    return replace(presentation_of(folder), arms=(), labels=())


def read_presentation(
    folder: Path, file: Path | None = None, overrides: Sequence[str] = ()
) -> tuple[Presentation, list[str]]:
    """The presentation of a file (its `presentation:` block where it is a study), else the recorded one, with
    `KEY=VALUE` overrides; and a line for each entry that cannot be applied, such as an unknown arm.

    Raises UserError for a file that cannot be read, an unknown key or a value of another type.
    """
    place = Place(folder / "study.json")
    prefix: KeyPath = ("presentation",)
    plan = _plan(folder)
    study = plan.get("study") or {}
    if not isinstance(study, dict):
        raise place.error(("study",), "is no mapping of keys; run the study again, which writes it")
    content: Any = study.get("presentation") or {}
    if file is not None:
        content, lines = read_yaml(file)
        place, prefix = Place(file, lines), ()
        if "name" in content or "presentation" in content or "include" in content:
            content, place = read_source(file, (), (), ())
            content, prefix = content.get("presentation") or {}, ("presentation",)
    if not isinstance(content, dict):
        raise place.error(prefix, f"is no mapping of keys; allowed: {', '.join(PresentationSettings.model_fields)}")
    content = dict(content)
    for override in overrides:
        key = _override(content, override)
        place.origins |= {(*prefix, key): f"--set {' '.join(override.split())}"}
    return _applied(content, plan, place, prefix)


def _override(content: dict[str, Any], override: str) -> str:
    """Set one key, or one entry of a mapping, and return the key: `numbers=1.234,5`, `labels.smdim=SMDIM`; the name of
    an arm may have a `=` (`labels.smdim steps=8=SMDIM`)."""
    of_arm = override.strip().startswith(("labels.", "colours."))
    key, equals, text = override.rpartition("=") if of_arm else override.partition("=")
    key = key.strip()
    group, dot, name = key.partition(".")
    if not equals or not group:
        raise UserError(f"--set {override}: write KEY=VALUE, as in labels.smdim=SMDIM")
    if group not in PresentationSettings.model_fields:
        words = allowed_words(group, PresentationSettings.model_fields)
        raise UserError(f"--set {override}: unknown key; {words}")
    with as_user_error(*YAML_TROUBLE, words=f"--set {override}: no valid YAML: "):
        value = load_yaml(text) if text.strip()[:1] in "[{\"'" else text.strip()
    if not dot:
        content[group] = value
        return key
    if not isinstance(content.get(group, {}), dict):
        raise UserError(f"--set {override}: {group} has no entries of its own; write {group}=VALUE")
    content[group] = {**content.get(group, {}), name: value}
    return key


def _plan(folder: Path) -> dict[str, Any]:
    return read_json(folder / "study.json") or {}


def _applied(content: Any, plan: dict[str, Any], place: Place, prefix: KeyPath = ()) -> tuple[Presentation, list[str]]:
    settings = validate(PresentationSettings, content, place, prefix)
    arms = _planned_arms(plan)
    found, lines = settings.applied(arms, place, prefix)
    return Presentation(
        found.arms,
        tuple(dict.fromkeys([*found.order, *arms])),
        tuple(sorted(found.labels.items())),
        tuple(sorted(found.colours.items())),
        found.columns,
        found.panels,
        tuple(found.lengths),
        found.caption,
        NumberStyle.of(found.numbers),
        tuple(_on_axes(plan, arms)),
    ), lines


def _on_axes(plan: dict[str, Any], arms: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each of these arms that axes of settings have a word for in its name, and what it is on them."""
    axes = plan["study"].get("axes") if arms else None
    if not isinstance(axes, dict) or not all(isinstance(values, list) for values in axes.values()):
        return
    by_words = axis_values(axes)
    for arm in arms:
        words = max((one for one in by_words if one and arm.endswith(f" {one}")), key=len, default="")
        if words and by_words[words]:
            yield arm, "\n".join(f"{key}={value}" for key, value in by_words[words].items())


def _planned_arms(plan: dict[str, Any]) -> list[str]:
    """The arms of a study's cells in the order of its file."""
    study, cells = plan.get("study"), plan.get("cells")
    if not isinstance(study, dict) or not isinstance(cells, list):
        return []
    labels = [one.get("labels") for one in cells if isinstance(one, dict) and one.get("kind") != "reference"]
    arms = list(dict.fromkeys(str(one["arm"]) for one in labels if isinstance(one, dict) and "arm" in one))
    axes = study.get("axes")
    names = [axis_name(one) for one in axes.get("arm") or [] if one] if isinstance(axes, dict) else []

    def place(arm: str) -> int:
        named = [at for at, name in enumerate(names) if arm == name or arm.startswith(f"{name} ")]
        return max(named, key=lambda at: len(str(names[at])), default=len(names))

    return sorted(arms, key=place)


def read_axes(text: str) -> dict[str, str]:
    """What an arm is on the axes of settings, as the column `AXES` has it: {"sample.steps": "8"}."""
    return {key: value for key, _, value in (line.partition("=") for line in text.split("\n") if line)}


def is_presented(frame: pd.DataFrame) -> bool:
    """Whether `presented` made all rows of a frame; one may be joined with rows as they were stored."""
    return STUDY_ARM in frame.columns and bool(frame[STUDY_ARM].notna().all())


def presented(frame: pd.DataFrame, how: Presentation) -> pd.DataFrame:
    """The frame (changed in place) with arms under their labels and in their order, and with the rows of others set
    apart; one that was presented before is returned as it is."""
    if is_presented(frame):
        return frame
    of_arms = (frame["kind"] != "reference") & (frame["arm"] != "")
    known = [str(arm) for arm in frame.loc[of_arms, "arm"].unique()]
    order = [*(arm for arm in how.order if arm in known), *(arm for arm in known if arm not in how.order)]
    labels, colours, axes = dict(how.labels), dict(how.colours), dict(how.axes)
    stored = frame["arm"].where(of_arms, "")
    frame[STUDY_ARM] = stored.where(stored.isin(list(labels)), "")
    frame[PLACE] = stored.map({arm: place for place, arm in enumerate(order)}).fillna(-1).astype(int)
    frame[COLOUR] = [colours.get(arm, "") for arm in stored]
    frame[AXES] = [axes.get(arm, "") for arm in stored]
    if shown := set(how.arms) & set(known):
        frame = set_apart(frame, of_arms & ~stored.isin(list(shown)))
    frame["arm"] = frame["arm"].where(frame[STUDY_ARM] == "", stored.map(labels)).astype("str")
    if not (frame.loc[of_arms, PLACE].diff().fillna(0) >= 0).all():
        groups = frame.groupby(SETTING, sort=False, dropna=False).ngroup()  # settings keep their order
        frame = frame.iloc[np.lexsort((frame[PLACE], groups))].reset_index(drop=True)
    return frame


def set_apart(frame: pd.DataFrame, rows: pd.Series) -> pd.DataFrame:
    """The frame with these rows neither in tables nor in figures, though in the models behind verdicts."""
    hidden = rows & ~_hidden(frame)
    return frame.assign(kind=frame["kind"].where(~hidden, NOT_SHOWN + frame["kind"])) if hidden.any() else frame


def shown_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that tables and figures show."""
    hidden = _hidden(frame)
    return frame[~hidden] if hidden.any() else frame


def all_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the rows that were set apart among the others again."""
    return frame.assign(kind=frame["kind"].str.removeprefix(NOT_SHOWN)) if _hidden(frame).any() else frame


def _hidden(frame: pd.DataFrame) -> pd.Series:
    return frame["kind"].str.startswith(NOT_SHOWN)


def as_studied(frame: pd.DataFrame) -> pd.DataFrame:
    """All rows, with arms named as the study names them."""
    frame = all_rows(frame)
    if STUDY_ARM not in frame.columns or not (frame[STUDY_ARM] != "").any():
        return frame
    return frame.assign(arm=study_arms(frame))


def study_arms(frame: pd.DataFrame) -> pd.Series:
    """The arm of each row as the study calls it."""
    if STUDY_ARM not in frame.columns:
        return frame["arm"]
    return frame["arm"].where(frame[STUDY_ARM] == "", frame[STUDY_ARM])
