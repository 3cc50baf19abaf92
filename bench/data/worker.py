"""A reading process: takes one piece at a time from its parent, so that a file that crashes a parser costs one file.

Jobs and answers are pickles on stdin and stdout; whatever parsers print goes nowhere.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from bench.data.pieces import Piece, Source
from bench.data.reading import (
    Inspection,
    Member,
    NoteArrays,
    UnreadableError,
    inspect_score,
    note_arrays,
    read_counted,
    read_piece,
)
from bench.data.settings import TokenizerSettings

MEMORY_LIMIT_BYTES = 4 << 30


@dataclass(frozen=True)
class Job:
    """Read one piece; with settings turn it into tokens, with `notes` into arrays (with `unended` the notes that never
    end are counted too), else only inspect it."""

    path: Path
    member: Member
    settings: TokenizerSettings | None = None
    notes: bool = False
    track: str | None = None
    unended: bool = False

    @classmethod
    def of(cls, piece: Piece | Source, **what: Any) -> Job:
        """The job of a listed piece; `what`: settings, notes, unended."""
        return cls(piece.path, piece.member, track=piece.track, **what)


@dataclass(frozen=True)
class Answer:
    """Result of a job: a reason, or an inspection, or note arrays, or tokens uint16 (N,) with their vocabulary."""

    reason: str = ""
    inspection: Inspection | None = None
    notes: NoteArrays | None = None
    tokens: np.ndarray | None = None
    vocabulary: list[str] | None = None
    transient: bool = False
    """The reason lies in this run (a crash, a time-out, memory), so it is not remembered."""


def send(stream: IO[bytes], message: Any) -> None:
    """Write one pickle."""
    pickle.dump(message, stream, protocol=pickle.HIGHEST_PROTOCOL)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read one pickle; EOFError when the other side is gone."""
    try:
        return pickle.load(stream)
    except pickle.UnpicklingError as error:  # cut short
        raise EOFError from error


def do(job: Job) -> Answer:
    """Do one job; an unreadable piece is an answer, not an error."""
    try:
        if job.notes and job.unended:
            score, unended = read_counted(job.path, job.member, job.track)
            return Answer(notes=replace(note_arrays(score), unended=unended))
        score = read_piece(job.path, job.member, job.track)
        if job.notes:
            return Answer(notes=note_arrays(score))
        if job.settings is None:
            return Answer(inspection=inspect_score(score))
        from bench.data.remi import encode, vocabulary

        tokens = encode(score, job.settings)
        if len(tokens) == 0:
            return Answer(reason=f"no notes within pitches {job.settings.pitch_low}..{job.settings.pitch_high}")
        return Answer(tokens=tokens, vocabulary=vocabulary(job.settings))
    except UnreadableError as error:
        return Answer(reason=str(error))
    except MemoryError:
        return Answer(reason="reading it took more than the memory allowed", transient=True)
    except Exception as error:
        return Answer(reason=f"cannot be turned into tokens ({type(error).__name__}: {str(error)[:80]})")


def main() -> None:
    """Answer jobs until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory()
    answers = os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    jobs = sys.stdin.buffer
    while True:
        try:
            job = receive(jobs)
        except EOFError:
            return
        send(answers, do(job))


def _limit_memory() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    except (ImportError, ValueError, OSError):
        pass
