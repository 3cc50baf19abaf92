"""The arrays of `metrics.music.remi` say what MidiTok says: the floors are made of the harness's own tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.data import TokenCorpus, corpus_notes, load_corpus, tokenize
from metrics import read_notes
from metrics.music.remi import (
    BAR,
    DURATION,
    LOWEST_PITCH,
    PITCH,
    POSITION,
    VELOCITIES,
    VELOCITY,
    VOCABULARY,
    notes_of_tokens,
    token_counts,
)


@pytest.fixture(scope="module")
def tokens(demo_music: Path) -> TokenCorpus:
    return tokenize(load_corpus(f"folder:{demo_music / 'lieder'}"))


@pytest.fixture(scope="module")
def ours(tokens: TokenCorpus) -> np.ndarray:
    """Our number of each MidiTok token, -1 for the special ones."""
    durations = [word for word in tokens.vocabulary if word.startswith("Duration")]

    def number(word: str) -> int:
        kind, value = word.split("_")
        starts = {"Bar": BAR, "Position": POSITION, "Pitch": PITCH - LOWEST_PITCH, "Velocity": VELOCITY}
        if kind == "Velocity":
            return VELOCITY + VELOCITIES.tolist().index(int(value))
        if kind == "Duration":
            return DURATION + durations.index(word)
        return starts[kind] + int(value) if value.isdigit() else starts.get(kind, -1)

    return np.array([number(word) for word in tokens.vocabulary])


def test_any_tokens_sound_as_miditok_plays_them(tokens: TokenCorpus, ours: np.ndarray):
    theirs = np.argsort(ours)[-VOCABULARY:]
    assert ours[theirs].tolist() == list(range(VOCABULARY))
    generator = np.random.default_rng(0)
    heard = 0
    for length in generator.integers(0, 500, 40):
        drawn = generator.integers(0, VOCABULARY, length)
        for start in np.flatnonzero(generator.random(max(length - 3, 0)) < 0.15):  # whole notes among the debris
            drawn[start : start + 3] = generator.integers([PITCH, VELOCITY, DURATION], [VELOCITY, DURATION, VOCABULARY])
        drawn[generator.random(length) < 0.05] = BAR
        notes = notes_of_tokens(drawn)
        assert notes.content_hash == read_notes(tokens.decode(theirs[drawn])).content_hash
        heard += len(notes)
    assert heard > 500


def test_a_piece_uses_the_tokens_that_miditok_writes(tokens: TokenCorpus, ours: np.ndarray):
    notes = {piece.name: piece for piece in corpus_notes(tokens.corpus)}
    for index, piece in enumerate(tokens.pieces_in_order):
        own = ours[tokens.all_tokens[tokens.offsets[index] : tokens.offsets[index + 1]]]
        written = np.bincount(own[own >= 0], minlength=VOCABULARY)
        counted = token_counts(notes[piece.id])
        assert counted[:PITCH].tolist() == written[:PITCH].tolist()  # bars and positions
        assert np.abs(counted - written)[PITCH:VELOCITY].sum() <= 4
        assert counted.sum() == pytest.approx(written.sum(), rel=0.005)
        # where voice and piano play one pitch at once, MidiTok may keep the other's velocity and length
        assert np.abs(counted - written)[VELOCITY:].sum() < 0.3 * written[VELOCITY:].sum()
