"""The notes of a corpus: read in parallel, from MIDI files and from tunes inside ABC files alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.data.pieces import Corpus, check_split
from bench.data.worker import Job
from bench.data.workers import ProgressCallback, read_all

if TYPE_CHECKING:
    from bench.data.tokens import TokenCorpus
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


def training_pitch_limits(tokens: TokenCorpus, kind: str) -> tuple[int, int]:
    """Lowest and highest pitch of the training side's tokens, "percentile" or "range" as `metrics` defines them."""
    from metrics import Notes
    from metrics.outliers import pitch_limits

    words = (word.split("_") for word in tokens.vocabulary)
    pitch_of_token = np.array([int(value) if name == "Pitch" else -1 for name, value in words])
    pitches = pitch_of_token[tokens.stream("train").tokens]
    pitches = pitches[pitches >= 0]
    return pitch_limits([Notes.from_arrays(np.arange(len(pitches)), np.ones(len(pitches)), pitches)], kind)
