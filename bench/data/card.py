"""The card of a corpus: the facts of a paper's data section, as values, Markdown or a figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.data.cache import writing_to
from bench.data.music import corpus_notes
from bench.data.pieces import SPLITS, Corpus
from bench.data.tokens import TokenCorpus
from bench.data.workers import ProgressCallback
from bench.errors import UserError
from bench.glyphs import plain_text, shortened

LENGTHS = (256, 512, 1024, 2048)
PERCENTILES = (0.5, 50.0, 99.5)
MOST_REASONS = 5
NAME_LETTERS = 60
FIGURE_SUFFIXES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Spread:
    """Total, smallest, median and largest of a count over pieces."""

    total: int
    minimum: int
    median: float
    maximum: int

    @classmethod
    def of(cls, counts: np.ndarray) -> Spread:
        """The spread of one count a piece; all zero for no pieces."""
        if len(counts) == 0:
            return cls(0, 0, 0.0, 0)
        return cls(int(counts.sum()), int(counts.min()), float(np.median(counts)), int(counts.max()))

    def __str__(self) -> str:
        return f"{self.total:,} ({self.minimum:,} / {self.median:,.0f} / {self.maximum:,})"


@dataclass(frozen=True)
class CorpusCard:
    """Facts of a tokenised corpus. Counts are of usable pieces; arrays are kept for the figure.

    entropies: unigram H(x) and bigram H(x | token before), bits/token, plug-in estimates over the whole corpus.
    pitch_percentiles: of all notes; 0.5 rounded down and 99.5 up to a pitch that occurs, as the outlier metric does.
    density: distinct pitches at once, pooled mean: sounding (weighted by time) and at onsets.
    windows: length -> (train, validation, test) windows, padded inside pieces and begun with bars.
    """

    name: str
    licence: str
    split_rule: str
    pieces: dict[str, int]
    notes: Spread
    quarters: Spread
    tokens: Spread
    vocabulary: int
    unigram_entropy: float
    bigram_entropy: float
    pitch_range: tuple[int, int]
    pitch_percentiles: tuple[int, float, int]
    sounding_density: float
    onset_density: float
    windows: dict[int, tuple[int, int, int]]
    skipped: dict[str, int]
    remarks: tuple[str, ...]
    fingerprint: str
    pitch_counts: np.ndarray
    tokens_per_piece: np.ndarray
    type_shares: dict[str, float]

    def rows(self) -> list[tuple[str, str]]:
        """(fact, value in words) from top to bottom."""
        total = sum(self.pieces.values())
        sides = " / ".join(f"{self.pieces[split]:,}" for split in SPLITS)
        low, middle, high = self.pitch_percentiles
        facts = [
            ("pieces (train / validation / test)", f"{total:,} ({sides})"),
            ("split", self.split_rule),
            ("notes (min / median / max a piece)", str(self.notes)),
            ("quarter notes (min / median / max)", str(self.quarters)),
            ("tokens (min / median / max)", str(self.tokens)),
            ("vocabulary", f"{self.vocabulary} tokens"),
        ]
        facts += [
            (f"windows of {length} (train / validation / test)", " / ".join(f"{count:,}" for count in counts))
            for length, counts in self.windows.items()
        ]
        facts += [
            ("entropy, unigram / bigram", f"{self.unigram_entropy:.2f} / {self.bigram_entropy:.2f} bits/token"),
            ("pitch range", f"{self.pitch_range[0]} .. {self.pitch_range[1]} (MIDI)"),
            ("pitch percentiles 0.5 / 50 / 99.5", f"{low} / {middle:g} / {high}"),
            ("chord density, sounding / at onsets", f"{self.sounding_density:.2f} / {self.onset_density:.2f} pitches"),
            ("skipped files", _reasons(self.skipped) or "none"),
            ("licence", self.licence),
            ("fingerprint", self.fingerprint),
        ]
        facts += [("remark", remark) for remark in self.remarks]
        return facts

    def as_markdown(self) -> str:
        """The card as a Markdown table under its name."""
        lines = [f"| **{self.name}** | |", "| --- | --- |"]
        lines += [f"| {fact} | {value.replace('|', '/')} |" for fact, value in self.rows()]
        return "\n".join(lines) + "\n"


def corpus_card(
    token_corpus: TokenCorpus,
    *,
    lengths: Sequence[int] = LENGTHS,
    progress: ProgressCallback | None = None,
) -> CorpusCard:
    """Count and measure a tokenised corpus; reads its notes once more for pitches and density."""
    from metrics import chord_density

    corpus: Corpus = token_corpus.corpus
    notes = corpus_notes(corpus, progress=progress)
    pitches = np.concatenate([piece.pitch for piece in notes]).astype(np.int64)
    sizes = np.diff(token_corpus.offsets)
    unigram, bigram = entropies(token_corpus.all_tokens, token_corpus.offsets, token_corpus.vocab_size)
    return CorpusCard(
        name=corpus.label,
        licence=corpus.licence,
        split_rule=corpus.split_rule,
        pieces={split: len(corpus.of_split(split)) for split in SPLITS},
        notes=Spread.of(np.array([len(piece) for piece in notes])),
        quarters=Spread.of(np.array([round(piece.end_beats) for piece in notes])),
        tokens=Spread.of(sizes),
        vocabulary=token_corpus.vocab_size,
        unigram_entropy=unigram,
        bigram_entropy=bigram,
        pitch_range=(int(pitches.min()), int(pitches.max())),
        pitch_percentiles=(
            int(np.percentile(pitches, PERCENTILES[0], method="lower")),
            float(np.percentile(pitches, PERCENTILES[1])),
            int(np.percentile(pitches, PERCENTILES[2], method="higher")),
        ),
        sounding_density=chord_density(notes, "sounding", intervals=False).value,
        onset_density=chord_density(notes, "onset", intervals=False).value,
        windows={length: _window_counts(token_corpus, length) for length in lengths},
        skipped=dict(Counter(item.reason for item in token_corpus.skipped)),
        remarks=corpus.notes,
        fingerprint=corpus.fingerprint,
        pitch_counts=np.bincount(pitches, minlength=128),
        tokens_per_piece=sizes,
        type_shares=_shares(token_corpus),
    )


def check_suffix(path: Path) -> None:
    """UserError unless a figure can be written under this name."""
    if path.suffix.lower() not in FIGURE_SUFFIXES:
        raise UserError(f"{path}: a figure ends in {', '.join(FIGURE_SUFFIXES)}")


def draw_card(card: CorpusCard, path: Path) -> None:
    """Write the figure as .png, .svg or .pdf: left how long pieces are, middle which pitches, right which tokens."""
    check_suffix(path)
    import matplotlib

    matplotlib.use("Agg")
    import seaborn as sns
    from matplotlib.figure import Figure

    with sns.axes_style("whitegrid"), plain_text():
        figure = Figure(figsize=(12, 3.4), layout="constrained")
        lengths, pitches, types = figure.subplots(1, 3)
    colour = sns.color_palette("deep")[0]
    sizes = card.tokens_per_piece
    edges = np.geomspace(max(1, sizes.min()), sizes.max() + 1, 30) if sizes.max() > sizes.min() else 10
    lengths.hist(sizes, bins=edges, color=colour)
    lengths.set_xscale("log")
    lengths.xaxis.set_major_formatter("{x:,.0f}")
    lengths.xaxis.set_minor_formatter("")
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
    name = shortened(card.name, NAME_LETTERS)
    figure.suptitle(f"{name}: {sum(card.pieces.values()):,} pieces, {card.notes.total:,} notes")
    with writing_to(path.parent), plain_text():
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)


def entropies(tokens: np.ndarray, offsets: np.ndarray, size: int) -> tuple[float, float]:
    """H(x) and H(x | token before) in bits/token from counts; pairs do not cross pieces. NaN for no tokens."""
    ids = np.asarray(tokens, dtype=np.int64)
    counts = np.bincount(ids, minlength=size)
    inside = np.ones(len(ids), dtype=bool)
    inside[offsets[:-1]] = False  # the first token of a piece has none before it
    places = np.flatnonzero(inside)
    pairs = np.bincount(ids[places - 1] * size + ids[places], minlength=size * size)
    before = pairs.reshape(size, size).sum(axis=1)
    return _entropy(counts), _entropy(pairs) - _entropy(before)


def _entropy(counts: np.ndarray) -> float:
    if counts.sum() == 0:
        return float("nan")
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def _reasons(skipped: dict[str, int]) -> str:
    reasons = sorted(skipped.items(), key=lambda item: -item[1])
    more = sum(count for _, count in reasons[MOST_REASONS:])
    words = [f"{count} {why}" for why, count in reasons[:MOST_REASONS]]
    return "; ".join(words + ([f"{more} for other reasons"] if more else []))


def _window_counts(token_corpus: TokenCorpus, length: int) -> tuple[int, int, int]:
    counts = [token_corpus.count_windows(split, length) if token_corpus.stream(split).pieces else 0 for split in SPLITS]
    return counts[0], counts[1], counts[2]


def _shares(token_corpus: TokenCorpus) -> dict[str, float]:
    names = token_corpus.type_names
    counts = np.bincount(token_corpus.type_of_token[token_corpus.all_tokens], minlength=len(names))
    return {name: float(count / counts.sum()) for name, count in zip(names, counts, strict=True) if count}
