"""The registry of mixers: letters and names that patterns may use, options read and set."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from architectures.loading import import_built_in, import_entry_points
from architectures.mixer import Mixer, MixerError
from architectures.pattern import BlockPattern, OptionValue, PatternError, Slot

BUILT_IN = (
    "attention", "convolution", "feed_forward", "fla_layers", "gated_delta", "linear_attention", "long_convolution",
    "mamba", "mamba2",
)  # fmt: skip
"""Modules of this package that register mixers; imported when a mixer is first looked up."""
ENTRY_POINT_GROUP = "smdim_bench.mixers"
SIZE_NAMES = ("head_width", "state", "expand", "hidden")

_BY_LETTER: dict[str, type[Mixer]] = {}
_BY_NAME: dict[str, type[Mixer]] = {}
_FAMILIES: dict[str, Callable[[str], type[Mixer]]] = {}
_Class = TypeVar("_Class", bound=type[Mixer])


def register_mixer(letter: str | None = None, *, name: str) -> Callable[[_Class], _Class]:
    """Class decorator that makes a mixer usable in patterns by `letter` (one capital) and by `[name]`.

    Raises MixerError when the letter or the name is malformed, or taken by a class from elsewhere. The same
    class registered again, as when its module is reloaded, replaces the old one.
    """
    if letter is not None and not (len(letter) == 1 and letter.isascii() and letter.isupper()):
        raise MixerError(f"register_mixer: letter {letter!r} is not one capital letter A..Z")
    if not name or str(Slot(name)) != f"[{name}]" or not _reads_back(name):
        raise MixerError(f"register_mixer: name {name!r} must be small letters, digits, '_', '.' or '-'")

    def register(cls: _Class) -> _Class:
        if not (isinstance(cls, type) and issubclass(cls, Mixer)):
            raise MixerError(f"register_mixer: {cls!r} is not a subclass of architectures.Mixer")
        if not cls.__module__.startswith("architectures."):
            _load_built_in()  # their letters and names are taken
        for table, key in ((_BY_LETTER, letter), (_BY_NAME, name)):
            holder = table.get(key) if key else None
            if holder and (holder.__module__, holder.__qualname__) != (cls.__module__, cls.__qualname__):
                raise MixerError(f"register_mixer: {key!r} is taken by {holder.__module__}.{holder.__qualname__}")
        cls.letter, cls.name = letter, name
        _BY_NAME[name] = cls
        if letter:
            _BY_LETTER[letter] = cls
        return cls

    return register


def register_family(prefix: str) -> Callable[[Callable[[str], type[Mixer]]], Callable[[str], type[Mixer]]]:
    """Function decorator: `[prefix.NAME]` is the mixer that the function makes of NAME when it is first named; the
    function raises MixerError for a name that it does not have."""

    def register(make: Callable[[str], type[Mixer]]) -> Callable[[str], type[Mixer]]:
        _FAMILIES[prefix] = make
        return make

    return register


def _reads_back(name: str) -> bool:
    try:
        return BlockPattern.parse(f"[{name}]").slots[0].mixer == name
    except PatternError:
        return False


def registered_mixers() -> dict[str, type[Mixer]]:
    """All mixers a pattern may name, by what it writes: letters first, then `[name]` for those without one."""
    _load_built_in()
    _load_entry_points()
    plain = {f"[{name}]": cls for name, cls in sorted(_BY_NAME.items()) if not cls.letter}
    return {**dict(sorted(_BY_LETTER.items())), **plain}


@cache
def _load_built_in() -> None:
    import_built_in(BUILT_IN)


@cache
def _load_entry_points() -> None:
    """Import the modules that installed packages offer under the entry point group `smdim_bench.mixers`."""
    import_entry_points(ENTRY_POINT_GROUP, MixerError)


def find_mixer(key: str) -> type[Mixer]:
    """The mixer of a letter or a name. Raises MixerError that lists what is known."""
    _load_built_in()
    prefix, _, name = key.partition(".")
    if name and prefix in _FAMILIES and key not in _BY_NAME:
        try:
            register_mixer(name=key)(_FAMILIES[prefix](name))
        except MixerError as error:
            raise MixerError(f"[{key}]: {error}") from None
    if key not in _BY_LETTER and key not in _BY_NAME:
        known = " ".join([*registered_mixers(), *(f"[{prefix}.NAME]" for prefix in _FAMILIES)])  # packages' own too
        if key not in _BY_LETTER and key not in _BY_NAME:
            raise MixerError(f"no mixer {key!r}; known: {known}")
    return _BY_LETTER[key] if key in _BY_LETTER else _BY_NAME[key]


def mixer_options(cls: type[Mixer]) -> Mapping[str, Any]:
    """Keyword options of a mixer and their defaults, read from its constructor."""
    key: Any = cls
    return _options_of(key)


@cache  # matching asks for them thousands of times
def _options_of(cls: Any) -> Mapping[str, Any]:
    parameters = list(inspect.signature(cls).parameters.values())
    options = {p.name: p.default for p in parameters if p.name != "width" and p.default is not inspect.Parameter.empty}
    return MappingProxyType(options)


def canonical_pattern(text: str) -> BlockPattern:
    """Read a pattern and reduce it by the mixers' registrations: names to letters, words to options, defaults left out.

    `M(forward)`, `[mamba]` and `M` come out equal. Raises PatternError that points at an unknown mixer or option.
    """
    pattern = BlockPattern.parse(text)
    return BlockPattern(tuple(_canonical_slot(text, slot) for slot in pattern.slots))


def _canonical_slot(text: str, slot: Slot) -> Slot:
    try:
        cls = find_mixer(slot.mixer)
        options = _resolve_words(cls, slot)
    except MixerError as error:
        raise PatternError(text, slot.column, str(error)) from None
    defaults = mixer_options(cls)
    kept = {key: value for key, value in options.items() if key in SIZE_NAMES or value != defaults[key]}
    by_meaning = {meaning: word for word, meaning in cls.words.items()}
    written: list[tuple[str, OptionValue]] = [
        (by_meaning[key, value], True) if (key, value) in by_meaning else (key, value) for key, value in kept.items()
    ]
    return Slot(cls.letter or cls.name, tuple(sorted(written)), slot.column)


def _resolve_words(cls: type[Mixer], slot: Slot) -> dict[str, OptionValue]:
    known = mixer_options(cls)
    options: dict[str, OptionValue] = {}
    for written, value in slot.options:
        key = written
        if value is True and written in cls.words:
            key, value = cls.words[written]
        if key not in known:
            allowed = ", ".join([*cls.words, *(f"{name}=" for name in known)]) or "none"
            raise MixerError(f"mixer {cls.letter or cls.name} has no option {written!r}; allowed: {allowed}")
        if key in options:
            raise MixerError(f"mixer {cls.letter or cls.name}: option {key!r} is given twice")
        default = known[key]
        right = isinstance(value, type(default)) or (isinstance(default, float) and isinstance(value, int))
        if default is not None and (not right or (isinstance(value, bool) and not isinstance(default, bool))):
            kind = type(default).__name__
            raise MixerError(f"mixer {cls.letter or cls.name}: {key}={value!r} is not of type {kind}")
        owner: Any = cls
        if (choices := _choices(owner, key)) and value not in choices:
            raise MixerError(
                f"mixer {cls.letter or cls.name}: {key}={value!r}; allowed: {', '.join(map(str, choices))}"
            )
        options[key] = value
    return options


@cache
def _choices(cls: Any, key: str) -> tuple[Any, ...]:
    """The values of an option annotated as a Literal; () for any other."""
    try:
        hint = get_type_hints(cls.__init__).get(key)
    except NameError:  # annotations of a user's class that cannot be evaluated
        return ()
    return get_args(hint) if get_origin(hint) is Literal else ()


def make_mixer(slot: Slot, width: int, sizes: Mapping[str, int | None]) -> Mixer:
    """Build the mixer of a slot: options from the pattern, sizes from the backbone where the mixer takes them."""
    cls = find_mixer(slot.mixer)
    options: dict[str, Any] = {key: sizes[key] for key in mixer_options(cls) if sizes.get(key) is not None}
    options.update(_resolve_words(cls, slot))
    try:
        return cls(width, **options)
    except (ValueError, TypeError) as error:
        raise MixerError(f"mixer {slot}, width {width}: {error}") from error
