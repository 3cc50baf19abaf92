"""Drift of the masked bits/token: denoisers whose bits are known, and where tokens stand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bench.data import TokenCorpus, load_corpus, tokenize
from bench.measure.quality.music import SongWindows
from bench.measure.quality.token_drift import masked_bits, token_drift_row


@pytest.fixture(scope="module")
def tokens() -> TokenCorpus:
    return tokenize(load_corpus("demo/lieder"))


class Guess(torch.nn.Module):
    """Gives the token 3 a chance of 2^-bits at each place (B L) and shares the rest among the other 6 of 8 tokens."""

    def __init__(self, bits_L: list[float]) -> None:
        super().__init__()
        self.chance_L = 2.0 ** -torch.tensor(bits_L)

    def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        rest = ((1 - self.chance_L) / 6)[:, None].expand(-1, 8).clone()
        rest[:, 3] = self.chance_L
        return rest.log()[None].expand(len(tokens_BL), -1, -1)


def test_each_token_costs_what_the_denoiser_says():
    bits = [1.0, 2.0, 3.0, 0.5]
    found = masked_bits(Guess(bits), np.full((3, 4), 3), 7, seed=1)
    assert found.tolist() == [pytest.approx(bits, abs=1e-5)] * 3


def test_a_denoiser_that_knows_nothing_needs_the_same_bits_everywhere(tokens: TokenCorpus):
    size = tokens.vocab_size

    def nothing(masked_BL: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*masked_BL.shape, size)

    pieces = np.stack([piece[:1500] for piece in tokens.pieces("train") if len(piece) >= 1500][:4])
    assert masked_bits(nothing, pieces, tokens.mask_id)[0, 0] == pytest.approx(math.log2(size - 1))
    row = token_drift_row(nothing, tokens, pieces[:2], SongWindows(pieces[2:], ("a", "b")))
    assert (row["metric"], row["n"], row["unit"]) == ("drift_bits", 2, "bits/token")
    assert row["value"] == pytest.approx(0, abs=1e-5)
