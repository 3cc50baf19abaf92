"""Pieces and corpora: which music there is, on which side of the split it stands, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import UserError, quoted
from bench.files import canonical_hash

SPLITS = ("train", "validation", "test")


class CorpusError(UserError):
    """A corpus is unknown, absent or empty."""


@dataclass(frozen=True)
class Source:
    """One piece as a corpus lists it, before anything was read: a MIDI file, one of an archive, a tune of an ABC file.

    `member` is its name in a tar.xz or its number (X: line) in an ABC file, None for a file that is one piece.
    `split` is the official side, None where the corpus has no official split. `track` is the name or number of the one
    track that is meant, None for all. Sources of one `group` ("": none) are versions of one music
    by the corpus's own word and stand on one side.
    """

    path: Path
    id: str
    title: str = ""
    split: str | None = None
    member: int | str | None = None
    track: str | None = None
    group: str = ""

    @property
    def file_name(self) -> str:
        """The last part of the id: a file's name, or a book's with the number of the tune."""
        return self.id.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The file name without its ending, as a name for files made from the piece."""
        return Path(self.file_name).stem if "#" not in self.file_name else self.file_name.replace("#", "-")


@dataclass(frozen=True)
class Piece:
    """One readable piece. `sha256` is that of its bytes; `notes` counts its notes without drums."""

    path: Path
    id: str
    sha256: str
    split: str
    title: str = ""
    member: int | str | None = None
    notes: int = 0
    content: str = ""
    """Hash of (onset, duration, pitch) alone: equal for copies that differ in velocity, tempo, tracks or format."""
    track: str | None = None


@dataclass(frozen=True)
class Skipped:
    """A listed piece that cannot be used, and why in words."""

    path: Path
    reason: str
    id: str = ""


@dataclass(frozen=True)
class Corpus:
    """A named set of pieces with a split, in the order of their ids.

    `split_rule` says how the sides were chosen, `notes` what a reader of results must know (moved duplicates,
    rows without a file). `fingerprint` names the contents: ids, bytes, tracks, sides and order.
    `track` is the track that the corpus was named with; that of a subset such as pop909/melody stands at its pieces.
    """

    name: str
    pieces: list[Piece]
    skipped: list[Skipped]
    licence: str
    split_rule: str
    subset: str | None = None
    track: str | None = None
    fold: str | None = None
    notes: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any piece, its bytes, its track or its side."""
        facts = [[piece.id, piece.sha256, piece.split] for piece in self.pieces]
        tracks = [[piece.track] if piece.track is not None else [] for piece in self.pieces]
        return canonical_hash([fact + track for fact, track in zip(facts, tracks, strict=True)])

    @property
    def label(self) -> str:
        """The name with subset, track and fold: "demo", "demo/lieder", "demo/lieder#track=0@2of5"."""
        part = (f"/{self.subset}" if self.subset else "") + (f"#track={self.track}" if self.track else "")
        return self.name + part + (f"@{self.fold}" if self.fold else "")

    def of_split(self, split: str) -> list[Piece]:
        """Pieces of "train", "validation" or "test", in order of id; ValueError for any other word."""
        check_split(split)
        return [piece for piece in self.pieces if piece.split == split]


def part_of(piece_id: str) -> str:
    """The subset that a piece belongs to: the top folder or the book of its id."""
    return piece_id.partition("#")[0].partition("/")[0]


def check_split(split: str) -> None:
    """ValueError unless `split` is one of the three sides."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {quoted(split)}")
