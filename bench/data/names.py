"""Names of corpora: `NAME`, `NAME/SUBSET`, `folder:PATH`, each with an optional `#track=TRACK` and `@INDEXofFOLDS`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.data.pieces import CorpusError
from bench.data.splits import parse_fold

FOLDER_PREFIX = "folder:"
TRACK_MARK = "#track="


@dataclass(frozen=True)
class CorpusName:
    """The parts of a corpus name: `demo/lieder#track=0@2of5` -> ("demo", "lieder", "0", (2, 5)).

    `track` is a name, in any case, or a number among the tracks of each file, from 0; None: all tracks.
    """

    name: str
    subset: str | None = None
    track: str | None = None
    fold: tuple[int, int] | None = None

    @classmethod
    def parse(cls, words: str) -> CorpusName:
        """Raises CorpusError for a fold or a track that is none; whether the corpus exists is not looked at."""
        name, fold = _without_fold(words)
        name, mark, track = name.partition(TRACK_MARK)
        if mark and not track.strip():
            raise CorpusError(f"corpus {words}: no track is named; allowed: {name}{TRACK_MARK}NAME_OR_NUMBER")
        subset = ""
        if not name.startswith(FOLDER_PREFIX):
            name, _, subset = name.partition("/")
        return cls(name, subset or None, track.strip() or None, fold)


def _without_fold(words: str) -> tuple[str, tuple[int, int] | None]:
    found = re.fullmatch(r"(.+)@([0-9]+of[0-9]+)", words)  # a folder's name may hold another @
    if found is None:
        return words, None
    try:
        return found[1], parse_fold(found[2])
    except ValueError as error:
        raise CorpusError(f"corpus {words}: {error}") from None
