"""Loading of a corpus by name: list it, read every piece once, collect what cannot be used, set the sides."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

from bench.data import near
from bench.data.cache import CacheError, read_json, write_json
from bench.data.catalog import choose, entry_of
from bench.data.names import TRACK_MARK, CorpusName
from bench.data.near import near_duplicates, too_many
from bench.data.pieces import Corpus, CorpusError, Piece, Skipped, Source, part_of
from bench.data.reading import READER_VERSION, Inspection, hashed_bytes
from bench.data.registry import Listing
from bench.data.splits import (
    FOLD_RULE,
    HASH_RULE,
    fold_split,
    group_copies,
    hash_split,
    keep_copies_together,
)
from bench.data.worker import Answer, Job
from bench.data.workers import ProgressCallback, read_all
from bench.files import canonical_hash
from bench.paths import cache_folder

INSPECTION_VERSION = 2
"""Raised where other files than before are refused."""


def load_corpus(name: str, *, subset: str | None = None, progress: ProgressCallback | None = None) -> Corpus:
    """The corpus of this name: "demo", "demo/lieder", "pop909", "maestro", "essen-han" or "folder:PATH".

    After `@` follows a fold: of "pop909@2of5" the third fifth of the songs is test, the fourth validation.
    `subset` (or what follows the slash in a name) keeps the pieces whose id begins with that folder or book ("lieder",
    "2018", "han1.abc"), or one track of every piece ("melody" of pop909). After `#track=` follows the name or number of
    a track of any corpus: "folder:PATH#track=MELODY". A piece has the same side in a subset, and as one of its tracks,
    as in the whole; a piece without the track is skipped. Files that cannot be used stand in
    `skipped` with a reason. What was read is cached by the files' bytes. Raises CorpusError when the corpus is unknown,
    absent, or has no usable piece.
    """
    asked = CorpusName.parse(name)
    asked = asked if subset is None else replace(asked, subset=subset)
    name, fold = asked.name, asked.fold
    entry = entry_of(name)
    listing = entry.read(entry.find())
    if not listing.sources:
        raise CorpusError(f"corpus {name} is empty: no MIDI, kar or ABC file under {entry.find()}")
    chosen, track = choose(entry, listing.sources, asked)
    if listing.stratified:  # a stratum is split by itself, so that the others need not be read
        listing = replace(listing, sources=chosen)
    kept = {source.id for source in chosen}
    hashes = {
        source.id: hashlib.sha256(hashed_bytes(source.path, source.member)).hexdigest() for source in listing.sources
    }
    answers = inspect_sources(listing.sources, hashes, progress)
    found, skipped = _usable(name, listing.sources, answers)
    whole = [source for source in listing.sources if source.id in found]
    sides, notes = _sides(whole, listing, hashes, found, fold, progress)
    usable = [replace(source, track=track) for source in whole if source.id in kept]
    skipped = [item for item in skipped if item.id in kept]
    if track is not None:
        part = f"{name}/{asked.subset}" if asked.subset else name
        part += f"{TRACK_MARK}{asked.track}" if asked.track else ""
        found, without = _usable(part, usable, inspect_sources(usable, hashes, progress))
        usable, skipped = [source for source in usable if source.id in found], skipped + without
        notes += _track_notes(track, usable, sides, found, progress)
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
            track=source.track,
        )
        for source in usable
    ]
    return Corpus(
        name=name,
        subset=asked.subset,
        track=asked.track,
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
    members = [[one.id, one.path.suffix.lower(), one.member, hashes[one.id], one.track] for one in sources]
    key = canonical_hash([INSPECTION_VERSION, READER_VERSION, version("symusic"), members], 32)
    path = cache_folder() / "inspections" / f"{key}.json"
    kept = read_json(path)
    if kept is None:
        answers = read_all([Job.of(one) for one in sources], progress=progress)
        if not any(answer.transient for answer in answers):
            # reading again is slower, not wrong; for tokens, which are costly, a full disk is an error
            with suppress(CacheError):
                write_json(path, [_as_record(answer) for answer in answers])
    else:
        answers = [_from_record(record) for record in kept]
    return {source.id: answer for source, answer in zip(sources, answers, strict=True)}


def _usable(
    name: str, sources: list[Source], answers: dict[str, Answer]
) -> tuple[dict[str, Inspection], list[Skipped]]:
    """What is known of the pieces that can be used, and the others; CorpusError where all are others."""
    found = {piece: answer.inspection for piece, answer in answers.items() if answer.inspection is not None}
    skipped = [Skipped(one.path, answers[one.id].reason, one.id) for one in sources if one.id not in found]
    if not found:
        reasons = Counter(item.reason for item in skipped).most_common(3)
        raise CorpusError(
            f"corpus {name} has no usable piece among {len(skipped)}: "
            + "; ".join(f"{reason} ({count})" for reason, count in reasons)
        )
    return found, skipped


def _track_notes(
    track: str,
    usable: list[Source],
    sides: dict[str, str],
    found: dict[str, Inspection],
    progress: ProgressCallback | None,
) -> tuple[str, ...]:
    notes = [f"track {track} of each piece alone; each is on the side of its whole piece"]
    pairs = near_duplicates(usable, {source.id: found[source.id].content for source in usable}, progress)
    if across := [pair for pair in pairs if sides[pair.first] != sides[pair.second]]:
        named = ", ".join(f"{pair.first} and {pair.second}" for pair in across[:3]) + (", ..." if across[3:] else "")
        notes.append(f"near-duplicates as this track alone, on two sides: {len(across)} ({named})")
    return tuple(notes)


def _as_record(answer: Answer) -> dict[str, Any]:
    return {"reason": answer.reason, "inspection": asdict(answer.inspection) if answer.inspection else None}


def _from_record(record: dict[str, Any]) -> Answer:
    kept = record["inspection"]
    if kept is not None:
        kept = Inspection(**{**kept, "pitches": tuple(kept["pitches"])})
    return Answer(reason=record["reason"], inspection=kept)


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
    if too_many(contents[source.id] for source in usable):
        notes.append(f"near-duplicates are sought in corpora of up to {near.MOST_PIECES:,} pieces, not in this one")
    for source in usable:
        if source.group:
            alike[source.id].append(f"group {source.group}")
    groups = group_copies(alike)
    keys = set(groups.values())
    strata = {key: part_of(key) for key in keys} if listing.stratified else None
    if fold is not None and len(keys) < fold[1]:
        raise CorpusError(f"{fold[1]} folds need as many different pieces, and there are {len(keys)}")
    of_group = fold_split(keys, *fold, strata) if fold else hash_split(keys, strata)
    sides = {piece: of_group[group] for piece, group in groups.items()}
    return sides, tuple(notes)
