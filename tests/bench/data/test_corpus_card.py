"""The card of a corpus, on ten scales whose every figure can be counted by hand."""

from pathlib import Path

import pytest

from bench.data import TokenCorpus
from bench.data.card import CorpusCard, Spread, corpus_card, draw_card
from bench.errors import UserError


@pytest.fixture(scope="module")
def card(scales: TokenCorpus) -> CorpusCard:
    return corpus_card(scales, lengths=(64, 256))


def test_counts_by_hand(card: CorpusCard) -> None:
    # piece i has 8 + i bars of four quarter notes; a bar has 1 + 4 * 4 tokens
    assert card.pieces == {"train": 8, "validation": 1, "test": 1}
    assert card.notes == Spread(total=4 * 125, minimum=32, median=50.0, maximum=68)
    assert card.quarters == Spread(total=4 * 125, minimum=32, median=50.0, maximum=68)
    assert card.tokens == Spread(total=17 * 125, minimum=17 * 8, median=17 * 12.5, maximum=17 * 17)
    assert card.vocabulary == 222
    assert card.pitch_range == (50, 66)
    assert card.sounding_density == pytest.approx(1.0)
    assert card.onset_density == pytest.approx(1.0)
    assert card.type_shares == pytest.approx(
        {"Bar": 1 / 17, "Pitch": 4 / 17, "Velocity": 4 / 17, "Duration": 4 / 17, "Position": 4 / 17}
    )


def test_windows_are_those_that_the_corpus_gives(card: CorpusCard, scales: TokenCorpus) -> None:
    assert card.windows[64] == tuple(len(scales.windows(split, 64)) for split in ("train", "validation", "test"))
    assert sum(card.windows[256]) == 10 + 2  # 256 tokens are 15 bars; two pieces have more


def test_the_markdown_is_one_table(card: CorpusCard) -> None:
    lines = card.as_markdown().splitlines()
    assert lines[1] == "| --- | --- |"
    assert all(line.startswith("| ") and line.count("|") == 3 for line in lines)
    assert "| tokens (min / median / max) | 2,125 (136 / 212 / 289) |" in lines


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_figure_is_written(card: CorpusCard, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"card{suffix}"
    draw_card(card, path)
    data = path.read_bytes()
    assert data[1:4] == b"PNG" if suffix == ".png" else b"<svg" in data


def test_a_figure_needs_a_known_ending(card: CorpusCard, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a figure ends in \.png, \.svg, \.pdf"):
        draw_card(card, tmp_path / "card.txt")
