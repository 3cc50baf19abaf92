"""A Markov chain whose every conditional is known: the perfect denoiser."""

from __future__ import annotations

import itertools
import math
from functools import cached_property

import numpy as np
import pytest
import torch


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
