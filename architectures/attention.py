"""A, multi-head attention: every position sees every other, at a cost that grows with the square of the length."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import nn

from architectures.attention_kernels import attend, implementation, windowed_by_package
from architectures.mixer import (
    EIGHT,
    FlopCount,
    Mixer,
    nearest_multiple,
    type_of_products,
    without_decay,
    writes_residual,
)
from architectures.padding import without_pad
from architectures.registry import register_mixer
from architectures.rotary import rotary_table, rotate_both
from architectures.short_convolution import short_convolution
from architectures.state import PLAIN, Call, Extended, State, Streams, positions_before
from architectures.window import window_mask, windowed_attention, within

Positions = Literal["rope", "learned", "none"]
POSITION_INIT_STD = 0.02
HEAD_MULTIPLE = 4  # fused attention needs it


def split_heads(width: int, head_width: int) -> tuple[int, int]:
    """Heads, and features per head, for a width: heads of `head_width` features in the number nearest to the width; a
    narrower width has one head, of the nearest multiple of 8 features (of 4, where `head_width` is none of 8).

    Kernels for GPUs pad heads of 60 features to 64, so all heads together may have up to half a head more or fewer than
    the width: (256, 32) gives 8 heads of 32, and so does (248, 32), a width that matching may choose.
    """
    if head_width < HEAD_MULTIPLE or head_width % HEAD_MULTIPLE:
        raise ValueError(f"head_width={head_width}; must be a multiple of {HEAD_MULTIPLE}")
    if width < head_width:
        return 1, nearest_multiple(width, HEAD_MULTIPLE if head_width % EIGHT else EIGHT)
    return round(width / head_width), head_width


@register_mixer("A", name="attention")
class Attention(Mixer):
    """softmax(Q K^T / sqrt(head_width)) V over `heads` heads (Vaswani et al. 2017, arXiv 1706.03762, eq. 1).

    (B, L, D) -> (B, L, D), through torch's scaled_dot_product_attention. head_width: features wanted per
    head, see `split_heads`. positions: `rope` rotates queries and keys (Su et al. 2021), `learned` adds a trained
    vector to the input at each of up to max_positions positions, `none` adds nothing. window: positions seen on
    either side (on the left only when causal); 0 is all. A position here is `stride` tokens. conv: positions of a
    short convolution of queries, keys and values before their rotation (see `ShortConvolution`); 0 is none.
    """

    words = {"causal": ("causal", True), **{word: ("positions", word) for word in ("rope", "learned")}}  # noqa: RUF012

    def __init__(
        self,
        width: int,
        *,
        head_width: int = 32,
        positions: Positions = "rope",
        max_positions: int = 2048,
        window: int = 0,
        causal: bool = False,
        conv: int = 0,
    ) -> None:
        super().__init__(width)
        if positions not in get_args(Positions):
            raise ValueError(f"positions={positions!r}; allowed: {', '.join(get_args(Positions))}")
        if window < 0 or max_positions < 1:
            raise ValueError(f"window={window}, max_positions={max_positions}; at least 0 and 1")
        self.positions, self.window, self.causal = positions, window, causal
        self.direction = "forward" if causal else "bidirectional"
        self.heads, self.head_width = split_heads(width, head_width)
        self.inner = self.heads * self.head_width
        table = torch.empty(max_positions, width) if positions == "learned" else None
        self.position = nn.Parameter(nn.init.normal_(table, std=POSITION_INIT_STD)) if table is not None else None
        if self.position is not None:
            without_decay(self.position)
        self.inward = nn.Linear(width, 3 * self.inner, bias=False)
        self.outward = writes_residual(nn.Linear(self.inner, width, bias=False))
        self.short = short_convolution(3 * self.inner, conv, causal=causal)

    def forward(
        self, x_BLD: torch.Tensor, pad_BL: torch.Tensor | None = None, shared: dict[Any, Any] | None = None
    ) -> torch.Tensor:
        """(B, L, D) -> (B, L, D); no position attends to another where pad_BL is true. The rotary table is that of
        `shared` where another layer has made it. Raises ValueError for more positions than a learned table has."""
        qkv = self.projected(x_BLD, 0, pad_BL)
        query, key, value = self.heads_of(qkv if self.short is None else self.short(qkv), 0, shared)
        return self.joined(self.attended(query, key, value, pad_BL))

    def projected(self, x_BLD: torch.Tensor, past: int, pad_BL: torch.Tensor | None) -> torch.Tensor:
        """Queries, keys and values (B, L, 3HK) of positions behind `past` others."""
        if self.position is not None:
            reached = past + x_BLD.shape[1]
            if reached > len(self.position):
                raise ValueError(f"attention: {reached} positions, but max_positions={len(self.position)}")
            x_BLD = x_BLD + self.position[past:reached]
        qkv = self.inward(x_BLD)
        return qkv if self.short is None else without_pad(qkv, pad_BL)  # not carried to other positions

    def heads_of(self, qkv_BLC: torch.Tensor, past: int, shared: dict[Any, Any] | None) -> tuple[torch.Tensor, ...]:
        """Query, key and value (B, H, L, K), rotated where positions are rotary."""
        batch, length, _ = qkv_BLC.shape
        qkv = qkv_BLC.view(batch, length, 3, self.heads, self.head_width)  # B L 3HK -> B L 3 H K
        both, value = qkv.permute(2, 0, 3, 1, 4).split((2, 1))  # B L 3 H K -> 2 B H L K, 1 B H L K
        if self.positions == "rope":
            name = ("rotary", past, length, self.head_width, both.dtype)
            shared = {} if shared is None else shared
            if name not in shared:
                shared[name] = rotary_table(both, past)
            return *rotate_both(both, shared[name]), *value.unbind()
        return *both.unbind(), *value.unbind()

    def attended(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, pad_BL: torch.Tensor | None
    ) -> torch.Tensor:
        """Attention among the positions of a whole sequence: (B, H, L, K)."""
        if self.window:
            return self.windowed(query, key, value, pad_BL)
        if pad_BL is None:
            return attend(query, key, value, causal=self.causal)
        return attend(query, key, value, mask=self.seen(query.shape[2], pad_BL), padded=True)

    def joined(self, mixed_BHLK: torch.Tensor) -> torch.Tensor:
        """The heads side by side, projected outward: (B, L, D)."""
        return self.outward(mixed_BHLK.transpose(1, 2).flatten(2))  # B H L K -> B L HK -> B L D

    def extend(self, x_BLD: torch.Tensor, state: State | None = None, call: Call = PLAIN) -> Extended:
        """As in `Mixer`; the state holds keys, rotated, and values, of all positions or of as many as the window
        reaches back, and the tail of a short convolution."""
        past, length, pad_BL = positions_before(state), x_BLD.shape[1], call.pad_BL
        qkv = self.projected(x_BLD, past, pad_BL)
        tails: tuple[torch.Tensor, ...] = ()
        if self.short is not None:
            qkv, tail = self.short.extend(qkv, None if state is None else state.tensors[2])
            tails = (tail,)
        query, key, value = self.heads_of(qkv, past, call.shared)
        if state is None:
            mixed = self.attended(query, key, value, pad_BL)
        else:
            key, value = (torch.cat(pair, dim=2) for pair in zip(state.tensors[:2], (key, value), strict=True))
            pad_BL = self.pad_of_keys(state, pad_BL, x_BLD)
            mixed = attend(
                query, key, value, mask=self.seen_behind(past, length, key, pad_BL), padded=pad_BL is not None
            )
        kept = None
        if call.keep:
            cut = max(0, key.shape[2] - self.window) if self.window else 0
            pad = None if pad_BL is None else pad_BL[:, cut:]
            kept = State(past + length, (key[:, :, cut:].contiguous(), value[:, :, cut:].contiguous(), *tails), pad)
        return self.joined(mixed), kept

    @staticmethod
    def pad_of_keys(state: State, pad_BL: torch.Tensor | None, x_BLD: torch.Tensor) -> torch.Tensor | None:
        """True at keys of PAD, those of the state first; None where there are none."""
        if state.pad_BL is None and pad_BL is None:
            return None
        batch, length, _ = x_BLD.shape
        given = pad_BL if pad_BL is not None else torch.zeros(batch, length, dtype=torch.bool, device=x_BLD.device)
        before = state.pad_BL if state.pad_BL is not None else given.new_zeros(batch, state.tensors[0].shape[2])
        return torch.cat((before, given), dim=1)

    def seen_behind(
        self, past: int, length: int, key_BHLK: torch.Tensor, pad_BL: torch.Tensor | None
    ) -> torch.Tensor | None:
        """Mask of `length` queries behind `past` positions over keys that end where they do; None: all are seen."""
        if pad_BL is None and (length == 1 or not (self.causal or self.window)):
            return None
        to_place = torch.arange(past + length - key_BHLK.shape[2], past + length, device=key_BHLK.device)
        from_place = torch.arange(past, past + length, device=key_BHLK.device)
        distance = from_place[:, None] - to_place
        near = within(distance, self.window or past + length, self.causal)
        return near if pad_BL is None else ((near & ~pad_BL[:, None]) | (distance == 0))[:, None]  # -> B 1 L M

    def two_stream(self, noisy_BLD: torch.Tensor, clean_BLD: torch.Tensor, block: int, call: Call = PLAIN) -> Streams:
        """As in `Mixer`, in two calls: noisy queries see the clean blocks before their own and their own noisy block,
        clean queries the clean blocks up to their own."""
        length, device = clean_BLD.shape[1], clean_BLD.device
        shared: dict[Any, Any] = {} if call.shared is None else call.shared
        qkv = [self.projected(x, 0, call.pad_BL) for x in (noisy_BLD, clean_BLD)]
        if self.short is not None:
            qkv = list(self.short.two_stream(torch.cat(qkv), block).chunk(2))
        noisy, clean = (self.heads_of(one, 0, shared) for one in qkv)
        name = ("two streams", length, block, self.window, self.causal)
        if name not in shared:
            shared[name] = self.seen_in_streams(length, block, call.pad_BL, device)
        of_noisy, of_clean = shared[name]
        key, value = (torch.cat(pair, dim=2) for pair in zip(clean[1:], noisy[1:], strict=True))
        padded = call.pad_BL is not None
        outputs = (
            attend(noisy[0], key, value, mask=of_noisy, padded=padded),
            attend(*clean, mask=of_clean, padded=padded),
        )
        return self.joined(outputs[0]), self.joined(outputs[1])

    def seen_in_streams(
        self, length: int, block: int, pad_BL: torch.Tensor | None, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Masks of noisy queries over clean and noisy keys (L, 2L), and of clean queries over clean keys (L, L); with
        PAD of each row (B, 1, L, ...)."""
        place = torch.arange(length, device=device)
        near = window_mask(place, self.window or length, self.causal)
        blocks = place // block
        before, own = blocks[:, None] > blocks, blocks[:, None] == blocks
        of_noisy, of_clean = torch.cat((near & before, near & own), dim=1), near & (before | own)
        if pad_BL is None:
            return of_noisy, of_clean
        itself = place[:, None] == place  # no query is left without a key
        apart = torch.cat((torch.zeros_like(itself), itself), dim=1)
        real = ~pad_BL[:, None, None]  # B L -> B 1 1 L
        return (of_noisy & torch.cat((real, real), -1)) | apart, (of_clean & real) | itself

    def windowed(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, pad_BL: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Attention within the window, (B, H, L, K): by flash-attn, in chunks, or masked where chunks save nothing."""
        if pad_BL is None:
            mixed = windowed_by_package(query, key, value, self.window, causal=self.causal)
            if mixed is not None:
                return mixed
        length = query.shape[2]
        if self.chunks(length) > 1:
            return windowed_attention(query, key, value, self.window, causal=self.causal, pad_BL=pad_BL)
        if pad_BL is not None:
            return attend(query, key, value, mask=self.seen(length, pad_BL), padded=True)
        mask = window_mask(torch.arange(length, device=query.device), self.window, self.causal)
        return attend(query, key, value, mask=mask)

    def seen(self, length: int, pad_BL: torch.Tensor) -> torch.Tensor:
        """Mask (B, 1, 1 or L, L), true where a query attends to a key; no query is left without a key."""
        if not self.causal and not self.window:
            return (~pad_BL | pad_BL.all(dim=1, keepdim=True))[:, None, None]  # B L -> B 1 1 L
        place = torch.arange(length, device=pad_BL.device)
        near = window_mask(place, self.window or length, self.causal)
        return ((near & ~pad_BL[:, None]) | (place[:, None] == place))[:, None]  # B 1 L & L L -> B 1 L L

    def chunks(self, length: int) -> int:
        """Number of chunks of `window` positions that a sequence is cut into; 1 where chunks would save nothing."""
        span = 2 if self.causal else 3
        return -(-length // self.window) if self.window and length > span * self.window else 1

    def flops(self, length: int) -> FlopCount:
        """Four projections and the two products of scores and values, as executed: all length x length pairs (a
        mask saves nothing), or with a window every position against its own chunk and the chunks beside it."""
        pairs = length**2
        if (chunks := self.chunks(length)) > 1:
            pairs = chunks * self.window * self.window * (2 if self.causal else 3)
        return self.projections(length) + FlopCount(attention=4.0 * pairs * self.inner)

    def projections(self, length: int) -> FlopCount:
        """Four projections, and the short convolution."""
        convolution = self.short.flops(length) if self.short is not None else 0.0
        return FlopCount(matmul=8.0 * length * self.width * self.inner, convolution=convolution)

    def state_size(self, positions: int) -> int:
        """Keys and values, and the inputs of a short convolution."""
        kept = 2 * self.inner * (min(positions, self.window) if self.window else positions)
        return kept + (self.short.state_size if self.short is not None else 0)

    def extend_flops(self, past: int, length: int) -> FlopCount:
        """Four projections, and every new position against all keys that are kept and all new ones."""
        if not past:
            return self.flops(length)
        keys = (min(past, self.window) if self.window else past) + length
        return self.projections(length) + FlopCount(attention=4.0 * length * keys * self.inner)

    def two_stream_flops(self, length: int, block: int) -> FlopCount:
        """Four projections of both streams, and both calls over all pairs of their queries and keys."""
        return self.projections(2 * length) + FlopCount(attention=12.0 * length**2 * self.inner)

    def kernels(self, device: torch.device) -> dict[str, str]:
        """{"sdpa": the implementation that runs there}, for autocast's type where it is on."""
        if device.type == "meta":
            return {}
        dtype, mask = type_of_products(self.inward.weight, device), bool(self.window)
        name = implementation(device, dtype, self.heads, self.head_width, causal=self.causal, mask=mask)
        return {"sdpa": name + (f" window {self.window}" if self.window else "")}
