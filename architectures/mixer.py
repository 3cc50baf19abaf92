"""The contract and the registry of mixers: a mixer maps a sequence to a sequence of the same shape.

Residual, norm, dropout and diffusion time belong to the backbone and are equal for all mixers, so a pattern's letters
are the only variable. A new mixer is a class and its registration:

    @register_mixer("X", name="my-block")
    class MyBlock(Mixer):
        def __init__(self, width: int, *, kernel: int = 3) -> None: ...
        def forward(self, x_BLD): ...
        def flops(self, length): ...
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import astuple, dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

import torch
from torch import nn

from architectures.loading import import_built_in, import_entry_points
from architectures.pattern import BlockPattern, OptionValue, PatternError, Slot
from architectures.state import State, positions_before

Direction = Literal["forward", "backward", "bidirectional", "none"]
BUILT_IN = (
    "attention", "convolution", "feed_forward", "fla_layers", "gated_delta", "linear_attention", "long_convolution",
    "mamba", "mamba2",
)  # fmt: skip
"""Modules of this package that register mixers; imported when a mixer is first looked up."""
ENTRY_POINT_GROUP = "smdim_bench.mixers"
SIZE_NAMES = ("head_width", "state", "expand", "hidden")
EIGHT = 8
"""Half-precision numbers in 16 bytes: matrix products whose sizes are no multiples of it take slow kernels on a GPU."""


def nearest_multiple(features: float, of: int = EIGHT) -> int:
    """The multiple of `of` that is nearest to a number of features, at least one of it."""
    return of * max(1, round(features / of))


@dataclass(frozen=True)
class FlopCount:
    """Floating-point operations of one sequence, forward, by kind; a multiply-add counts as two.

    matmul: linear layers, the embedding's transpose included. convolution: short and FFT convolutions.
    scan: recurrences. attention: scores and weighted sums. elementwise: left at 0 by the mixers here, whose
    norms, activations, gates and residual sums are a few operations a value against hundreds.
    """

    matmul: float = 0.0
    convolution: float = 0.0
    scan: float = 0.0
    attention: float = 0.0
    elementwise: float = 0.0

    @property
    def total(self) -> float:
        """Sum over all kinds."""
        return sum(astuple(self))

    def __add__(self, other: FlopCount) -> FlopCount:
        return FlopCount(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


class Mixer(nn.Module):
    """One letter of a pattern: (B, L, D) -> (B, L, D), D = `width`.

    A subclass takes `width` and keyword options with defaults; these are what a pattern may write in
    parentheses. Options called head_width, state, expand or hidden are set to the backbone's sizes unless the
    pattern sets them. It declares `causal` (position t depends on nothing after t) and `direction`.
    """

    letter: ClassVar[str | None] = None
    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    """Word of a sequence-order-dependent mixer in `Backbone.direction` ("Mamba"); empty for all others."""
    words: ClassVar[Mapping[str, tuple[str, OptionValue]]] = {}
    """Bare words that a pattern may write in place of key=value: {"bidirectional": ("direction", "bidirectional")}."""

    devices: ClassVar[tuple[str, ...]] = ()
    """Types of the devices that it runs on; empty: on all."""
    uncounted: ClassVar[str] = ""
    """Why its FLOPs are not known, and `flops` gives NaN."""

    causal: bool = False
    direction: Direction = "none"
    form: str = ""
    """Word for how a bidirectional recurrence is made ("split", "tied", "separate"), shown beside its direction."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def set_direction(self, direction: Direction, allowed: Any) -> None:
        """Declare the direction of a recurrence, and so `causal`; ValueError unless the Literal `allowed` has it."""
        if direction not in get_args(allowed):
            raise ValueError(f"direction={direction!r}; allowed: {', '.join(get_args(allowed))}")
        self.direction, self.causal = direction, direction == "forward"

    def forward(self, x_BLD: torch.Tensor) -> torch.Tensor:
        """Mix; same shape and dtype out.

        At positions of PAD x is 0. A mixer that would still carry something out of them into others (a bias before a
        recurrence) or attend to them names `pad_BL: torch.Tensor | None = None`, true there, and leaves them out.
        One that names `shared: dict[Any, Any] | None = None` gets a dict that all layers of one forward pass share, for
        what follows from the input's shape and type alone (tables of positions).
        """
        raise NotImplementedError

    def check_device(self, device: torch.device) -> None:
        """Raise MixerError where it cannot run there."""
        if self.devices and device.type not in self.devices:
            raise MixerError(f"[{self.name}] cannot run on {device.type}; allowed: {', '.join(self.devices)}")

    def flops(self, length: int) -> FlopCount:
        """Operations of one forward pass over one sequence of `length` positions."""
        raise NotImplementedError

    @property
    def extends(self) -> bool:
        """Whether `extend` is defined: the mixer keeps a finite state, or mixes no positions."""
        return type(self).extend is not Mixer.extend or self.direction == "none"

    def extend(
        self,
        x_BLD: torch.Tensor,
        state: State | None = None,
        pad_BL: torch.Tensor | None = None,
        *,
        keep: bool = True,
        shared: dict[Any, Any] | None = None,
    ) -> tuple[torch.Tensor, State | None]:
        """Mix the positions that follow those of `state` (None: there are none): outputs of the same shape, and the
        state after them, None unless `keep`.

        Among the positions of x each sees what the mixer's direction says, so that a bidirectional mixer sees all of x;
        the state carries what lies left of x alone. `state` is left as it was: a caller may drop the new one. pad_BL,
        shared: as in `forward`. Raises MixerError for a mixer without a finite state.
        """
        if not self.extends:
            raise MixerError(f"mixer [{self.name}] has no finite state that later positions could start from")
        return self(x_BLD), State(positions_before(state) + x_BLD.shape[1]) if keep else None

    def two_stream(
        self,
        noisy_BLD: torch.Tensor,
        clean_BLD: torch.Tensor,
        block: int,
        pad_BL: torch.Tensor | None = None,
        *,
        shared: dict[Any, Any] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """All blocks of `block` positions at once, in two streams: each block of the noisy stream, and of the clean
        one, behind the clean blocks before it. pad_BL: true where either stream holds PAD.

        This form is a loop over `extend`, which others are equal to. Raises as `extend` does.
        """
        if self.direction == "none":
            return self(noisy_BLD), self(clean_BLD)
        state, outputs = None, []
        for start in range(0, clean_BLD.shape[1], block):
            part = slice(start, start + block)
            pad = None if pad_BL is None else pad_BL[:, part]
            noisy, _ = self.extend(noisy_BLD[:, part], state, pad, keep=False)
            clean, state = self.extend(clean_BLD[:, part], state, pad)
            outputs.append((noisy, clean))
        noisy_blocks, clean_blocks = zip(*outputs, strict=True)
        return torch.cat(noisy_blocks, dim=1), torch.cat(clean_blocks, dim=1)

    def state_size(self, positions: int) -> int:
        """Floats a sequence that `extend` keeps after so many positions; 0 where it keeps none."""
        return 0

    def extend_flops(self, past: int, length: int) -> FlopCount:
        """Operations of one call of `extend` over one sequence: `length` positions behind `past`."""
        return self.flops(length)

    def two_stream_flops(self, length: int, block: int) -> FlopCount:
        """Operations of one call of `two_stream` over one sequence of `length` positions, both streams."""
        if self.direction == "none":
            return self.flops(length) + self.flops(length)
        calls = (self.extend_flops(start, block) for start in range(0, length, block))
        return sum((one + one for one in calls), FlopCount())

    def kernels(self, device: torch.device) -> dict[str, str]:
        """Which implementation each operator with more than one would use there, e.g. {"scan": "numba"}."""
        return {}


class MixerError(ValueError):
    """A mixer that cannot be registered, found or given such options; the message is one line."""


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


def given_beside_x(mixer: Mixer) -> tuple[str, ...]:
    """What a mixer's forward names of that which a backbone gives beside x."""
    names = inspect.signature(mixer.forward).parameters
    return tuple(name for name in ("pad_BL", "shared") if name in names)


def without_decay(*parameters: nn.Parameter) -> None:
    """Mark parameters that the trainer's weight decay leaves out: positions, decays and steps of recurrences."""
    for parameter in parameters:
        parameter._no_weight_decay = True  # type: ignore[attr-defined]


def writes_residual(layer: nn.Linear) -> nn.Linear:
    """The layer, marked as one whose output joins the residual: the backbone scales its weights by depth."""
    layer.weight._residual_output = True  # type: ignore[attr-defined]
    return layer


def without_autocast(device: torch.device) -> AbstractContextManager[None]:
    """A block that computes in the types its tensors have, also where autocast is on; for recurrences and FFTs, which
    lose too much in half precision. The meta device, which computes nothing, has no autocast."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """The values in float32, or in float64 where they are: the types that recurrences compute in."""
    return values if values.dtype == torch.float64 else values.float()


def type_of_products(weight: torch.Tensor, device: torch.device) -> torch.dtype:
    """The type in which a linear layer's results come out on `device`: autocast's where it is on."""
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type)
    return weight.dtype


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
