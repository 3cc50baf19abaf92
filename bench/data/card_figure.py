"""The card of a corpus as a figure: tokens a piece, pitches, token types."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.data.cache import writing_to
from bench.data.card import CorpusCard
from bench.errors import UserError

SUFFIXES = (".png", ".svg", ".pdf")


def check_suffix(path: Path) -> None:
    """UserError unless a figure can be written under this name."""
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{path}: a figure ends in {', '.join(SUFFIXES)}")


def draw_card(card: CorpusCard, path: Path) -> None:
    """Write the figure as .png, .svg or .pdf: left how long pieces are, middle which pitches, right which tokens."""
    check_suffix(path)
    import matplotlib

    matplotlib.use("Agg")
    import seaborn as sns
    from matplotlib.figure import Figure

    with sns.axes_style("whitegrid"):
        figure = Figure(figsize=(12, 3.4), layout="constrained")
        lengths, pitches, types = figure.subplots(1, 3)
    colour = sns.color_palette("deep")[0]
    sizes = card.tokens_per_piece
    edges = np.geomspace(max(1, sizes.min()), sizes.max() + 1, 30) if sizes.max() > sizes.min() else 10
    lengths.hist(sizes, bins=edges, color=colour)
    lengths.set_xscale("log")
    lengths.set(
        xlabel="tokens a piece (dashed: window lengths)",
        ylabel="pieces",
        title=f"median {card.tokens.median:,.0f} tokens",
    )
    for length in card.windows:
        lengths.axvline(length, color="0.35", linewidth=0.8, linestyle="--")
    pitches.bar(np.arange(128), card.pitch_counts / card.pitch_counts.sum(), width=1.0, color=colour)
    low, _, high = card.pitch_percentiles
    for pitch in (low, high):
        pitches.axvline(pitch, color="0.35", linewidth=0.8, linestyle="--")
    pitches.set(
        xlim=(15, 115),
        xlabel="MIDI pitch (dashed: 0.5, 99.5 %)",
        ylabel="share of notes",
        title=f"99 % within {low} .. {high}",
    )
    types.barh(list(card.type_shares), list(card.type_shares.values()), color=colour)
    types.invert_yaxis()
    types.set(
        xlabel="share of tokens", title=f"unigram {card.unigram_entropy:.2f}, bigram {card.bigram_entropy:.2f} bits"
    )
    figure.suptitle(f"{card.name}: {sum(card.pieces.values()):,} pieces, {card.notes.total:,} notes")
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)
