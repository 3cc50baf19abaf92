"""The contract of mixers: a mixer maps a sequence to a sequence of the same shape.

Residual, norm, dropout and diffusion time belong to the backbone and are equal for all mixers, so a pattern's letters
are the only variable. A new mixer is a class and its registration (architectures/registry.py):

    @register_mixer("X", name="my-block")
    class MyBlock(Mixer):
        def __init__(self, width: int, *, kernel: int = 3) -> None: ...
        def forward(self, x_BLD): ...
        def flops(self, length): ...
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import astuple, dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import nn

from architectures.pattern import OptionValue
from architectures.state import PLAIN, Call, Extended, State, Streams, positions_before

Direction = Literal["forward", "backward", "bidirectional", "none"]
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

    def extend(self, x_BLD: torch.Tensor, state: State | None = None, call: Call = PLAIN) -> Extended:
        """Mix the positions that follow those of `state` (None: there are none): outputs of the same shape, and the
        state after them, None unless `call.keep`.

        Among the positions of x each sees what the mixer's direction says, so that a bidirectional mixer sees all of x;
        the state carries what lies left of x alone. `state` is left as it was: a caller may drop the new one. Raises
        MixerError for a mixer without a finite state.
        """
        if not self.extends:
            raise MixerError(f"mixer [{self.name}] has no finite state that later positions could start from")
        return self(x_BLD), State(positions_before(state) + x_BLD.shape[1]) if call.keep else None

    def two_stream(self, noisy_BLD: torch.Tensor, clean_BLD: torch.Tensor, block: int, call: Call = PLAIN) -> Streams:
        """All blocks of `block` positions at once, in two streams: each block of the noisy stream, and of the clean
        one, behind the clean blocks before it. `call.pad_BL`: true where either stream holds PAD.

        This form is a loop over `extend`, which others are equal to. Raises as `extend` does.
        """
        if self.direction == "none":
            return self(noisy_BLD), self(clean_BLD)
        state, outputs = None, []
        for start in range(0, clean_BLD.shape[1], block):
            part = slice(start, start + block)
            pad = None if call.pad_BL is None else call.pad_BL[:, part]
            noisy, _ = self.extend(noisy_BLD[:, part], state, Call(pad, keep=False))
            clean, state = self.extend(clean_BLD[:, part], state, Call(pad))
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


def has_autocast(device: torch.device) -> bool:
    """Whether a device has autocast: all but the meta device, which computes nothing. (The compiler of torch 2.11 does
    not trace `torch.amp.is_autocast_available`.)"""
    return device.type != "meta"


def without_autocast(device: torch.device) -> AbstractContextManager[None]:
    """A block that computes in the types its tensors have, also where autocast is on; for recurrences and FFTs, which
    lose too much in half precision."""
    if not has_autocast(device):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """The values in float32, or in float64 where they are: the types that recurrences compute in."""
    return values if values.dtype == torch.float64 else values.float()


def type_of_products(weight: torch.Tensor, device: torch.device) -> torch.dtype:
    """The type in which a linear layer's results come out on `device`: autocast's where it is on."""
    if has_autocast(device) and torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type)
    return weight.dtype
