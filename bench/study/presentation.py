"""Settings of a presentation: how reports show a study, in its `presentation:` block or in a file of their own. They
decide no cell and no result."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from bench.errors import quoted
from bench.study.settings import Settings, VisibleName
from bench.study.yaml import KeyPath, Place, allowed_words
from metrics.quantities import known_quantity

NumberExample = Annotated[
    Literal["1234.5", "1,234.5", "1234,5", "1.234,5", "1 234,5", "1 234.5"],
    BeforeValidator(lambda value: str(value) if isinstance(value, float) else value),  # 1234.5 is a number in YAML
]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[
    tuple[str, ...], Field(strict=False), BeforeValidator(_listed, json_schema_input_type=list[str] | str)
]


class PresentationSettings(Settings):
    """What reports show of a study and how; arms are named as the study names them."""

    arms: Names = Field((), description="arms that are shown; empty: all. Verdicts stay those of all arms of the study")
    order: Names = Field((), description="arms that come first, in this order; the others follow as the study has them")
    labels: dict[str, VisibleName] = Field(default_factory=dict, description="arm -> its name in tables and figures")
    colours: dict[str, str] = Field(default_factory=dict, description="arm -> its colour: #rrggbb, or a name like teal")
    columns: Names = Field((), description="quantities that the summary table shows, in this order; empty: its own")
    panels: Names = Field((), description="quantities of which figures have panels; empty: all that they have")
    lengths: list[Annotated[int, Field(gt=0)]] = Field(
        default_factory=list,
        description="tokens of the rows of the efficiency table; empty: up to five of those measured",
    )
    caption: str = Field("", description="caption of the summary table, and the one that `figure` prints")
    numbers: NumberExample = Field("1234.5", description="decimal sign and groups of digits, as in this number")

    def applied(
        self, arms: Sequence[str], place: Place, prefix: KeyPath = ()
    ) -> tuple[PresentationSettings, list[str]]:
        """These settings with every arm in full, quantities by their full names and colours as `#rrggbb`, without what
        cannot be applied, and one line for each of those entries.

        Parameters
        ----------
        arms: all arms of the study as its cells name them.
        place, prefix: where the settings stand, for the lines.
        """
        lines: list[str] = []

        def refused(key: KeyPath, problem: str) -> None:
            lines.append(str(place.error((*prefix, *key), problem)))

        def full(key: KeyPath, name: str) -> list[str]:
            found = arms_named(name, arms)
            if not found:
                refused(key, f"{quoted(name)} is no arm of this study; {allowed_words(name, arms)}")
            return found

        changes: dict[str, Any] = {}
        for group in ("arms", "order"):
            names = [arm for at, name in enumerate(getattr(self, group)) for arm in full((group, at), name)]
            changes[group] = tuple(dict.fromkeys(names))
        short_first = sorted(self.labels.items(), key=lambda item: len(item[0]))  # the name in full decides
        labels = {arm: label + arm[len(name) :] for name, label in short_first for arm in arms_named(name, arms)}
        kept = dict(labels)  # a label that is left out gives its arm's own name back, which another may have
        while double := {arm for arm in kept if [kept.get(one, one) for one in arms].count(kept[arm]) > 1}:
            kept = {arm: label for arm, label in kept.items() if arm not in double}
        for name, label in self.labels.items():
            mine = [arm for arm in full(("labels", name), name) if labels[arm] == label + arm[len(name) :]]
            if lost := [arm for arm in mine if arm not in kept]:
                taken = quoted(labels[lost[0]])
                refused(("labels", name), f"{taken} is the name of two arms; allowed: one for each arm")
        changes |= {"labels": kept, "colours": {}}
        for name, text in sorted(self.colours.items(), key=lambda item: len(item[0])):
            try:
                changes["colours"] |= dict.fromkeys(full(("colours", name), name), hex_colour(text))
            except ValueError as error:
                refused(("colours", name), str(error))
        for group in ("columns", "panels"):
            changes[group] = tuple(self._quantities(group, refused))
        return self.model_copy(update=changes), lines

    def _quantities(self, group: str, refused: Any) -> Iterator[str]:
        for at, name in enumerate(getattr(self, group)):
            try:
                yield known_quantity(name).name
            except ValueError as error:
                refused((group, at), str(error))


def arms_named(name: str, arms: Iterable[str]) -> list[str]:
    """The arms that a name means: the one of that name, else those that an axis made of it (`smdim steps=8`)."""
    return [arm for arm in arms if arm == name] or [arm for arm in arms if arm.startswith(f"{name} ")]


def hex_colour(text: str) -> str:
    """A colour as `#rrggbb`. Raises ValueError for a text that names none."""
    if re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        return text
    from matplotlib.colors import is_color_like, to_hex

    if not is_color_like(text) or re.fullmatch(r"[\d.]+|C\d+", text):  # grey levels and places in a cycle
        raise ValueError(f"{quoted(text)} is no colour; allowed: #rrggbb, or a name such as teal")
    return to_hex(text)
