"""Registry of measured names: label, unit, which way is better, what difference matters, bounds and definition."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Final, Literal, TypeVar

Better = Literal["lower", "higher", "nearest", "none"]
Kind = Literal["music", "quality", "cost", "training"]
Bounds = tuple[float, float]
Redraws = Callable[..., Any] | Literal["mean"]
Key = TypeVar("Key", str, tuple[str, str])
Function = TypeVar("Function", bound=Callable[..., Any])

ANY: Final[Bounds] = (-math.inf, math.inf)
POSITIVE: Final[Bounds] = (0.0, math.inf)
SHARE: Final[Bounds] = (0.0, 1.0)


class Section(StrEnum):
    """Headings of the quality table, in its order."""

    NONE = ""
    ATTRIBUTES = "overlap of note attributes: how often each value is used"
    DISTANCES = "overlap of distances between pieces, feature by feature (Yang & Lerch)"
    NEIGHBOURS = "neighbouring bars: as alike as in real music"
    CLOUDS = "distance of the clouds of pieces"
    OUTLIERS = "pitch outliers, share of notes"
    CHORDS = "chord density: pitches at once"
    FORM = "tonality, groove, returning bars"
    DRIFT = "drift from the first bar to the last, beyond that of real pieces"
    NOVELTY = "copied from the training pieces"


@dataclass(frozen=True)
class Margin:
    """The smallest difference that matters: in the unit of its quantity, or as a share of the value compared with."""

    size: float
    relative: bool = False

    def at(self, value: float) -> float:
        """The margin in the unit of the quantity, where it is compared with `value`."""
        return self.size * abs(value) if self.relative else self.size

    def __str__(self) -> str:
        return f"{100 * self.size:g} %" if self.relative else f"{self.size:g}"


@dataclass(frozen=True)
class Quantity:
    """A measured name and how its values are read.

    `better`: lower and higher values are better by themselves, "nearest" ones by their distance to the value of real,
    held-out music; "none" is a description. `bounds`: lowest and highest possible value; intervals over seeds are cut
    there. `kind`: "music" is computed from notes, "quality" from tokens or the denoiser's predictions, "cost" from a
    forward pass or a sample, "training" from a training step. Without a `label` the name with spaces, without a
    `short` label the label, without a `definition` the name with version 1. `matters`: the smallest difference that
    matters where a study states none, `0.03` in the unit or `"2%"` of the value compared with. `spread`:
    standard deviation of one arm's error at one seed in an earlier study, which a plan assumes where no similar cell
    is done.
    """

    name: str
    unit: str = ""
    better: Better = "none"
    kind: Kind = "music"
    bounds: Bounds = ANY
    label: str = ""
    short: str = ""
    definition: str = ""
    section: Section = Section.NONE
    matters: float | str | None = None
    spread: float | None = None

    def __post_init__(self) -> None:
        label = self.label or self.name.replace("_", " ")
        defaults = {"label": label, "short": self.short or label, "definition": self.definition or f"{self.name} v1"}
        for field, value in defaults.items():
            object.__setattr__(self, field, value)
        if self.matters is not None:
            self.margin_of(self.matters)

    @property
    def margin(self) -> Margin | None:
        """The smallest difference that matters where a study states none; None where no default is known."""
        return None if self.matters is None else self.margin_of(self.matters)

    def margin_of(self, given: object) -> Margin:
        """The margin as it is written: `0.03` in the unit of the quantity, or `"2%"` of the value compared with.

        Raises ValueError for anything that is no number above 0, and for a percentage of a quantity that has no true
        zero or is itself a share.

        >>> Quantity("step_latency", "ms", "lower", "cost", POSITIVE).margin_of("2%").at(50.0)
        1.0
        """
        text = str(given).strip()
        relative = text.endswith("%")
        try:
            size = math.nan if isinstance(given, bool) else float(text.removesuffix("%")) / (100 if relative else 1)
        except ValueError:
            size = math.nan
        if not 0 < size < math.inf:
            raise ValueError(f"must be a number above 0, or a percentage such as 2% (given: {given!r})")
        if relative and self.bounds != POSITIVE:
            why = "is a share" if self.bounds == SHARE else "may be 0 or below"
            raise ValueError(
                f"{self.name} {why}, so a percentage of it means nothing; give a number (given: {given!r})"
            )
        return Margin(size, relative)

    @property
    def heading(self) -> str:
        """Label with its unit, as a column heading or an axis: `Latency, one step [ms]`."""
        return self._with_unit(self.label)

    @property
    def short_heading(self) -> str:
        """Short label with its unit: `One denoising step [ms]`."""
        return self._with_unit(self.short)

    def _with_unit(self, label: str) -> str:
        return f"{label} [{self.unit}]" if self.unit and self.unit != "1" else label

    def loss(self, value: float, held_out: float = math.nan) -> float:
        """A number that is lower where the value is better; NaN where no way is better, or "nearest" lacks `held_out`.

        >>> Quantity("token_entropy", "bits", "nearest").loss(5.0, held_out=7.0)
        2.0
        """
        losses = {"lower": value, "higher": -value, "nearest": abs(value - held_out)}
        return losses.get(self.better, math.nan)


SOURCES: list[str] = []
"""Modules that register names, and packages of such modules: `metrics` lists them, a look-up imports them."""
_QUANTITIES: dict[str, Quantity] = {}
_FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Mapping[str, Any], ...]]] = {}
_REDRAWS: dict[str, Redraws] = {}


def register(name: str, unit: str, better: Better, **more: Any) -> str:
    """Add a `Quantity` to the registry; returns its name. Raises ValueError for a name that stands for another one."""
    added = Quantity(name, unit, better, **more)
    if _QUANTITIES.setdefault(name, added) != added:
        raise ValueError(f"quantity {name!r} is registered twice, with different contents")
    return name


def register_each(stem: str, kinds: Iterable[Key], unit: str, better: Better, **more: Any) -> dict[Key, str]:
    """Register `stem_kind` with the definition `stem/kind v1` for each kind, a word or a tuple of words; kind -> name.

    A `label` in `more` has the place {} for the kind.
    """
    found = {}
    for kind in kinds:
        words: list[str] = [kind] if isinstance(kind, str) else list(kind)
        own = more | {"label": more.get("label", "").format(*words), "definition": f"{'/'.join([stem, *words])} v1"}
        found[kind] = register("_".join([stem, *words]), unit, better, **own)
    return found


def music_metric(*variants: Mapping[str, Any], redraws: Redraws | None = None) -> Callable[[Function], Function]:
    """Register a function of music metrics: `import metrics` offers it, and the quality table holds its results.

    Each of `variants` holds the options of one call for the table, which gives the generated pieces first and, as far
    as the function takes them, `reference`, `train`, `limits`, `intervals` and `seed` by name. The function returns a
    `MetricResult` or a list of them. Without variants it stays out of the table.

    `redraws` makes the values of many draws from one pool at once, where calls one by one are slow. "mean": the value
    is the mean of the pieces' `values`, less what depends on the reference alone. A function takes the pieces of the
    pool, the places of each draw in it, int64 (R, N), and of the options above those it names, and returns the value
    of each draw, float64 (R,), or a list of them in the order of the metric's results.
    """

    def enter(function: Function) -> Function:
        _FUNCTIONS[function.__name__] = (function, variants)
        if redraws is not None:
            _REDRAWS[function.__name__] = redraws
        return function

    return enter


@cache
def _load() -> None:
    """Import every module that registers names."""
    for source in SOURCES:
        for module in iter_modules(getattr(import_module(source), "__path__", ()), f"{source}."):
            import_module(module.name)


def quantity_of(name: str, unit: str = "") -> Quantity:
    """The registered quantity of a name; an unknown name gets one of its own, in `unit`, with no way called better."""
    if name not in _QUANTITIES:
        _load()
    return _QUANTITIES.get(name) or Quantity(name, unit)


def known_quantity(name: str) -> Quantity:
    """The registered quantity of a name. Raises ValueError naming the nearest one for others."""
    _load()
    if name in _QUANTITIES:
        return _QUANTITIES[name]
    near = get_close_matches(name, _QUANTITIES, n=1, cutoff=0.0)
    raise ValueError(f"{name!r} is no known quantity; the nearest one is {near[0]!r}")


def quantities() -> list[Quantity]:
    """Every registered quantity: music in the order of the quality table, then the other kinds."""
    _load()
    sections = list(Section)
    return sorted(_QUANTITIES.values(), key=lambda one: (one.kind != "music", one.kind, sections.index(one.section)))


def music_functions() -> dict[str, tuple[Callable[..., Any], tuple[Mapping[str, Any], ...]]]:
    """Name -> function of music metrics and its variants in the quality table, in the order of their modules."""
    _load()
    return dict(sorted(_FUNCTIONS.items(), key=lambda one: one[1][0].__module__))


def redraws_of(function: Callable[..., Any]) -> Redraws | None:
    """What makes the values of many draws of a function of music metrics at once; None: it is called for each."""
    return _REDRAWS.get(function.__name__)
