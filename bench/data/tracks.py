"""Tracks of a score, chosen by name or number."""

from __future__ import annotations

from typing import Any

MOST_NAMED = 12


def tracks_called(score: Any, words: str) -> list[int]:
    """Indices of the tracks with notes, drums apart, of this name (case does not matter), else of this number.

    Empty where a `symusic.Score` has none such; several tracks may share a name.
    """
    wanted = words.strip().casefold()
    pitched = _pitched(score)
    named = [index for index in pitched if score.tracks[index].name.strip().casefold() == wanted]
    return named or [index for index in pitched if str(index) == wanted]


def tracks_in_words(score: Any) -> str:
    """Names and numbers of the tracks that can be chosen: "MELODY (0), without a name (2)"."""
    names = [f"{score.tracks[index].name.strip() or 'without a name'} ({index})" for index in _pitched(score)]
    more = [f"and {len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return ", ".join(names[:MOST_NAMED] + more) or "none with notes"


def _pitched(score: Any) -> list[int]:
    return [index for index, track in enumerate(score.tracks) if not track.is_drum and len(track.notes)]
