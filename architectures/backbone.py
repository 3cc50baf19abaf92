"""Backbone: embed -> compress -> residual mixers -> expand -> logits; all but the mixers equal for every pattern."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from architectures.config import BackboneConfig, BackboneError
from architectures.mixer import FlopCount, Mixer, given_beside_x
from architectures.padding import masked_share, pad_positions, without_pad
from architectures.registry import make_mixer
from architectures.state import BackboneState, Call, Extended, State, Streams
from architectures.stem import TIME_FEATURES, Compress, Expand, TimeFeatures, make_norm

__all__ = ["Backbone", "BackboneConfig", "BackboneError"]

TOKEN_TYPES = (torch.int64, torch.int32)


class ResidualMixer(nn.Module):
    """x + dropout(mixer(norm(x))), the norm scaled and shifted by the diffusion time if time_conditioning is set.

    Every mixer finds 0 at positions of PAD, and gets the places of PAD and what layers share if its forward names them.
    """

    def __init__(self, config: BackboneConfig, mixer: Mixer) -> None:
        super().__init__()
        self.norm = make_norm(config, config.width)
        self.mixer = mixer
        self.takes = given_beside_x(mixer)
        self.dropout = nn.Dropout(config.dropout)
        self.modulation = nn.Linear(TIME_FEATURES, 2 * config.width) if config.time_conditioning else None
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def forward(
        self,
        x_BLD: torch.Tensor,
        time_BT: torch.Tensor | None,
        pad_BL: torch.Tensor | None = None,
        shared: dict[Any, Any] | None = None,
    ) -> torch.Tensor:
        """(B, L, D) -> (B, L, D); pad_BL: true at positions of PAD, None where there are none; shared: see `Mixer`."""
        normed = self.norm(x_BLD)
        if self.modulation is not None and time_BT is not None:
            scale, shift = self.modulation(time_BT)[:, None].chunk(2, dim=-1)  # B T -> B 1 2D -> B 1 D, B 1 D
            normed = normed * (1 + scale) + shift
        beside = {"pad_BL": pad_BL, "shared": shared}
        mixed = self.mixer(without_pad(normed, pad_BL), **{name: beside[name] for name in self.takes})
        if mixed.shape != x_BLD.shape:
            given, wanted = tuple(mixed.shape), tuple(x_BLD.shape)
            raise BackboneError(
                f"mixer [{self.mixer.name}] returned shape {given} for {wanted}; it must keep the shape"
            )
        return x_BLD + self.dropout(mixed)

    def extend(self, x_BLD: torch.Tensor, state: State | None, call: Call) -> Extended:
        """`Mixer.extend` with norm and residual around it."""
        mixed, after = self.mixer.extend(without_pad(self.norm(x_BLD), call.pad_BL), state, call)
        return x_BLD + self.dropout(mixed), after

    def two_stream(self, noisy_BLD: torch.Tensor, clean_BLD: torch.Tensor, block: int, call: Call) -> Streams:
        """`Mixer.two_stream` with norm and residual around it."""
        noisy, clean = (without_pad(self.norm(x), call.pad_BL) for x in (noisy_BLD, clean_BLD))
        noisy, clean = self.mixer.two_stream(noisy, clean, block, call)
        return noisy_BLD + self.dropout(noisy), clean_BLD + self.dropout(clean)

    def flops(self, length: int) -> FlopCount:
        """The mixer's at `length` positions, and the projection of the time where it is conditioned on."""
        modulation = 4.0 * TIME_FEATURES * self.mixer.width if self.modulation is not None else 0.0
        return self.mixer.flops(length) + FlopCount(matmul=modulation)


class Backbone(nn.Module):
    """A denoiser: token ids (B, L) -> logits (B, L, V) in float32, or in float64 where its weights are.

    name: shown in errors; the arm's name where it has one. L must be a multiple of the stride: padding here would
    give the mixers positions without music, and arms would treat them differently, so other lengths are refused;
    the caller cuts windows to fit. With `pad_id` the logits of a position do not depend on how many positions of
    PAD follow: the embedding of PAD is 0, mixers read 0 there, attention does not attend there and no recurrence or
    convolution carries anything out of there. What is returned at PAD means nothing.
    """

    def __init__(self, config: BackboneConfig, name: str = "") -> None:
        super().__init__()
        self.config = config
        self.name = name or config.pattern
        sizes = {key: getattr(config, key) for key in ("head_width", "state", "expand", "hidden")}
        self.compress = Compress(config)
        self.layers = nn.ModuleList(
            ResidualMixer(config, make_mixer(slot, config.width, sizes)) for slot in config.blocks.slots
        )
        self.norm = make_norm(config, config.width)
        self.expand = Expand(config)
        self.time = TimeFeatures() if config.time_conditioning else None
        self._ids_seen_on: set[str] = set()
        self._scale_residual_outputs()

    def _scale_residual_outputs(self) -> None:
        """Divide the weights that write into the residual by sqrt(layers), so depth does not set its size (GPT-2)."""
        with torch.no_grad():
            for parameter in self.parameters():
                if getattr(parameter, "_residual_output", False):
                    parameter.div_(math.sqrt(len(self.layers)))

    def forward(self, tokens_BL: torch.Tensor, time_B: torch.Tensor | None = None) -> torch.Tensor:
        """Logits (B, L, V) of token ids (B, L); `time_B` in 0..1 is read by time-conditioned backbones only.

        Raises BackboneError for another shape or type, an empty batch, a length the stride does not divide, and
        ids outside 0..V-1 (checked at each call on a CPU, at the first call on a GPU, where a check waits for the
        device).
        """
        self._check_tokens(tokens_BL)
        time_BT = None
        if self.time is not None:
            time_BT = self.time(self._time_of(tokens_BL) if time_B is None else time_B)  # B -> B T
        pad_BL = pad_positions(tokens_BL, self.config.pad_id, self.config.stride)
        x = self.compress(tokens_BL, None if pad_BL is None else tokens_BL == self.config.pad_id)  # B L -> B L/stride D
        shared: dict[Any, Any] = {}
        for layer in self.layers:
            if self.config.checkpoint_blocks and self.training and torch.is_grad_enabled():
                x = checkpoint(layer, x, time_BT, pad_BL, shared, use_reentrant=False)
            else:
                x = layer(x, time_BT, pad_BL, shared)
        x = without_pad(self.norm(x), pad_BL)
        return self.expand(x, self.compress.embedding.weight)  # B L/stride D -> B L V

    def extend(
        self, tokens_BL: torch.Tensor, state: BackboneState | None = None, *, head: bool = True, keep: bool = True
    ) -> tuple[torch.Tensor | None, BackboneState | None]:
        """Logits (B, L, V) of the tokens that follow those of `state` (None: there are none), and the state after them.

        The logits equal those of `forward` over all tokens where every mixer is causal; a bidirectional mixer sees all
        tokens of this call, and of those before it what the state carries. `state` is left as it was, so a caller may
        drop the new one. head: False leaves the logits out (None); keep: False leaves the new state out (None).
        Raises BackboneError as `forward` does, for a batch or a length that does not fit the state, and for a backbone
        that does not extend (see `check_extends`).
        """
        self.check_extends()
        past = 0 if state is None else state.tokens
        self._check_tokens(tokens_BL, past)
        if state is not None and tokens_BL.shape[0] != state.batch:
            raise BackboneError(f"backbone {self.name}: {tokens_BL.shape[0]} rows behind a state of {state.batch}")
        pad_BL = pad_positions(tokens_BL, self.config.pad_id, self.config.stride)
        x = self.compress(
            tokens_BL, None if pad_BL is None else tokens_BL == self.config.pad_id, past // self.config.stride
        )
        call = Call(pad_BL, keep, {})
        given = state.layers if state is not None else (None,) * len(self.layers)
        layers = []
        for layer, before in zip(self.residual_mixers(), given, strict=True):
            x, after = layer.extend(x, before, call)
            layers.append(after)
        logits = None
        if head:
            logits = self.expand(without_pad(self.norm(x), pad_BL), self.compress.embedding.weight)
        if not keep:
            return logits, None
        return logits, BackboneState(past + tokens_BL.shape[1], tokens_BL.shape[0], tuple(layers))

    def two_stream(self, noisy_BL: torch.Tensor, clean_BL: torch.Tensor, block: int) -> torch.Tensor:
        """Logits (B, L, V) of noisy blocks of `block` tokens, each behind the clean blocks before it: what one call of
        `extend` a block gives, from one call. PAD stands at the same places of both.

        Raises BackboneError as `extend` does, and for a block that the stride or that does not divide the length.
        """
        self.check_extends()
        self.check_block(block, clean_BL.shape[1])
        for tokens_BL in (noisy_BL, clean_BL):
            self._check_tokens(tokens_BL)
        pad_BL = pad_positions(clean_BL, self.config.pad_id, self.config.stride)
        noisy, clean = (
            self.compress(tokens_BL, None if pad_BL is None else tokens_BL == self.config.pad_id)
            for tokens_BL in (noisy_BL, clean_BL)
        )
        call = Call(pad_BL, shared={})
        positions = block // self.config.stride
        for layer in self.residual_mixers():
            if self.config.checkpoint_blocks and self.training and torch.is_grad_enabled():
                noisy, clean = checkpoint(layer.two_stream, noisy, clean, positions, call, use_reentrant=False)
            else:
                noisy, clean = layer.two_stream(noisy, clean, positions, call)
        return self.expand(without_pad(self.norm(noisy), pad_BL), self.compress.embedding.weight)

    def check_extends(self) -> None:
        """Raise BackboneError unless tokens can follow others from a state of finite size."""
        config = self.config
        if config.time_conditioning:
            raise BackboneError(
                f"backbone {self.name}: time_conditioning has one time a row, blocks have one each; allowed: false"
            )
        if config.stem_kernel > config.stride:
            raise BackboneError(
                f"backbone {self.name}: kernel {config.stem_kernel} of the stem reads tokens of later blocks; "
                f"allowed: the stride, {config.stride}"
            )
        for mixer in self.mixers():
            if not mixer.extends:
                raise BackboneError(
                    f"backbone {self.name}: mixer [{mixer.name}] has no finite state that later tokens could start from"
                )

    def check_block(self, block: int, length: int | None = None) -> None:
        """Raise BackboneError unless sequences, of `length` tokens where it is given, can be cut into such blocks."""
        if block < 1 or block % self.config.stride:
            raise BackboneError(f"backbone {self.name}: block {block} is not a multiple of stride {self.config.stride}")
        if length is not None and length % block:
            raise BackboneError(f"backbone {self.name}: length {length} is not a multiple of block {block}")

    def state_size(self, tokens: int) -> int:
        """Floats a sequence that `extend` keeps after so many tokens."""
        self.check_extends()
        return sum(mixer.state_size(tokens // self.config.stride) for mixer in self.mixers())

    def extend_flops(self, past: int, length: int, *, head: bool = True) -> FlopCount:
        """Operations of one call of `extend` over one sequence: `length` tokens behind `past`."""
        self.check_extends()
        self.check_length(length, past)
        count = self.compress.flops(length) + (self.expand.flops(length) if head else FlopCount())
        stride = self.config.stride
        return sum((mixer.extend_flops(past // stride, length // stride) for mixer in self.mixers()), count)

    def two_stream_flops(self, length: int, block: int) -> FlopCount:
        """Operations of one call of `two_stream` over one sequence of `length` tokens, both streams."""
        self.check_extends()
        self.check_length(length)
        self.check_block(block, length)
        stem, stride = self.compress.flops(length), self.config.stride
        ends = stem + stem + self.expand.flops(length)
        return sum((mixer.two_stream_flops(length // stride, block // stride) for mixer in self.mixers()), ends)

    def _time_of(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        """The share of masked tokens but for PAD (B,): the time of an absorbing process with the linear schedule."""
        if self.config.mask_id is None:
            raise BackboneError(f"backbone {self.name}: time_conditioning needs mask_id, or a time at each call")
        return masked_share(tokens_BL, self.config.mask_id, self.config.pad_id)

    def _check_tokens(self, tokens_BL: torch.Tensor, past: int = 0) -> None:
        if tokens_BL.dim() != 2 or tokens_BL.dtype not in TOKEN_TYPES:
            shown = f"{tuple(tokens_BL.shape)} {tokens_BL.dtype}"
            raise BackboneError(f"backbone {self.name}: tokens must be (batch, length) int64, not {shown}")
        self.check_length(tokens_BL.shape[1], past)
        if tokens_BL.shape[0] == 0:
            raise BackboneError(f"backbone {self.name}: the batch is empty")
        if torch.compiler.is_compiling() or tokens_BL.is_meta:
            return
        device = str(tokens_BL.device)
        if tokens_BL.device.type != "cpu" and device in self._ids_seen_on:
            return
        low, high = (int(value) for value in tokens_BL.aminmax())
        if low < 0 or high >= self.config.vocab_size:
            allowed = f"0..{self.config.vocab_size - 1}"
            raise BackboneError(f"backbone {self.name}: token id {low if low < 0 else high} is outside {allowed}")
        self._ids_seen_on.add(device)

    def check_length(self, length: int, past: int = 0) -> None:
        """Raise BackboneError unless sequences of `length` tokens can run, behind `past` others."""
        config = self.config
        if length < 1 or length % config.stride:
            raise BackboneError(f"backbone {self.name}: length {length} is not a multiple of stride {config.stride}")
        if config.positions == "learned" and past + length > config.max_length:
            raise BackboneError(f"backbone {self.name}: length {past + length} is over max_length {config.max_length}")

    def check_device(self, device: torch.device) -> None:
        """Raise MixerError where a mixer cannot run there."""
        for mixer in self.mixers():
            mixer.check_device(device)

    def residual_mixers(self) -> list[ResidualMixer]:
        """The layers between the stem's two ends, in order."""
        return [layer for layer in self.layers if isinstance(layer, ResidualMixer)]

    def mixers(self) -> list[Mixer]:
        """The mixers in order."""
        return [layer.mixer for layer in self.residual_mixers()]

    def flops(self, length: int) -> FlopCount:
        """Operations of one forward pass over one sequence of `length` tokens, from formulas, without running."""
        self.check_length(length)
        count = self.compress.flops(length) + self.expand.flops(length)
        if self.time is not None:
            count = count + self.time.flops()
        for layer in self.residual_mixers():
            count = count + layer.flops(length // self.config.stride)
        return count

    @property
    def uncounted(self) -> str:
        """Why `flops` is NaN; "" where it is not."""
        return next((f"[{mixer.name}]: {mixer.uncounted}" for mixer in self.mixers() if mixer.uncounted), "")

    @property
    def direction(self) -> str:
        """Which way the recurrent mixers read: "Mamba forward", "Mamba bidirectional (split)", ..., or "no Mamba"."""
        seen = {f"{mixer.title} {_reading(mixer)}": None for mixer in self.mixers() if mixer.title}
        return ", ".join(seen) or "no Mamba"

    def kernels(self, device: torch.device | str | None = None) -> dict[str, str]:
        """Which implementation each operator will use on `device` (default: where the weights lie)."""
        place = torch.device(device) if device is not None else self.compress.embedding.weight.device
        found: dict[str, str] = {}
        for mixer in self.mixers():
            found.update(mixer.kernels(place))
        return found


def _reading(mixer: Mixer) -> str:
    """A mixer's direction, and how it is made where it is bidirectional."""
    made = f" ({mixer.form})" if mixer.direction == "bidirectional" and mixer.form else ""
    return f"{mixer.direction}{made}"
