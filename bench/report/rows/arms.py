"""Order, colour and marker of arms, the same in every table and figure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bench.report.presentation import COLOUR, PLACE, all_rows, shown_rows, study_arms
from bench.report.rows.frame import REFERENCE
from bench.report.rows.summaries import Summaries
from metrics.music.table import REFERENCE_SETS

# Colours after Okabe and Ito (2008), distinct under the common colour-vision deficiencies; in grey, markers and
# dashes distinguish the arms. After the first twelve colours come again, with another marker and other dashes.
LOOKS: tuple[tuple[str, str, Any], ...] = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", (0, (5, 1.5))),
    ("#009E73", "^", (0, (5, 1.5, 1, 1.5))),
    ("#CC79A7", "v", (0, (1, 1.2))),
    ("#E69F00", "D", (0, (3, 1))),
    ("#56B4E9", "P", (0, (7, 2, 1, 2, 1, 2))),
    ("#000000", "X", (0, (2, 1))),
    ("#7A5195", "*", (0, (6, 1, 2, 1))),
    ("#8C6D31", "h", (0, (1, 2))),
    ("#666666", "p", "-"),
    ("#003F5C", "<", (0, (4, 2))),
    ("#A6761D", ">", (0, (2, 2))),
    ("#0072B2", "s", (0, (5, 1.5))),
    ("#D55E00", "^", (0, (1, 1.2))),
    ("#56B4E9", "D", "-"),
    ("#009E73", "v", (0, (3, 1))),
    ("#CC79A7", "o", (0, (4, 2))),
    ("#E69F00", "P", (0, (5, 1.5, 1, 1.5))),
    ("#009E73", "X", (0, (2, 1))),
    ("#D55E00", "o", "-"),
    ("#CC79A7", "D", (0, (6, 1, 2, 1))),
    ("#7A5195", "s", (0, (1, 2))),
    ("#000000", "v", (0, (5, 1.5))),
    ("#8C6D31", "<", "-"),
)
WELL_KNOWN = ("smdim", "transformer", "mamba", "mamba-causal", "fam", "amf", "maf", "afm", "fma")


@dataclass(frozen=True)
class Look:
    """How an arm is drawn; `name` is its series in a figure's data."""

    colour: str
    marker: str
    dashes: Any
    name: str = "_"

    @property
    def line(self) -> dict[str, Any]:
        """Colour, marker, dashes and name as matplotlib's `plot` takes them."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.dashes, "label": self.name}

    @property
    def ink(self) -> dict[str, Any]:
        """Colour and name of further marks of the arm."""
        return {"color": self.colour, "label": self.name}

    @property
    def on_dark(self) -> str:
        """The colour on a dark ground: halfway to white."""
        parts = (int(self.colour[start : start + 2], 16) for start in (1, 3, 5))
        return "#" + "".join(f"{(part + 255) // 2:02x}" for part in parts)


def _slot(arm: str) -> int | None:
    name = arm.casefold()
    return WELL_KNOWN.index(name) if name in WELL_KNOWN else None


def arm_order(frame: pd.DataFrame) -> list[str]:
    """Arms in the order every table and legend uses: that of the presentation, else that of the study."""
    return [str(arm) for arm in _first_rows(frame)["arm"]]


def _first_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """A row of each arm that is shown, in order; what columns of a presentation say of an arm stands in all its
    rows."""
    rows = shown_rows(frame)
    rows = rows[(rows["kind"] != REFERENCE) & (rows["arm"] != "")].drop_duplicates("arm")
    return rows.sort_values(PLACE, kind="stable") if PLACE in rows else rows


def labels_of(frame: pd.DataFrame) -> dict[str, str]:
    """Name in the study -> what is shown, of the arms in the order of `arm_order`."""
    rows = _first_rows(frame)
    return dict(zip(map(str, study_arms(rows)), map(str, rows["arm"]), strict=True))


def reference_order(references: Summaries) -> list[str]:
    """Reference arms in the order every table uses: ceiling and floors as `metrics` orders them, then the others."""
    names = references.distinct("arm")
    known = [name for name in REFERENCE_SETS if name in names]
    return [*known, *(name for name in names if name not in known)]


def looks_of(frame: pd.DataFrame) -> dict[str, Look]:
    """The look of each arm, in order: as the presentation colours it, else its own, whatever it is called and whichever
    other arms of the study are shown."""
    found = looks(study_arms(_first_rows(all_rows(frame))))
    rows = _first_rows(frame)
    colours = rows[COLOUR] if COLOUR in rows else [""] * len(rows)
    shown = zip(rows["arm"], study_arms(rows), colours, strict=True)
    return {arm: replace(found[name], colour=colour or found[name].colour, name=arm) for arm, name, colour in shown}


def looks(arms: Iterable[str]) -> dict[str, Look]:
    """Colour, marker and dashes of each arm; a well-known arm has its own in every study, others take the next free."""
    arms = list(arms)
    chosen: dict[str, int] = {}
    for arm in arms:
        slot = _slot(arm)
        if slot is not None and slot not in chosen.values():
            chosen[arm] = slot
    free = [index for index in range(len(LOOKS)) if index not in chosen.values()]
    others = sorted(arm for arm in arms if arm not in chosen)
    for position, arm in enumerate(others):
        chosen[arm] = free[position % len(free)] if free else position % len(LOOKS)
    return {arm: Look(*LOOKS[chosen[arm]], arm) for arm in arms}
