"""Reading of one piece, of any format, into a single piano track of notes, or a reason why it cannot be used.

This module runs inside the reading processes of `bench.data.workers`.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import tarfile
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.chorale import read_chorale, reader_name
from bench.data.tracks import tracks_called, tracks_in_words
from bench.errors import first_line, quoted
from bench.files import write_atomically
from bench.paths import cache_folder
from metrics.music.abc import AbcError, order_mark, read_tune, tunes
from metrics.music.midi import MidiError, as_parsed, read_score, unended_notes

MIDI_SUFFIXES = (".mid", ".midi", ".kar")
ABC_SUFFIXES = (".abc",)
MUSICXML_SUFFIXES = (".mxl", ".musicxml", ".xml")
Member = int | str | None
"""A piece's place in its file: number of a tune in an ABC file, name of a MIDI file in a tar.xz, None: the file."""
READER_VERSION = 1
"""Raised where most files are read as other notes; few of them: `hashed_bytes`."""

MAX_FILE_BYTES = 64 << 20
MAX_TRACKS = 128
MAX_NOTES = 300_000
MAX_QUARTERS = 30_000
"""Over two hours at 240 beats a minute; the longest MAESTRO performance has 5,300 quarter notes."""
MAX_HOURS = 3.0
DEFAULT_TEMPO = 120.0
"""The MIDI standard's tempo where a file names none, in quarter notes a minute."""
CONTENT_GRID = 96
"""Steps a quarter note on which two pieces are compared for being copies."""


ABC_READER = b"\0notes as written"
"""Stands behind the text of a tune where it is hashed; another text whenever tunes are read as other notes."""


class UnreadableError(Exception):
    """The piece cannot be used; the message is the reason, one line."""


@dataclass(frozen=True)
class Inspection:
    """What is known of a piece without tokens. `pitches` counts the notes of each MIDI pitch, 128 integers."""

    notes: int
    quarters: float
    content: str
    pitches: tuple[int, ...]


@dataclass(frozen=True)
class NoteArrays:
    """The notes of a piece as read: onset and duration in quarter notes float64, pitch and velocity int16, all (N,).

    `meters` are (quarter note, quarter notes a bar) of its time signatures, `tempo` the median over time of its quarter
    notes a minute, `ticks` its ticks a quarter note, `unended` how many notes of the file never end and are left out.
    """

    onset: np.ndarray
    duration: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    meters: tuple[tuple[float, float], ...]
    tempo: float = DEFAULT_TEMPO
    ticks: int = 0
    unended: int = 0


def parse_file(path: Path, member: Member = None, *, all_texts: bool = False) -> tuple[Any, bytes | None]:
    """The whole piece as symusic reads it, a `symusic.Score`, and its bytes where it is a MIDI file.

    With `all_texts` `metrics.music.midi.write_score` writes its lyrics and markers byte for byte, too. Raises
    UnreadableError with the reason.
    """
    if path.suffix.lower() in ABC_SUFFIXES:
        return _parse_abc(path, member), None
    if path.suffix.lower() in MUSICXML_SUFFIXES:
        return _parse_chorale(path), None
    data = _read_bytes(path) if member is None else _packed_bytes(path, member)
    return _parse_midi(data, all_texts=all_texts), data


def _keep_track(score: Any, track: str | None) -> None:
    """Leave the tracks of one name or number, None: all. Raises UnreadableError where there is none."""
    if track is None:
        return
    chosen = tracks_called(score, track)
    if not chosen:
        raise UnreadableError(f"no track {quoted(track)}: it has {tracks_in_words(score)}")
    score.tracks = [score.tracks[index] for index in chosen]


def read_piece(path: Path, member: Member = None, track: str | None = None) -> Any:
    """The piece as a `symusic.Score` with one piano track: all non-drum tracks merged, notes of no length dropped.

    `track` keeps the tracks of one name or number. Tempos and time signatures are kept. Raises UnreadableError with the
    reason.
    """
    return piano_of(*parse_file(path, member), track)[0]


def read_counted(path: Path, member: Member = None, track: str | None = None) -> tuple[Any, int]:
    """As `read_piece`, and how many notes of a MIDI file, all tracks together, never end and are left out."""
    return piano_of(*parse_file(path, member), track, count=True)


def piano_of(score: Any, data: bytes | None, track: str | None = None, *, count: bool = False) -> tuple[Any, int]:
    """As `read_piece`, of what `parse_file` returned, whose score is left with the tracks that are meant; and how many
    notes never end, where they are counted. Raises UnreadableError with the reason."""
    kept = int(score.note_num())
    _keep_track(score, track)
    silent = score.note_num() == 0
    unended = unended_notes(data, kept) if data is not None and (count or silent) else 0
    if silent and unended:
        raise UnreadableError(f"{unended} notes, none of which ends")
    return _one_track(score), unended


def _one_track(score: Any) -> Any:
    """All non-drum tracks of a score merged into one, see `read_piece`."""
    import symusic

    if len(score.tracks) > MAX_TRACKS:
        raise UnreadableError(f"{len(score.tracks)} tracks (at most {MAX_TRACKS})")
    if score.note_num() == 0:
        raise UnreadableError("no notes")
    if score.note_num() > MAX_NOTES:
        raise UnreadableError(f"{score.note_num()} notes (at most {MAX_NOTES})")
    pitched = [track.notes.numpy() for track in score.tracks if not track.is_drum and len(track.notes)]
    if not pitched:
        raise UnreadableError("drums only")
    notes = {key: np.concatenate([track[key] for track in pitched]) for key in pitched[0]}
    lasting = notes["duration"] > 0
    if not lasting.any():
        raise UnreadableError("no notes longer than zero")
    order = np.lexsort((notes["velocity"], notes["duration"], notes["pitch"], notes["time"]))
    order = order[lasting[order]]
    merged: Any = symusic.Track("Piano", 0, False)
    merged.notes = symusic.Note.from_numpy(**{key: values[order] for key, values in notes.items()})
    single: Any = symusic.Score(score.ticks_per_quarter)
    single.tracks.append(merged)
    single.tempos = score.tempos
    single.time_signatures = score.time_signatures
    _refuse_endless(single)
    return single


def inspect_score(score: Any) -> Inspection:
    """Count, length and content hash of what `read_piece` returned."""
    notes = score.tracks[0].notes.numpy()
    onset = notes["time"].astype(np.int64)
    scale = CONTENT_GRID / score.ticks_per_quarter
    grid = np.stack(
        [
            np.rint((onset - onset.min()) * scale).astype(np.int64),
            np.rint(notes["duration"] * scale).astype(np.int64),
            notes["pitch"].astype(np.int64),
        ],
        axis=1,
    )  # notes 3
    grid = grid[np.lexsort((grid[:, 1], grid[:, 2], grid[:, 0]))]
    pitches = np.bincount(notes["pitch"].astype(np.int64), minlength=128)
    return Inspection(
        notes=len(onset),
        quarters=float((onset + notes["duration"]).max() / score.ticks_per_quarter),
        content=hashlib.sha256(grid.astype("<i8").tobytes()).hexdigest(),
        pitches=tuple(int(count) for count in pitches),
    )


def note_arrays(score: Any) -> NoteArrays:
    """Arrays of what `read_piece` returned."""
    notes, quarter = score.tracks[0].notes.numpy(), float(score.ticks_per_quarter)
    signatures = sorted(
        (s.time / quarter, 4.0 * s.numerator / s.denominator)
        for s in score.time_signatures
        if s.numerator > 0 and s.denominator > 0
    )
    return NoteArrays(
        onset=notes["time"] / quarter,
        duration=notes["duration"] / quarter,
        pitch=notes["pitch"].astype(np.int16),
        velocity=notes["velocity"].astype(np.int16),
        meters=tuple(dict(signatures).items()),  # of two at one beat the longer
        tempo=_usual_tempo(score),
        ticks=int(score.ticks_per_quarter),
    )


def _usual_tempo(score: Any) -> float:
    changes = sorted((tempo.time, float(tempo.qpm)) for tempo in score.tempos)
    if not changes or changes[0][0] > 0:
        changes = [(0, DEFAULT_TEMPO), *changes]
    times, tempos = np.array([time for time, _ in changes]), np.array([tempo for _, tempo in changes])
    lengths = np.diff(np.append(times, max(score.end(), times[-1] + 1)))
    order = np.argsort(tempos)
    reached = np.cumsum((lengths / tempos)[order])
    return float(tempos[order][np.searchsorted(reached, reached[-1] / 2)])


def _refuse_endless(score: Any) -> None:
    quarters = score.end() / score.ticks_per_quarter
    if quarters > MAX_QUARTERS:
        raise UnreadableError(f"{quarters:.0f} quarter notes long (at most {MAX_QUARTERS})")
    hours = score.to("second").end() / 3600
    if hours > MAX_HOURS:
        raise UnreadableError(f"{hours:.1f} hours long (at most {MAX_HOURS:g})")


def _parse_midi(data: bytes, *, all_texts: bool = False) -> Any:
    try:
        return read_score(data, all_texts=all_texts)
    except MidiError as error:
        raise UnreadableError(str(error)) from None


def _parse_chorale(path: Path) -> Any:
    kept = cache_folder() / "chorales" / f"{hashlib.sha256(_chorale_content(path)).hexdigest()}.mid"
    try:
        return _parse_midi(kept.read_bytes())
    except OSError:
        data = _chorale_bytes(path)
    with suppress(OSError):  # reading again is slower, a tenth of a second, not wrong
        write_atomically(kept, data)
    return _parse_midi(data)


def _chorale_content(path: Path) -> bytes:
    """The bytes of a MusicXML file and after them its reader with its version."""
    return _read_bytes(path) + reader_name().encode()


def _chorale_bytes(path: Path) -> bytes:
    try:
        return read_chorale(path).dumps_midi()
    except ImportError:
        raise UnreadableError("MusicXML is read by music21: pip install 'smdim-bench[music21]'") from None
    except Exception as error:
        raise UnreadableError(f"broken MusicXML ({first_line(error)[:80]})") from None


def _parse_abc(path: Path, member: Member) -> Any:
    texts = abc_tunes(path)
    if not isinstance(member, int) or member not in texts:
        which = "no tune" if member is None else f"no tune X:{member}"
        raise UnreadableError(f"{which} in the ABC file")
    try:
        return read_tune(texts[member])
    except AbcError as error:
        raise UnreadableError(str(error)) from None


def _read_bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size == 0:
            raise UnreadableError("empty file")
        if size > MAX_FILE_BYTES:
            raise UnreadableError(f"{size >> 20} MiB (at most {MAX_FILE_BYTES >> 20} MiB)")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"cannot be read ({error.strerror})") from None


@lru_cache(maxsize=4)
def _abc_tunes(path: Path, stamp: tuple[int, int]) -> dict[int, str]:
    return tunes(_read_bytes(path))


def abc_tunes(path: Path) -> dict[int, str]:
    """Text of every tune of an ABC file by its number, as `metrics.music.abc.tunes`."""
    return _abc_tunes(path, _stamp(path))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise UnreadableError(f"cannot be read ({error.strerror})") from None
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=4)
def _packed_files(path: Path, stamp: tuple[int, int]) -> dict[str, bytes]:
    try:
        with tarfile.open(fileobj=io.BytesIO(lzma.decompress(_read_bytes(path)))) as archive:
            files = ((item.name, archive.extractfile(item)) for item in archive)
            return {name: stream.read() for name, stream in files if stream is not None}
    except (lzma.LZMAError, tarfile.TarError) as error:
        raise UnreadableError(f"damaged archive ({first_line(error)[:80]})") from None


def _packed_bytes(path: Path, name: int | str) -> bytes:
    files = _packed_files(path, _stamp(path))
    if name not in files:
        raise UnreadableError(f"no file {name} in {path.name}")
    return files[str(name)]


def hashed_bytes(path: Path, member: Member) -> bytes:
    """What a piece's sha256 is taken of: `piece_bytes`, as the parser is given them where it would misread the file."""
    data = piece_bytes(path, member)
    if isinstance(member, int):
        return data + ABC_READER + order_mark(data.decode()).encode() if data else data
    return as_parsed(data)


def piece_bytes(path: Path, member: Member) -> bytes:
    """The bytes of a piece: the file, one in an archive, the text of one tune; b"" if it is unreadable.

    After a MusicXML file follows its reader with its version.
    """
    try:
        if path.suffix.lower() in MUSICXML_SUFFIXES:
            return _chorale_content(path)
        if member is None:
            return _read_bytes(path)
        if isinstance(member, int):
            return abc_tunes(path).get(member, "").encode()
        return _packed_bytes(path, member)
    except UnreadableError:
        return b""
