"""The notes of a corpus, for the metrics: read in parallel, from MIDI files and from tunes inside ABC files alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.data.pieces import Corpus, check_split
from bench.data.worker import Job
from bench.data.workers import ProgressCallback, read_all

if TYPE_CHECKING:
    from metrics import Notes


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
    from metrics import Notes

    if split is not None:
        check_split(split)
    pieces = [piece for piece in corpus.pieces if split in (None, piece.split)]
    answers = read_all([Job(p.path, p.tune, notes=True) for p in pieces], progress=progress, processes=processes)
    return [
        Notes.from_arrays(
            arrays.onset, arrays.duration, arrays.pitch, arrays.velocity, name=piece.id, meters=arrays.meters
        )
        for piece, answer in zip(pieces, answers, strict=True)
        if (arrays := answer.notes) is not None
    ]
