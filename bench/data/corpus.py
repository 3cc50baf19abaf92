"""Loading of a corpus by name: list it, read every piece once, collect what cannot be used, set the sides."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

from bench.data.cache import CacheError, read_json, write_json
from bench.data.catalog import FOLDER_PREFIX, entry_of
from bench.data.near import near_duplicates
from bench.data.pieces import Corpus, CorpusError, Piece, Skipped, Source, part_of
from bench.data.reading import READER_VERSION, Inspection, piece_bytes
from bench.data.registry import Listing
from bench.data.splits import (
    FOLD_RULE,
    HASH_RULE,
    fold_split,
    group_copies,
    hash_split,
    keep_copies_together,
    parse_fold,
)
from bench.data.worker import Answer, Job
from bench.data.workers import ProgressCallback, read_all
from bench.files import canonical_hash
from bench.paths import cache_folder


def load_corpus(name: str, *, subset: str | None = None, progress: ProgressCallback | None = None) -> Corpus:
    """The corpus of this name: "demo", "demo/lieder", "pop909", "maestro", "essen-han" or "folder:PATH".

    After `@` follows a fold: of "pop909@2of5" the third fifth of the songs is test, the fourth validation.
    `subset` (or what follows the slash in a name) keeps the pieces whose id begins with that folder or book ("lieder",
    "2018", "han1.abc"); a piece has the same side in a subset as in the whole. Files that cannot be used stand in
    `skipped` with a reason. What was read is cached by the files' bytes. Raises CorpusError when the corpus is unknown,
    absent, or has no usable piece.
    """
    name, fold = _without_fold(name)
    if subset is None and not name.startswith(FOLDER_PREFIX):
        name, _, part = name.partition("/")
        subset = part or None
    entry = entry_of(name)
    listing = entry.read(entry.find())
    if not listing.sources:
        raise CorpusError(f"corpus {name} is empty: no MIDI, kar or ABC file under {entry.find()}")
    if subset is not None:
        _check_subset(name, subset, listing.sources)
        if listing.stratified:  # a stratum is split by itself, so that the others need not be read
            listing = replace(listing, sources=[source for source in listing.sources if part_of(source.id) == subset])
    hashes = {
        source.id: hashlib.sha256(piece_bytes(source.path, source.member)).hexdigest() for source in listing.sources
    }
    answers = inspect_sources(listing.sources, hashes, progress)
    found = {name: answer.inspection for name, answer in answers.items() if answer.inspection is not None}
    usable = [source for source in listing.sources if source.id in found]
    skipped = [
        Skipped(source.path, answers[source.id].reason, source.id)
        for source in listing.sources
        if source.id not in found
    ]
    if not usable:
        reasons = Counter(item.reason for item in skipped).most_common(3)
        raise CorpusError(
            f"corpus {name} has no usable piece among {len(skipped)}: "
            + "; ".join(f"{reason} ({count})" for reason, count in reasons)
        )
    sides, notes = _sides(usable, listing, hashes, found, fold, progress)
    pieces = [
        Piece(
            path=source.path,
            id=source.id,
            sha256=hashes[source.id],
            split=sides[source.id],
            title=source.title,
            member=source.member,
            notes=found[source.id].notes,
            content=found[source.id].content,
        )
        for source in usable
    ]
    if subset is not None:
        pieces = [piece for piece in pieces if part_of(piece.id) == subset]
        skipped = [item for item in skipped if part_of(item.id) == subset]
    return Corpus(
        name=name,
        subset=subset,
        pieces=sorted(pieces, key=lambda piece: piece.id),
        skipped=skipped,
        licence=entry.licence,
        split_rule=_split_rule(listing, fold),
        fold=f"{fold[0]}of{fold[1]}" if fold else None,
        notes=listing.notes + notes,
        about=listing.about,
    )


def inspect_sources(
    sources: list[Source], hashes: dict[str, str], progress: ProgressCallback | None = None
) -> dict[str, Answer]:
    """What reading each source gave, from the cache where all of them are unchanged."""
    # the bytes decide, but the format depends on the name's ending
    members = [[one.id, one.path.suffix.lower(), one.member, hashes[one.id]] for one in sources]
    key = canonical_hash([READER_VERSION, version("symusic"), members], 32)
    path = cache_folder() / "inspections" / f"{key}.json"
    kept = read_json(path)
    if kept is None:
        answers = read_all([Job(source.path, source.member) for source in sources], progress=progress)
        if not any(answer.transient for answer in answers):
            # reading again is slower, not wrong; for tokens, which are costly, a full disk is an error
            with suppress(CacheError):
                write_json(path, [_as_record(answer) for answer in answers])
    else:
        answers = [_from_record(record) for record in kept]
    return {source.id: answer for source, answer in zip(sources, answers, strict=True)}


def _as_record(answer: Answer) -> dict[str, Any]:
    return {"reason": answer.reason, "inspection": asdict(answer.inspection) if answer.inspection else None}


def _from_record(record: dict[str, Any]) -> Answer:
    kept = record["inspection"]
    if kept is not None:
        kept = Inspection(**{**kept, "pitches": tuple(kept["pitches"])})
    return Answer(reason=record["reason"], inspection=kept)


def _without_fold(name: str) -> tuple[str, tuple[int, int] | None]:
    found = re.fullmatch(r"(.+)@([0-9]+of[0-9]+)", name)  # a folder's name may hold another @
    if found is None:
        return name, None
    try:
        return found[1], parse_fold(found[2])
    except ValueError as error:
        raise CorpusError(f"corpus {name}: {error}") from None


def _split_rule(listing: Listing, fold: tuple[int, int] | None) -> str:
    if fold is not None:
        return FOLD_RULE.format(index=fold[0], folds=fold[1])
    return "official" if listing.official else HASH_RULE


def _sides(
    usable: list[Source],
    listing: Listing,
    hashes: dict[str, str],
    found: dict[str, Inspection],
    fold: tuple[int, int] | None,
    progress: ProgressCallback | None,
) -> tuple[dict[str, str], tuple[str, ...]]:
    contents = {source.id: found[source.id].content for source in usable}
    alike = {source.id: [hashes[source.id], contents[source.id]] for source in usable}
    groups = group_copies(alike)
    copies = len(groups) - len(set(groups.values()))
    notes: list[str] = []
    if copies:
        notes.append(f"{copies} pieces are copies of another (same notes); copies stand on one side")
    if listing.official and fold is None:
        published = {source.id: str(source.split) for source in usable}
        sides = keep_copies_together(published, groups)
        moved = sum(sides[piece] != published[piece] for piece in sides)
        if moved:
            notes.append(f"{moved} copies were moved from their official side to that of the held-out one")
        return sides, tuple(notes)
    pairs = near_duplicates(usable, contents, progress)
    if listing.stratified:
        pairs = [pair for pair in pairs if part_of(pair.first) == part_of(pair.second)]
    for number, pair in enumerate(pairs):
        for name in (pair.first, pair.second):
            alike[name].append(f"near {number}")
    if pairs:
        words = "1 pair" if len(pairs) == 1 else f"{len(pairs)} pairs"
        notes.append(f"{words} of near-duplicates, each on one side (`corpus check --near` names them)")
    groups = group_copies(alike)
    keys = set(groups.values())
    strata = {key: part_of(key) for key in keys} if listing.stratified else None
    if fold is not None and len(keys) < fold[1]:
        raise CorpusError(f"{fold[1]} folds need as many different pieces, and there are {len(keys)}")
    of_group = fold_split(keys, *fold, strata) if fold else hash_split(keys, strata)
    sides = {piece: of_group[group] for piece, group in groups.items()}
    return sides, tuple(notes)


def _check_subset(name: str, subset: str, sources: list[Source]) -> None:
    parts = sorted({part_of(source.id) for source in sources})
    if subset not in parts:
        shown = ", ".join(parts[:12]) + (", ..." if len(parts) > 12 else "")
        raise CorpusError(f"corpus {name} has no subset {subset!r}: it has {shown}")
