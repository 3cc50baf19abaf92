"""Templates: which tokens of a song are given, which are to be drawn, and what may be drawn where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.data.settings import SPECIAL_TYPES
from bench.diffusion.constraints import token_notes
from bench.diffusion.constraints.language import TIME_TYPES
from bench.generate.errors import GenerateError
from bench.generate.song import Song


@dataclass(frozen=True, eq=False)
class Template:
    """A row to fill. `tokens` int64 (N,), anything where `hidden` bool (N,); `allowed` bool (N, V).

    Given notes stay what and when they are, whatever is drawn: Bars are never drawn in the middle of a song, and no
    Position between a given Position and a given note of its chord. `bars` (first, end) is the region; `removed` says
    which notes of the file give way, one bool array a track.
    """

    tokens: np.ndarray
    hidden: np.ndarray
    allowed: np.ndarray
    bars: tuple[int, int]
    removed: list[np.ndarray]
    open_end: bool = False  # a continuation: Bars are drawn too


def bars_again(song: Song, first: int, end: int, bar_tokens: int | None = None) -> Template:
    """All notes of the bars `first` to `end` - 1 drawn anew.

    The Bar tokens stay, so the song keeps its length; each bar gets as many tokens as it had, or `bar_tokens`. The
    number of notes is thus about what it was (a note is 3 tokens, and 1 more where a new position begins).
    """
    if bar_tokens is not None and bar_tokens < 1:
        raise GenerateError(f"--bar-tokens {bar_tokens}: allowed: 1 or more (4 for one note, 3 for each further one)")
    bounds = np.append(song.bar_starts, len(song.tokens))
    pieces, hidden = [song.tokens[: bounds[first]]], [np.zeros(bounds[first], bool)]
    for bar in range(first, end):
        size = bar_tokens if bar_tokens is not None else int(bounds[bar + 1] - bounds[bar] - 1)
        inside = np.zeros(size, np.int64)
        kept = min(size, int(bounds[bar + 1] - bounds[bar] - 1))
        inside[:kept] = song.tokens[bounds[bar] + 1 : bounds[bar] + 1 + kept]
        pieces += [song.tokens[bounds[bar] : bounds[bar] + 1], inside]
        hidden += [np.zeros(1, bool), np.ones(size, bool)]
    pieces.append(song.tokens[bounds[end] :])
    hidden.append(np.zeros(len(song.tokens) - bounds[end], bool))
    return _template(song, np.concatenate(pieces), np.concatenate(hidden), (first, end), _in_bars(song, first, end))


def types_again(song: Song, keep: Sequence[str], first: int, end: int) -> Template:
    """Tokens of all types but those in `keep` drawn anew in the bars `first` to `end` - 1.

    Each token keeps its type, so every note that is there stays a note: `keep` Pitch and Position draws velocities and
    durations; Position and Duration draws pitches and velocities. Notes of a pitch without a token stay as they are.
    """
    types = np.array(song.language.types)
    known = sorted(set(types[song.tokens]) - set(TIME_TYPES))
    for name in keep:
        if name not in (*known, *TIME_TYPES):
            raise GenerateError(f"--keep {name}: no such token type in this song; allowed: {', '.join(known)}")
    hidden = song.language.hidden_in_bars(song.tokens, first, end) & ~np.isin(types[song.tokens], list(keep))
    removed = _in_bars(song, first, end)
    for track, there in zip(song.score.tracks, removed, strict=True):
        there &= np.isin(track.notes.numpy()["pitch"], song.language.pitch)
    template = _template(song, song.tokens, hidden, (first, end), removed)
    same_type = types[song.tokens][:, None] == types[None, :]  # N V
    template.allowed[hidden] = same_type[hidden]
    return template


def accompaniment(song: Song, keep_tracks: Sequence[str], first: int, end: int) -> Template:
    """All notes drawn anew in the bars `first` to `end` - 1 but those of the tracks kept.

    The kept notes' Positions stay with them; the other tracks' tokens are as many as they were, in the same places of
    the row. Notes that two tracks share count as kept.
    """
    tracks = sorted({track for name in keep_tracks for track in song.tracks_named(name)})
    kept = set().union(*(song.track_notes(track) for track in tracks))
    notes = token_notes(song.tokens, song.language)
    hidden = song.language.hidden_in_bars(song.tokens, first, end)
    is_position = song.language.position[song.tokens] >= 0
    position_of = np.maximum.accumulate(np.where(is_position, np.arange(len(song.tokens)), -1))
    chords = []
    for at, onset, pitch in zip(notes.at.tolist(), notes.onset.tolist(), notes.pitch.tolist(), strict=True):
        if (onset, pitch) in kept:
            hidden[[at, at + 1, at + 2, position_of[at]]] = False
            chords.append((int(position_of[at]), at))
    removed = _in_bars(song, first, end)
    for track in tracks:
        removed[track][:] = False
    template = _template(song, song.tokens, hidden, (first, end), removed)
    positions = song.language.ids("Position")
    for place, at in chords:
        template.allowed[place + 1 : at, positions] = False
    return template


def continuation(song: Song, new_tokens: int, first: int, end: int) -> Template:
    """The bars `first` to `end` - 1, then `new_tokens` tokens of new music, beginning with a bar."""
    if new_tokens < 2:
        raise GenerateError(
            f"--length {new_tokens}: allowed: 2 or more tokens after what is given (the first is a Bar)"
        )
    bounds = np.append(song.bar_starts, len(song.tokens))
    given = song.tokens[bounds[first] : bounds[end]]
    tokens = np.concatenate([given, song.language.ids("Bar")[:1], np.zeros(new_tokens - 1, np.int64)])
    hidden = np.arange(len(tokens)) > len(given)
    removed = [~inside for inside in _in_bars(song, first, end, drums=True)]
    return Template(tokens, hidden, _musical(song, len(tokens)), (first, end), removed, open_end=True)


def _template(
    song: Song, tokens: np.ndarray, hidden: np.ndarray, bars: tuple[int, int], removed: list[np.ndarray]
) -> Template:
    if not hidden.any():
        raise GenerateError(
            f"bars {bars[0]}:{bars[1]} of {song.name}: nothing is left to draw; allowed: bars with notes that are "
            "not all kept (or --bar-tokens for empty bars)"
        )
    allowed = _musical(song, len(tokens))
    allowed[:, song.language.time_ids] = False
    return Template(tokens, hidden, allowed, bars, removed)


def _musical(song: Song, length: int) -> np.ndarray:
    allowed = np.ones((length, len(song.language.words)), bool)
    allowed[:, song.language.ids(*SPECIAL_TYPES)] = False
    return allowed


def _in_bars(song: Song, first: int, end: int, *, drums: bool = False) -> list[np.ndarray]:
    """Which notes of each track begin in the bars; drums, which tokens do not hold, stay unless asked for."""
    found = []
    for index, track in enumerate(song.score.tracks):
        bar = song.onset_bars(index)
        found.append((bar >= first) & (bar < end) & (drums or not track.is_drum))
    return found
