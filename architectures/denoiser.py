"""Whole denoisers: any module from tokens to logits, registered by name and used as an arm.

    @register_denoiser("my-net", size="width", multiple=8)
    def my_net(*, vocab_size: int, length: int, mask_id: int, width: int = 256) -> nn.Module: ...

The module brings its own embedding, stem and head, so tables name the stem as part of the arm.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from architectures.loading import import_built_in, import_entry_points

if TYPE_CHECKING:
    from torch import nn

BUILT_IN = ("schmubert",)
"""Modules of this package that register denoisers; imported when a denoiser is first looked up."""
ENTRY_POINT_GROUP = "smdim_bench.denoisers"
GIVEN = ("vocab_size", "length", "mask_id", "pad_id")
"""Keywords that a factory is given where its signature names them; all others are its sizes."""
NOT_KNOWN = "not known"
Factory = Callable[..., "nn.Module"]
_Factory = TypeVar("_Factory", bound=Factory)
Size = int | float | bool | str | None


class DenoiserError(ValueError):
    """A denoiser that cannot be registered, built or run; the message is one line."""


@dataclass(frozen=True)
class Inputs:
    """What a denoiser is given: the longest sequence in tokens, and the special tokens. Defaults: those of a timing
    without a corpus."""

    length: int = 2048
    mask_id: int = 1
    pad_id: int = 0


@dataclass(frozen=True)
class Registration:
    """A registered denoiser. module: where it was registered; size: the size that matching solves, in multiples of
    `multiple`; fine: one that it solves after it; direction: which way it reads, in words; see `register_denoiser`."""

    name: str
    factory: Factory
    module: str
    takes_time: bool = False
    size: str | None = None
    multiple: int = 1
    direction: str = NOT_KNOWN
    fine: str | None = None

    @property
    def sizes(self) -> dict[str, Any]:
        """Sizes and their defaults, read from the signature; `inspect.Parameter.empty` where there is none."""
        return {name: one.default for name, one in _keywords(self.factory).items() if name not in GIVEN}

    @property
    def given(self) -> tuple[str, ...]:
        """Those of `GIVEN` that the factory is passed; `**sizes` takes all but the PAD token, which it must name."""
        named = _keywords(self.factory)
        return tuple(key for key in GIVEN if key in named or (self.open_ended and key != "pad_id"))

    @property
    def open_ended(self) -> bool:
        """Whether the signature ends in `**sizes`, so that sizes of any name are passed on."""
        return any(one.kind is one.VAR_KEYWORD for one in _parameters(self.factory))

    @property
    def description(self) -> str:
        """First line of the factory's docstring."""
        return (inspect.getdoc(self.factory) or "").partition("\n")[0]


@dataclass(frozen=True)
class DenoiserConfig:
    """Everything that decides a registered denoiser's network.

    length: the longest sequence that it is to be given; None where its signature does not name it, and likewise
    pad_id. sizes: (name, value) in alphabetical order, defaults included.
    """

    name: str
    vocab_size: int
    length: int | None
    mask_id: int
    sizes: tuple[tuple[str, Size], ...] = ()
    pad_id: int | None = None

    @property
    def pattern(self) -> str:
        """Words in place of a block pattern: that the stem is its own, and the sizes."""
        sizes = ", ".join(f"{name}={value}" for name, value in self.sizes)
        return f"own stem: {self.name}" + (f"({sizes})" if sizes else "")

    def with_size(self, name: str, value: Size) -> DenoiserConfig:
        """This configuration with one other size."""
        return replace(self, sizes=tuple(sorted({**dict(self.sizes), name: value}.items())))

    def to_dict(self) -> dict[str, Any]:
        """All settings as JSON-able values; the key `denoiser` is that of no backbone."""
        return {
            "denoiser": self.name,
            "vocab_size": self.vocab_size,
            "length": self.length,
            "mask_id": self.mask_id,
            "pad_id": self.pad_id,
            "sizes": dict(self.sizes),
        }

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> DenoiserConfig:
        """The configuration of a mapping. Raises DenoiserError for missing or unknown keys."""
        known = ("denoiser", *GIVEN, "sizes")
        for key in (*settings, *known):
            if key not in known or key not in settings:
                what = "is unknown" if key not in known else "is missing"
                raise DenoiserError(f"denoiser: setting {key!r} {what}; allowed: {', '.join(known)}")
        given = {key: settings[key] for key in GIVEN}
        return cls(name=settings["denoiser"], sizes=tuple(sorted(settings["sizes"].items())), **given)


_BY_NAME: dict[str, Registration] = {}


def register_denoiser(
    name: str,
    *,
    takes_time: bool = False,
    size: str | None = None,
    multiple: int = 1,
    direction: str = NOT_KNOWN,
    fine: str | None = None,
) -> Callable[[_Factory], _Factory]:
    """Decorator that makes a class or function an arm: `(*, vocab_size, length, mask_id, **sizes) -> nn.Module`.

    The module maps tokens (B, L) to logits (B, L, V), or (tokens, time (B,) in 0..1) where `takes_time`. The factory is
    given those of vocab_size, length (the longest sequence), mask_id and pad_id that its signature names; its further
    keywords are sizes, which a study's `model:` may set. size: the one that `match` solves, in multiples of `multiple`;
    fine: one that it then changes in steps of 1, such as the inner features of a feed-forward, if that is too coarse.
    direction: which way it reads, shown in tables.
    Raises DenoiserError for a malformed name, one taken from elsewhere, a factory that cannot take these keywords, or a
    `size` that it does not have.
    """
    module = sys._getframe(1).f_globals.get("__name__", "")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise DenoiserError(f"register_denoiser: name {name!r} must be small letters, digits, '_', '.' or '-'")

    def register(factory: _Factory) -> _Factory:
        found = Registration(name, factory, module, takes_time, size, multiple, direction, fine)
        where = f"register_denoiser: {name!r}"
        if not callable(factory):
            raise DenoiserError(f"{where} is {type(factory).__name__}; allowed: a class or function")
        if "vocab_size" not in _keywords(factory) and not found.open_ended:
            raise DenoiserError(f"{where} takes no vocab_size; allowed: (*, vocab_size, length, mask_id, ...)")
        for one in _parameters(factory):
            if one.kind is one.POSITIONAL_ONLY:
                raise DenoiserError(f"{where} takes {one.name!r} by position; allowed: keywords alone")
        unknown = [one for one in (size, fine) if one is not None and one not in found.sizes]
        if unknown and not found.open_ended:
            raise DenoiserError(f"{where} has no size {unknown[0]!r}; its sizes: {', '.join(found.sizes) or 'none'}")
        if multiple < 1:
            raise DenoiserError(f"{where}: multiple={multiple}; must be at least 1")
        holder = _BY_NAME.get(name)
        if holder and holder.module != module:
            raise DenoiserError(f"{where} is taken by {holder.module}")
        _BY_NAME[name] = found
        return factory

    return register


def registered_denoisers() -> dict[str, Registration]:
    """All registered denoisers by name, those of installed packages included."""
    _load_built_in()
    _load_entry_points()
    return dict(sorted(_BY_NAME.items()))


def find_denoiser(name: str) -> Registration:
    """The registration of a name. Raises DenoiserError that lists what is known."""
    if name not in _BY_NAME and name not in registered_denoisers():
        known = ", ".join(registered_denoisers()) or "none"
        raise DenoiserError(f"no denoiser {name!r}; registered: {known}; name the module that registers it in plugins")
    return _BY_NAME[name]


@cache
def _load_built_in() -> None:
    import_built_in(BUILT_IN)


@cache
def _load_entry_points() -> None:
    """Import the modules that installed packages offer under the entry point group `smdim_bench.denoisers`."""
    import_entry_points(ENTRY_POINT_GROUP, DenoiserError)


def resolve_denoiser(name: str, vocab_size: int, inputs: Inputs, sizes: Mapping[str, Any]) -> DenoiserConfig:
    """The configuration of a registered denoiser. Raises DenoiserError for sizes that it does not have, of another
    type, or missing. A `length` among the sizes builds it for longer sequences, as loaded weights may need."""
    found, given = find_denoiser(name), dict(sizes)
    length = given.pop("length", inputs.length)
    if type(length) is not int or length < inputs.length:
        raise DenoiserError(f"denoiser {name}: length={length!r}; allowed: {inputs.length} or more, what it is to run")
    known = found.sizes
    allowed = ", ".join(known) or "none"
    for key in given:
        if key in GIVEN or (key not in known and not found.open_ended):
            raise DenoiserError(f"denoiser {name}: unknown setting {key!r}; allowed: {allowed}")
    hints = _hints(found.factory)
    for key, default in known.items():
        if key not in given and default is inspect.Parameter.empty:
            raise DenoiserError(f"denoiser {name}: setting {key!r} is missing; allowed: {allowed}")
        if key in given and not _is_of(given[key], hints.get(key), default):
            kind = hints.get(key) or type(default)
            words = ", ".join(map(repr, get_args(kind))) if get_origin(kind) is Literal else _type_words(kind)
            raise DenoiserError(f"denoiser {name}: {key}={given[key]!r}; allowed: {words}")
    complete = {**known, **given}
    return DenoiserConfig(
        name=name,
        vocab_size=vocab_size,
        length=length if "length" in found.given else None,
        mask_id=inputs.mask_id,
        sizes=tuple(sorted(complete.items())),
        pad_id=inputs.pad_id if "pad_id" in found.given else None,
    )


def _parameters(factory: Factory) -> list[inspect.Parameter]:
    return list(inspect.signature(factory).parameters.values())


def _keywords(factory: Factory) -> dict[str, inspect.Parameter]:
    """Parameters that may be given by keyword."""
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {one.name: one for one in _parameters(factory) if one.kind in kinds}


def _hints(factory: Any) -> dict[str, Any]:
    try:
        return get_type_hints(vars(factory).get("__init__", factory) if isinstance(factory, type) else factory)
    except NameError:  # annotations of a user's factory that cannot be evaluated
        return {}


def _is_of(value: Any, hint: Any, default: Any) -> bool:
    """Whether a size is of its annotated type, or of its default's."""
    if hint is None:
        hint = Any if default is None or default is inspect.Parameter.empty else type(default)
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return any(_is_of(value, one, default) for one in get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint in (int, bool, str, NoneType):
        return type(value) is hint
    return True


def _type_words(kind: Any) -> str:
    return getattr(kind, "__name__", None) or str(kind)
