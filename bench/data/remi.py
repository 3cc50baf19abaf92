"""REMI tokens of notes and back: by MidiTok, which is imported here alone, or those of a preset.

Import it late: MidiTok takes seconds.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data import remi_m
from bench.data.settings import SPECIAL_TYPES, TokenizerSettings

if TYPE_CHECKING:
    from symusic.core import ScoreTick


@lru_cache(maxsize=8)
def build_tokenizer(settings: TokenizerSettings) -> Any:
    """The MidiTok REMI tokenizer of these settings (cached: a process builds each once)."""
    from miditok import REMI, TokenizerConfig

    config = TokenizerConfig(
        pitch_range=(settings.pitch_low, settings.pitch_high),
        beat_res={(start, stop): steps for start, stop, steps in settings.beat_resolutions},
        num_velocities=settings.velocities,
        special_tokens=list(SPECIAL_TYPES),
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
    if settings.preset:
        return remi_m.vocabulary(settings.modes)
    words = build_tokenizer(settings).vocab
    return sorted(words, key=words.__getitem__)


def type_graph(settings: TokenizerSettings) -> dict[str, set[str]]:
    """Which token type may follow which, as MidiTok has it (special tokens under two names)."""
    if settings.preset:
        return remi_m.FOLLOWS
    return {name: set(after) for name, after in build_tokenizer(settings).tokens_types_graph.items()}


def encode(score: ScoreTick, settings: TokenizerSettings) -> np.ndarray:
    """Tokens of a one-track score, uint16 (N,). Empty when no note lies within the pitch range."""
    if settings.preset:
        return remi_m.encode(score, settings.modes)
    sequences = build_tokenizer(settings)(score)
    ids = sequences[0].ids if sequences else []
    return np.asarray(ids, dtype=np.uint16)


def decode(tokens_L: np.ndarray, settings: TokenizerSettings) -> ScoreTick:
    """The score of tokens: one piano track, time from the first token on, 120 beats a minute without Tempo tokens.

    Incomplete notes (not all three tokens in their order) are left out; PAD, BOS, EOS and MASK are ignored elsewhere.
    Tokens before the first Bar count as the first bar.
    """
    ids = [int(token) for token in np.asarray(tokens_L).reshape(-1)]
    words = vocabulary(settings)
    foreign = [token for token in ids if not 0 <= token < len(words)]
    if foreign:
        raise ValueError(f"token {foreign[0]} is not in the vocabulary of {len(words)} (0..{len(words) - 1})")
    if settings.preset:
        return remi_m.decode(np.array(ids), settings.modes)
    from miditok import TokSequence

    return build_tokenizer(settings).decode([TokSequence(ids=ids, tokens=[words[token] for token in ids])])


def token_errors(tokens_L: np.ndarray, settings: TokenizerSettings) -> float:
    """Share of tokens that cannot follow the token before them, 0..1: by MidiTok's `tokens_errors`, which also counts
    notes played twice, or by `remi_m.token_errors`, which does not, since that writer keeps them."""
    if settings.preset:
        return remi_m.token_errors(tokens_L, settings.modes)
    return float(build_tokenizer(settings).tokens_errors([np.asarray(tokens_L).astype(int).tolist()])[0])


def onset_steps(quarters: np.ndarray, settings: TokenizerSettings) -> np.ndarray:
    """Grid position, counted from 0, at which the tokens place onsets given in quarter notes: int64, of equal shape."""
    steps = quarters * settings.positions_a_beat
    return np.floor(steps if settings.preset else steps + 0.5).astype(np.int64)
