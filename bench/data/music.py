"""The notes of a corpus: read in parallel, from MIDI files and from tunes inside ABC files alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.data.listing import list_folder
from bench.data.pieces import Corpus, Piece, Skipped, Source, check_split
from bench.data.worker import Job
from bench.data.workers import ProgressCallback, read_all

if TYPE_CHECKING:
    from bench.data.tokens import TokenCorpus
    from metrics import Notes

MOST_NAMED = 3
LONG_QUARTERS = 16.0
"""Four bars of four quarter notes; bars are not those of the file, since many files state none or a wrong one."""


def corpus_notes(
    corpus: Corpus,
    split: str | None = None,
    *,
    progress: ProgressCallback | None = None,
    processes: int | None = None,
) -> list[Notes]:
    """Notes of every piece (of one side, if a split is named), drums apart, named by piece id and in order of it.

    A piece that was readable when the corpus was loaded but is not any more is left out.
    """
    if split is not None:
        check_split(split)
    pieces = [piece for piece in corpus.pieces if split in (None, piece.split)]
    found, _ = _read(pieces, progress, processes)
    return found


def long_notes(pieces: Iterable[Notes]) -> Iterator[str]:
    """A line on each piece with notes of over four bars (16 quarter notes): few are meant, most were never ended."""
    for piece in pieces:
        long = np.flatnonzero(piece.duration > LONG_QUARTERS)
        if len(long):
            longest = long[np.argmax(piece.duration[long])]
            yield (
                f"{piece.name}: {len(long)} of {len(piece)} notes last over four bars, the longest "
                f"{piece.duration[longest]:g} quarter notes (pitch {piece.pitch[longest]} at {piece.onset[longest]:g})"
            )


def unended_in_words(pieces: Iterable[Notes]) -> str:
    """One line on the notes that are begun, never ended and thus left out; empty where there are none."""
    found = [piece for piece in pieces if piece.unended]
    if not found:
        return ""
    named = ", ".join(f"{piece.name} ({piece.unended})" for piece in found[:MOST_NAMED])
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return f"notes that never end are left out: {named}{more}"


def folder_notes(folder: Path, *, progress: ProgressCallback | None = None) -> tuple[list[Notes], list[Skipped]]:
    """Notes of every MIDI, kar and ABC file under a folder, and the pieces that cannot be used with their reasons.

    As `metrics.read_folder`, but by the rules of corpora: in parallel processes that a file may crash, within limits,
    and a piece without notes is skipped.
    """
    return _read(list_folder(folder).sources, progress, None)


def _read(
    sources: Sequence[Piece | Source], progress: ProgressCallback | None, processes: int | None
) -> tuple[list[Notes], list[Skipped]]:
    from metrics import Notes

    jobs = [Job.of(source, notes=True, unended=True) for source in sources]
    found: list[Notes] = []
    skipped: list[Skipped] = []
    for source, answer in zip(sources, read_all(jobs, progress=progress, processes=processes), strict=True):
        if (arrays := answer.notes) is None:
            skipped.append(Skipped(source.path, answer.reason, source.id))
            continue
        columns = (arrays.onset, arrays.duration, arrays.pitch, arrays.velocity)
        piece = Notes.from_arrays(*columns, name=source.id, meters=arrays.meters)
        found.append(replace(piece, tempo=arrays.tempo, ticks=arrays.ticks, unended=arrays.unended))
    return found, skipped


def training_pitch_limits(tokens: TokenCorpus, kind: str) -> tuple[int, int]:
    """Lowest and highest pitch of the training side's tokens, "percentile" or "range" as `metrics` defines them."""
    from metrics import Notes
    from metrics.music.outliers import pitch_limits

    words = (word.split("_") for word in tokens.vocabulary)
    pitch_of_token = np.array([int(value) if name == "Pitch" else -1 for name, value in words])
    pitches = pitch_of_token[tokens.stream("train").tokens]
    pitches = pitches[pitches >= 0]
    return pitch_limits([Notes.from_arrays(np.arange(len(pitches)), np.ones(len(pitches)), pitches)], kind)
