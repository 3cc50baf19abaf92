"""A Markov chain whose every conditional is known: the perfect denoiser."""

from __future__ import annotations

import itertools
import math
from functools import cached_property

import numpy as np
import pytest
import torch

from architectures.state import State


class Chain:
    """States 0..V-1, MASK = V, PAD = V + 1; uniform start, stays with probability 1 - flip, else moves uniformly."""

    def __init__(self, states: int, length: int, flip: float) -> None:
        self.states, self.length, self.flip = states, length, flip
        self.mask_id, self.pad_id = states, states + 1
        self.sequences = torch.tensor(list(itertools.product(range(states), repeat=length)))
        stays = (self.sequences[:, 1:] == self.sequences[:, :-1]).double()
        move = flip / (states - 1)
        self.probabilities = (stays * (1 - flip) + (1 - stays) * move).prod(dim=1) / states
        self.one_hot = torch.nn.functional.one_hot(self.sequences, states + 2).double()  # S L V

    def denoise(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        """log p(x_i | the visible tokens), exactly, as logits; MASK and PAD get some that must not matter."""
        hidden_BL = (tokens_BL == self.mask_id) | (tokens_BL == self.pad_id)
        known = (tokens_BL[:, None] == self.sequences) | hidden_BL[:, None]  # B S L
        weights_BS = known.all(dim=2).double() * self.probabilities
        marginal = torch.einsum("bs,slv->blv", weights_BS, self.one_hot) / weights_BS.sum(dim=1)[:, None, None]
        logits = marginal.log()
        logits[..., self.mask_id] = 3.0
        logits[..., self.pad_id] = 2.0
        return logits

    @cached_property
    def partial_states(self) -> torch.Tensor:
        """Every sequence of states and MASK, (states + 1)^length rows, in the order of `index`."""
        return torch.tensor(list(itertools.product(range(self.states + 1), repeat=self.length)))

    @cached_property
    def _table(self) -> torch.Tensor:
        return self.denoise(self.partial_states)

    def index(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        """Row of `partial_states`."""
        return tokens_BL @ ((self.states + 1) ** torch.arange(self.length - 1, -1, -1))

    def denoise_fast(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        """`denoise`, looked up: for many rows."""
        return self._table[self.index(tokens_BL)]

    def counts(self, tokens_BL: torch.Tensor) -> np.ndarray:
        """How often each of `sequences` is among the rows."""
        index = tokens_BL.numpy() @ (self.states ** np.arange(self.length)[::-1])
        return np.bincount(index, minlength=len(self.sequences))

    def draw(self, count: int, seed: int = 0) -> np.ndarray:
        """`count` sequences of the chain (count, length)."""
        rows = np.random.default_rng(seed).choice(len(self.sequences), size=count, p=self.probabilities.numpy())
        return self.sequences.numpy()[rows]

    def bits(self, windows: np.ndarray) -> float:
        """Exact -log2 p of the windows, a token."""
        row = np.asarray(windows) @ (self.states ** np.arange(self.length)[::-1])
        return float(-np.log2(self.probabilities.numpy()[row]).sum() / windows.size)

    @property
    def flip_bits(self) -> float:
        """Entropy of one move of a two-state chain."""
        return -(self.flip * math.log2(self.flip) + (1 - self.flip) * math.log2(1 - self.flip))


@pytest.fixture(scope="session")
def chain():
    """Makes a Chain."""
    made: dict = {}

    def make(states: int = 2, length: int = 8, flip: float = 0.1) -> Chain:
        key = (states, length, flip)
        if key not in made:
            made[key] = Chain(*key)
        return made[key]

    return make


class TwoStreams(torch.nn.Module):
    """A tiny network of both streams: each token sees its own noisy block whole, and a sum over the clean tokens before
    it. States 0..V-1, MASK = V, PAD = V + 1, whose embedding is 0."""

    def __init__(self, states: int, longest: int = 8, width: int = 6, seed: int = 0) -> None:
        super().__init__()
        self.mask_id, self.pad_id = states, states + 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embed = torch.nn.Embedding(states + 2, width, padding_idx=self.pad_id)
            self.mix = torch.nn.Parameter(torch.randn(longest, longest))
            self.head = torch.nn.Linear(width, states + 2)
        self.calls = 0

    def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        return self.two_stream(tokens_BL, tokens_BL, tokens_BL.shape[1])

    def two_stream(self, noisy_BL: torch.Tensor, clean_BL: torch.Tensor, block: int) -> torch.Tensor:
        self.calls += 1
        clean_BNbD, noisy_BNbD = (self.embed(one.unflatten(1, (-1, block))) for one in (clean_BL, noisy_BL))
        sums_BND = clean_BNbD.sum(dim=2)
        return self._logits(noisy_BNbD, (sums_BND.cumsum(dim=1) - sums_BND)[:, :, None]).flatten(1, 2)

    def extend(
        self, tokens_BL: torch.Tensor, state: State | None = None, *, head: bool = True, keep: bool = True
    ) -> tuple[torch.Tensor | None, State | None]:
        inside_BLD = self.embed(tokens_BL)
        before_BD = torch.zeros_like(inside_BLD[:, 0]) if state is None else state.tensors[0]
        logits_BLV = self._logits(inside_BLD, before_BD[:, None]) if head else None
        return logits_BLV, State(0, (before_BD + inside_BLD.sum(dim=1),)) if keep else None

    def _logits(self, inside_D: torch.Tensor, before_D: torch.Tensor) -> torch.Tensor:
        size = inside_D.shape[-2]
        return 2 * self.head(torch.tanh(self.mix[:size, :size] @ inside_D + before_D))


@pytest.fixture
def two_streams():
    """Makes a TwoStreams."""
    return TwoStreams
