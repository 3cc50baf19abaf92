"""REMI tokens in the vocabulary of MusicMamba's published writer: preset `remi-m`.

Source of the facts: github Wietc/MusicMamba, `midi_tokenize/remi/vocab.py`; none of its code is used. A note is Pitch,
Duration, Velocity after the Position in its Bar, notes of one Position from the highest pitch down. A bar has four
quarter notes and 16 positions. Start and end of a note are each rounded down to a sixteenth, so that a note that ends
a tick early loses a whole one, and none is shorter than 1 or longer than 64. Pitch 0 has no token, velocity 127 is
written as 126. A Tempo stands before the notes of its Position.

Other than that writer: notes that begin with the last bar line are kept (it drops them), a Position is written once
where a tempo lies between two sixteenths, of several tempos at one Position the last is written and none after the last
note, and in decoding a note between a Bar and its first Position begins with the bar. Which track is read is the
corpus's choice.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bench.data.settings import note_types

if TYPE_CHECKING:
    from symusic.core import ScoreTick

STEPS_A_BEAT: Final = 4
POSITIONS: Final = 16
PITCHES: Final = np.arange(1, 128)
DURATIONS: Final = np.arange(1, 65)
VELOCITIES: Final = np.arange(1, 127)
TEMPOS: Final = np.array([int(7.5 * k) for k in range(33)])  # 0, 7, 15, 22, ..., 240 beats a minute
MODES: Final = 12

MASK: Final = 1  # PAD is 0
TICKS_A_BEAT: Final = 120
TRACK: Final = "Melody"

FOLLOWS: Final[dict[str, set[str]]] = {
    "Bar": {"Bar", "Position"},
    "Position": {"Tempo", "Pitch"},
    "Tempo": {"Pitch", "Position", "Bar"},
    "Pitch": {"Duration"},
    "Duration": {"Velocity"},
    "Velocity": {"Pitch", "Position", "Bar"},
}
"""Type -> types that may follow it. Mode tokens follow nothing: the writer needs a track that marks them."""


def vocabulary(modes: bool = False) -> list[str]:
    """Token words in the order of their ids: 369, or with the mode tokens 509."""
    words = ["PAD_None", "MASK_None", *(f"Pitch_{pitch}" for pitch in PITCHES)]
    words += [f"ModePitch_{pitch}" for pitch in PITCHES] if modes else []
    words += [f"Duration_{steps // STEPS_A_BEAT}.{steps % STEPS_A_BEAT}.{STEPS_A_BEAT}" for steps in DURATIONS]
    words += [f"Velocity_{velocity}" for velocity in VELOCITIES]
    words += [f"Tempo_{tempo}" for tempo in TEMPOS]
    words += [f"Position_{position}" for position in range(POSITIONS)]
    words += ["Bar_None"]
    return words + ([*(f"ModeStart_{mode}" for mode in range(MODES)), "ModeEnd_None"] if modes else [])


@lru_cache(maxsize=2)
def _first_ids(modes: bool) -> dict[str, int]:
    """Type -> its first token id."""
    types = [word.split("_")[0] for word in vocabulary(modes)]
    return {name: types.index(name) for name in dict.fromkeys(types)}


@lru_cache(maxsize=2)
def _type_of_token(modes: bool) -> np.ndarray:
    """Type of each token id as a number in the order of `_first_ids`: int64 (V,)."""
    starts = list(_first_ids(modes).values())
    return np.repeat(np.arange(len(starts)), np.diff([*starts, len(vocabulary(modes))]))


def encode(score: ScoreTick, modes: bool = False) -> np.ndarray:
    """Tokens of a score's first track, uint16 (N,). Empty when no note has a pitch of 1 or more."""
    ids = _first_ids(modes)
    notes = {key: values.astype(np.int64) for key, values in score.tracks[0].notes.numpy().items()}
    notes = {key: values[notes["pitch"] >= PITCHES[0]] for key, values in notes.items()}
    if not len(notes["pitch"]):
        return np.zeros(0, np.uint16)
    start = notes["time"] * STEPS_A_BEAT // score.ticks_per_quarter
    end = (notes["time"] + notes["duration"]) * STEPS_A_BEAT // score.ticks_per_quarter
    tempos = _tempos(score, int(start.max()))
    step = np.concatenate([np.array(list(tempos), np.int64), start])
    is_note = np.arange(len(step)) >= len(tempos)
    head = np.concatenate([ids["Tempo"] + np.array(list(tempos.values()), np.int64), ids["Pitch"] - 1 + notes["pitch"]])
    order = np.lexsort((-head, is_note, step))
    step, head, is_note = step[order], head[order], is_note[order]
    bars = np.diff(step // POSITIONS, prepend=-1)  # Bar tokens before each event
    fresh = np.diff(step, prepend=-1) != 0  # whether a Position stands before it
    sizes = np.where(is_note, 3, 1)
    first = np.cumsum(bars + fresh + sizes) - sizes
    tokens = np.full(int(first[-1] + sizes[-1]), ids["Bar"], np.uint16)
    tokens[first] = head
    tokens[first[fresh] - 1] = ids["Position"] + step[fresh] % POSITIONS
    place, note = first[is_note], order[is_note] - len(tempos)
    tokens[place + 1] = ids["Duration"] - 1 + np.clip(end - start, DURATIONS[0], DURATIONS[-1])[note]
    tokens[place + 2] = ids["Velocity"] - 1 + np.clip(notes["velocity"], VELOCITIES[0], VELOCITIES[-1])[note]
    return tokens


def _tempos(score: Any, last: int) -> dict[int, int]:
    """Sixteenth, the nearest in its bar, up to the `last` -> place in TEMPOS of the nearest value."""
    found = {}
    for tempo in sorted(score.tempos, key=lambda one: one.time):
        bar, inside = divmod(tempo.time * STEPS_A_BEAT / score.ticks_per_quarter, POSITIONS)
        step = int(bar) * POSITIONS + int(np.abs(np.arange(POSITIONS) - inside).argmin())
        if step <= last:
            found[step] = int(np.abs(TEMPOS - tempo.qpm).argmin())
    return found


def decode(tokens_L: np.ndarray, modes: bool = False) -> ScoreTick:
    """The score of tokens, as that writer lays it out: 120 ticks a beat, 4/4, one track "Melody" of program 0.

    A Pitch with a Duration and a Velocity right after it is a note, all other tokens of notes and modes are left out.
    Tokens before the first Bar count as the first bar. Tempo 0 cannot be written to a file and is left out.
    """
    import symusic

    tokens = np.asarray(tokens_L, np.int64)
    names = list(_first_ids(modes))
    kind = _type_of_token(modes)[tokens]
    value = tokens - np.array(list(_first_ids(modes).values()))[kind]
    step = _steps(kind == names.index("Bar"), kind == names.index("Position"), value)
    wanted = [names.index(name) for name in note_types(names)]
    at = np.flatnonzero((kind[:-2] == wanted[0]) & (kind[1:-1] == wanted[1]) & (kind[2:] == wanted[2]))
    ticks = TICKS_A_BEAT // STEPS_A_BEAT
    score: Any = symusic.Score(TICKS_A_BEAT)
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    for place in np.flatnonzero(kind == names.index("Tempo")):
        if (tempo := int(TEMPOS[value[place]])) > 0:
            score.tempos.append(symusic.Tempo(int(step[place]) * ticks, tempo))
    track: Any = symusic.Track(TRACK, 0, False)
    track.notes = symusic.Note.from_numpy(
        time=(step[at] * ticks).astype(np.int32),
        duration=((value[at + 1] + 1) * ticks).astype(np.int32),
        pitch=(value[at] + 1).astype(np.int8),
        velocity=(value[at + 2] + 1).astype(np.int8),
    )
    score.tracks.append(track)
    return score


def _steps(is_bar: np.ndarray, is_position: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Sixteenth from the first bar at which each token stands: int64 (L,)."""
    bar = np.cumsum(is_bar)
    if not (is_position & (bar == 0)).any():
        bar = np.maximum(bar - 1, 0)  # the first Bar opens the first bar, unless a Position has done so
    return bar * POSITIONS + _held(is_bar | is_position, np.where(is_position, value, 0))


def _held(sets: np.ndarray, value: np.ndarray, before: int = 0) -> np.ndarray:
    """The value at the last place where `sets`, `before` ahead of the first: int64 (L,)."""
    last = np.maximum.accumulate(np.where(sets, np.arange(len(sets)), -1))
    return np.where(last >= 0, value[last], before)


def token_errors(tokens_L: np.ndarray, modes: bool = False) -> float:
    """Share of tokens that cannot follow the token before: by their type, or a Position that is not after the one
    before it in its bar."""
    if not len(tokens_L):
        return 0.0
    names = list(_first_ids(modes))
    kind = _type_of_token(modes)[np.asarray(tokens_L, np.int64)]
    allowed = np.array([[after in FOLLOWS.get(name, ()) for after in names] for name in names])
    wrong = ~allowed[kind[:-1], kind[1:]]
    is_position = kind == names.index("Position")
    value = np.where(is_position, np.asarray(tokens_L, np.int64) - _first_ids(modes)["Position"], -1)
    reached = _held(is_position | (kind == names.index("Bar")), value, before=-1)
    return float((wrong | (is_position[1:] & (value[1:] <= reached[:-1]))).sum() / len(kind))
