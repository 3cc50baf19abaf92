"""What quality and reference cells share: the tokens of a corpus, and its real music as notes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import UserError
from bench.measure.rows import metric_row

if TYPE_CHECKING:
    import numpy as np

    from bench.data import TokenCorpus, TokenizerSettings
    from bench.diffusion import AbsorbingDiffusion
    from bench.diffusion.constraints import ConstraintSet
    from metrics import Notes


REFERENCE_SEED = 20260  # one choice of held-out windows, the same for every arm and seed


def load_tokens(corpus: str, tokenizer: TokenizerSettings | Mapping[str, Any]) -> TokenCorpus:
    """Tokens of `NAME`, `NAME/SUBSET` or `folder:PATH` under a tokenizer, or under its settings in a cell."""
    from bench.data import TokenizerSettings, load_corpus, tokenize

    if corpus.startswith("folder:"):
        loaded = load_corpus(corpus)
    else:
        name, _, subset = corpus.partition("/")
        loaded = load_corpus(name, subset=subset or None)
    return tokenize(loaded, TokenizerSettings.model_validate(tokenizer))


def full_windows(tokens: TokenCorpus, split: str, length: int) -> np.ndarray:
    """The windows (n, length) of a split that hold no PAD: pieces as long as the generated ones."""
    windows = np.asarray(tokens.windows(split, length).tokens)
    return windows[(windows != tokens.pad_id).all(axis=1)]


def held_out_windows(tokens: TokenCorpus, length: int, count: int) -> np.ndarray:
    """`count` full windows (count, length) of the test split, drawn once for all arms and seeds.

    Raises UserError where the test split has fewer full windows.
    """
    full = full_windows(tokens, "test", length)
    if len(full) < count:
        raise UserError(
            f"the test split has {len(full)} full windows of {length} tokens, {count} are wanted: "
            "lower sample.pieces or length, or take a larger corpus"
        )
    chosen = np.random.default_rng(REFERENCE_SEED).permutation(len(full))[:count]
    return full[np.sort(chosen)]


def train_notes(tokens: TokenCorpus, length: int) -> list[Notes]:
    """All full windows of the training split as notes: what ranges, percentiles and the ceiling are taken from."""
    return to_notes(tokens, full_windows(tokens, "train", length), "train")


def to_notes(tokens: TokenCorpus, sequences: np.ndarray, name: str) -> list[Notes]:
    """Notes of each row of token sequences (n, L): real and generated music pass through the same decoder."""
    from metrics import read_notes

    return [read_notes(tokens.decode(row), name=f"{name}-{index:03d}") for index, row in enumerate(sequences)]


def token_rows(tokens: TokenCorpus, sequences: np.ndarray) -> list[dict[str, Any]]:
    """Rows of token entropy and grammar errors of token sequences (n, L)."""
    from bench.data.remi import build_tokenizer
    from metrics import grammar_errors, token_entropy

    tokenizer = build_tokenizer(tokens.settings)
    pieces = [sequence.astype(int).tolist() for sequence in sequences]
    results = (token_entropy(pieces), grammar_errors(pieces, lambda piece: tokenizer.tokens_errors([piece])[0]))
    return [metric_row(result) for result in results]


def build_diffusion(tokens: TokenCorpus, settings: Mapping[str, Any]) -> AbsorbingDiffusion:
    """The process of `settings` (those of a cell's `diffusion`); a multi-scale one takes its powers from the tokens.

    Raises DiffusionError for settings that do not go together.
    """
    from bench.diffusion import AbsorbingDiffusion, DiffusionError, MultiScaleDiffusion, token_powers

    chosen = dict(settings)
    powers = chosen.pop("powers", None)
    if chosen.get("schedule") != "multi-scale":
        if powers is not None:
            raise DiffusionError(f"powers: given with schedule {chosen.get('schedule')!r}; allowed: with multi-scale")
        return AbsorbingDiffusion(tokens.mask_id, tokens.pad_id, **chosen)
    del chosen["schedule"]
    positions_a_beat = max(steps for _, _, steps in tokens.settings.beat_resolutions)
    values = token_powers(tokens.vocabulary, positions_a_beat, powers)
    return MultiScaleDiffusion(tokens.mask_id, tokens.pad_id, values, **chosen)


def build_constraint(tokens: TokenCorpus, words: str | None) -> ConstraintSet | None:
    """The constraint on what is drawn (a cell's `sample.constraints`), ranges taken from the training pieces.

    None for none. Raises DiffusionError for words that cannot be used.
    """
    if words is None:
        return None
    from bench.data.music import training_pitch_limits
    from bench.data.remi import type_graph
    from bench.diffusion.constraints import ConstraintChoice, TokenLanguage

    language = TokenLanguage.of(tokens.vocabulary, type_graph(tokens.settings))
    choice = ConstraintChoice.parse(words)
    return choice.build(language, tokens.mask_id, pitch_limits=lambda kind: training_pitch_limits(tokens, kind))
