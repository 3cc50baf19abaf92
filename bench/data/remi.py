"""REMI tokens of notes and back, by MidiTok, which is imported here alone. Import it late: MidiTok takes seconds."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data.settings import TokenizerSettings

if TYPE_CHECKING:
    from symusic.core import ScoreTick

PAD, BOS, EOS, MASK = "PAD", "BOS", "EOS", "MASK"
SPECIAL_TOKENS = (PAD, BOS, EOS, MASK)


@lru_cache(maxsize=8)
def build_tokenizer(settings: TokenizerSettings) -> Any:
    """The MidiTok REMI tokenizer of these settings (cached: a process builds each once)."""
    from miditok import REMI, TokenizerConfig

    config = TokenizerConfig(
        pitch_range=(settings.pitch_low, settings.pitch_high),
        beat_res={(start, stop): steps for start, stop, steps in settings.beat_resolutions},
        num_velocities=settings.velocities,
        special_tokens=list(SPECIAL_TOKENS),
        remove_duplicated_notes=settings.merge_duplicates,
        use_velocities=True,
        use_note_duration_programs=list(range(-1, 128)),
        use_chords=False,
        use_rests=settings.rests,
        use_tempos=settings.tempos,
        num_tempos=settings.tempo_bins,
        tempo_range=(settings.tempo_low, settings.tempo_high),
        use_time_signatures=settings.time_signatures,
        use_sustain_pedals=False,
        use_pitch_bends=False,
        use_programs=False,
        use_pitchdrum_tokens=False,
        delete_equal_successive_tempo_changes=True,
    )
    return REMI(config)


def vocabulary(settings: TokenizerSettings) -> list[str]:
    """Token words in the order of their ids: "PAD_None", ..., "Bar_None", "Pitch_21", ..., "Position_31"."""
    words = build_tokenizer(settings).vocab
    return sorted(words, key=words.__getitem__)


def type_graph(settings: TokenizerSettings) -> dict[str, set[str]]:
    """Which token type may follow which, as MidiTok has it (special tokens under two names)."""
    return {name: set(after) for name, after in build_tokenizer(settings).tokens_types_graph.items()}


def encode(score: ScoreTick, settings: TokenizerSettings) -> np.ndarray:
    """Tokens of a one-track score, uint16 (N,). Empty when no note lies within the pitch range."""
    sequences = build_tokenizer(settings)(score)
    ids = sequences[0].ids if sequences else []
    return np.asarray(ids, dtype=np.uint16)


def decode(tokens_L: np.ndarray, settings: TokenizerSettings) -> ScoreTick:
    """The score of tokens: one piano track, time from the first token on, 120 beats a minute without Tempo tokens.

    Incomplete notes (a Pitch without Velocity and Duration after it) are left out; PAD, BOS, EOS and MASK are ignored
    elsewhere. Tokens before the first Bar count as the first bar.
    """
    from miditok import TokSequence

    ids = [int(token) for token in np.asarray(tokens_L).reshape(-1)]
    tokenizer = build_tokenizer(settings)
    words = vocabulary(settings)
    foreign = [token for token in ids if not 0 <= token < len(words)]
    if foreign:
        raise ValueError(f"token {foreign[0]} is not in the vocabulary of {len(words)} (0..{len(words) - 1})")
    return tokenizer.decode([TokSequence(ids=ids, tokens=[words[token] for token in ids])])
