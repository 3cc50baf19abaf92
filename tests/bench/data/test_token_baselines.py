"""Baselines and entropies, worked out by hand."""

from math import log2
from pathlib import Path

import numpy as np
import pytest

from bench.data import TokenBaselines, TokenCorpus, TokenizerSettings
from bench.data.card import entropies
from bench.data.pieces import Corpus, Piece

WORDS = ["PAD_None", "BOS_None", "EOS_None", "MASK_None", "Bar_None", "Pitch_1", "Pitch_2"]


def tiny(folder: Path, train: list[int], test: list[int]) -> TokenCorpus:
    pieces = (Piece(folder, "a", "", "train"), Piece(folder, "b", "", "test"))
    return TokenCorpus(
        corpus=Corpus("tiny", list(pieces), [], "", ""),
        settings=TokenizerSettings(),
        vocabulary=WORDS,
        all_tokens=np.array(train + test, dtype=np.uint16),
        offsets=np.array([0, len(train), len(train) + len(test)]),
        pieces_in_order=pieces,
        skipped=[],
        fingerprint="tiny",
        folder=folder,
    )


def test_baselines_by_hand(tmp_path: Path) -> None:
    bits = TokenBaselines(tiny(tmp_path, [4, 5, 4, 5], [4, 5]), 4).bits()
    # outcomes: EOS, Bar, Pitch_1, Pitch_2. Train: Bar and Pitch_1 twice each, so (2 + 1) / (4 + 4)
    assert bits["unigram"] == pytest.approx(log2(8 / 3))
    # start -> Bar (1 + 1) / (1 + 4), Bar -> Pitch_1 (2 + 1) / (2 + 4)
    assert bits["bigram"] == pytest.approx((log2(5 / 2) + log2(2)) / 2)
    # types EOS, Bar, Pitch: start -> Bar 2/4, Bar -> Pitch 3/5; within Pitch (2 + 1) / (2 + 2), within Bar 1
    assert bits["grammar"] == pytest.approx((log2(2) + log2(5 / 3) + log2(4 / 3)) / 2)


def test_windows_can_be_chosen(tmp_path: Path) -> None:
    corpus = tiny(tmp_path, [4, 5, 4, 5], [4, 5, 4, 6, 4])  # windows of 4: the second is Bar and PAD
    rows = corpus.windows("test", 4)
    assert rows.count.tolist() == [4, 1]
    assert TokenBaselines(corpus, 4).bits("test", rows.count < 4)["unigram"] == pytest.approx(log2(8 / 3))
    assert TokenBaselines(corpus, 4).bits("test", rows.count == 4)["unigram"] == pytest.approx(
        (3 * log2(8 / 3) + log2(8)) / 4
    )


def test_padding_costs_nothing(tmp_path: Path) -> None:
    corpus = tiny(tmp_path, [4, 5, 4, 5], [4, 5])
    assert TokenBaselines(corpus, 4).bits() == pytest.approx(TokenBaselines(corpus, 16).bits())


@pytest.mark.parametrize(("side", "bits"), [("test", (5.447, 3.666, 3.769)), ("validation", (5.302, 3.534, 3.634))])
def test_the_bigram_of_the_lieder_costs_less_than_the_grammar(
    lieder: TokenCorpus, side: str, bits: tuple[float, float, float]
) -> None:
    found = TokenBaselines(lieder, 512).bits(side)
    assert (found["unigram"], found["bigram"], found["grammar"]) == pytest.approx(bits, abs=0.001)


def test_entropies_by_hand() -> None:
    # two pieces: 4 5 4 5 | 4 6. Unigram 1/2, 1/3, 1/6; pairs 45 45 54 | 46 do not cross
    unigram, bigram = entropies(np.array([4, 5, 4, 5, 4, 6]), np.array([0, 4, 6]), 7)
    assert unigram == pytest.approx(0.5 * log2(2) + log2(3) / 3 + log2(6) / 6)
    assert bigram == pytest.approx(0.75 * (2 / 3 * log2(1.5) + 1 / 3 * log2(3)))
    assert np.isnan(entropies(np.array([], dtype=int), np.array([0]), 7)).all()
