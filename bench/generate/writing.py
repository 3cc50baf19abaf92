"""Generated tokens as scores: new pieces, and songs with what was drawn on a track of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.diffusion.constraints import TokenNotes, token_notes
from bench.diffusion.constraints.decoding import BAR_QUARTERS
from bench.generate.song import Song
from bench.generate.template import Template
from bench.generate.trained import TrainedRun

DRAWN_TRACK = "Drawn"


def piece_score(run: TrainedRun, tokens_N: np.ndarray) -> Any:
    """The score of a new piece, as MidiTok decodes it."""
    from bench.data.remi import decode

    return decode(tokens_N, run.tokenizer)


def song_score(song: Song, template: Template, tokens_N: np.ndarray) -> Any:
    """The song's own file with the notes that gave way taken out and the drawn ones on a new track `Drawn`.

    Given notes, tempos, pedals and everything else are those of the file, tick for tick.
    """
    import symusic

    score = song.score.copy()
    for track, removed in zip(score.tracks, template.removed, strict=True):
        if removed.any():
            table = track.notes.numpy()
            track.notes = symusic.Note.from_numpy(**{key: values[~removed] for key, values in table.items()})
    notes = drawn_notes(song, template, tokens_N)
    ticks = score.ticks_per_quarter
    begun = BAR_QUARTERS * template.bars[0] if template.open_end else 0  # quarter notes before the row's first token
    onset = np.rint((notes.onset + begun) * ticks).astype(np.int32)
    track_of_new: Any = symusic.Track(DRAWN_TRACK, _program(song), False)
    track_of_new.notes = symusic.Note.from_numpy(
        time=onset,
        duration=np.maximum(np.rint(notes.duration * ticks), 1).astype(np.int32),
        pitch=notes.pitch.astype(np.int8),
        velocity=notes.velocity.astype(np.int8),
    )
    score.tracks.append(track_of_new)
    return score


def drawn_notes(song: Song, template: Template, tokens_N: np.ndarray) -> TokenNotes:
    """The notes of a filled row of which a token was drawn; onsets from the row's first bar."""
    notes = token_notes(tokens_N, song.language)
    drawn = template.hidden[notes.at] | template.hidden[notes.at + 1] | template.hidden[notes.at + 2]
    return TokenNotes(*(getattr(notes, name)[drawn] for name in ("at", "onset", "duration", "pitch", "velocity")))


def _program(song: Song) -> int:
    """The instrument of the song's longest track of notes."""
    pitched = [track for track in song.score.tracks if not track.is_drum]
    return int(max(pitched, key=lambda track: len(track.notes)).program) if pitched else 0
