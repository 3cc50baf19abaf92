"""Split of a corpus: official where there is one, else by hash; copies of a piece stay on one side."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

from bench.errors import quoted

FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}
SALT = "smdim-bench split 48"
"""The number is kept, so that no song changes its side. Its held-out sides of the demo's lieder are typical: 8.8 % and
11.0 % of the tokens, grammar baseline 3.63 (validation) and 3.77 bits/token (test); over 300 numbers the
median is 3.68, its standard deviation 0.10."""
STRICTNESS = {"train": 0, "validation": 1, "test": 2}
HASH_RULE = "by hash of the piece, 80/10/10, copies and near-duplicates together"
FOLD_RULE = "fold {index} of {folds} (from 0) by hash, the next validation, copies and near-duplicates together"
FEWEST_FOLDS = 3


def hash_split(groups: Iterable[str], strata: Mapping[str, str] | None = None) -> dict[str, str]:
    """Side of each group of copies, from its key alone: keys in the order of their salted SHA-256, the first tenth is
    test, the second validation, the rest train (rounded; at least one on each side from three groups on).

    Adding a piece moves at most three others. `strata` (key -> stratum) splits each stratum by itself, so that a part
    of a corpus has the same sides as the whole.
    """
    sides: dict[str, str] = {}
    for ordered in _dealt(groups, strata):
        held_out = {
            side: max(round(FRACTIONS[side] * len(ordered)), 1 if len(ordered) >= 3 else 0)
            for side in ("test", "validation")
        }
        for rank, key in enumerate(ordered):
            if rank < held_out["test"]:
                sides[key] = "test"
            elif rank < held_out["test"] + held_out["validation"]:
                sides[key] = "validation"
            else:
                sides[key] = "train"
    return sides


def fold_split(
    groups: Iterable[str], index: int, folds: int, strata: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Side of each group of copies where fold `index` of `folds` is test, the next one validation, the rest train.

    The folds are equal stretches of the order of `hash_split`, so that every group is test in exactly one of them.
    """
    sides: dict[str, str] = {}
    for ordered in _dealt(groups, strata):
        for rank, key in enumerate(ordered):
            distance = (rank * folds // len(ordered) - index) % folds
            sides[key] = {0: "test", 1: "validation"}.get(distance, "train")
    return sides


def _dealt(groups: Iterable[str], strata: Mapping[str, str] | None) -> list[list[str]]:
    """The groups of each stratum in the order of their salted hash."""
    members: dict[str, list[str]] = defaultdict(list)
    for key in groups:
        members[strata[key] if strata else ""].append(key)
    return [
        sorted(keys, key=lambda key: hashlib.sha256(f"{SALT}\n{key}".encode()).digest()) for keys in members.values()
    ]


def parse_fold(words: str) -> tuple[int, int]:
    """`"2of5"` -> (2, 5): fold 2, counted from 0, of five. Raises ValueError for anything else."""
    index, of, folds = words.partition("of")
    if not (of and index.isdecimal() and folds.isdecimal() and int(folds) >= FEWEST_FOLDS and int(index) < int(folds)):
        raise ValueError(f"{quoted(words)} is no fold: allowed: INDEXofFOLDS as in 0of5, from {FEWEST_FOLDS} folds on")
    return int(index), int(folds)


def all_folds(count: int) -> list[str]:
    """`["0of5", ..., "4of5"]`. Raises ValueError below three folds."""
    if count < FEWEST_FOLDS:
        raise ValueError(f"splits: {count} folds; allowed: {FEWEST_FOLDS} or more, since two are held out")
    return [f"{index}of{count}" for index in range(count)]


def group_copies(hashes: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Id -> key of its group: the smallest id of pieces that share a hash (bytes or notes), directly or in a chain."""
    parent = {piece: piece for piece in hashes}

    def root(piece: str) -> str:
        while parent[piece] != piece:
            parent[piece] = parent[parent[piece]]
            piece = parent[piece]
        return piece

    first: dict[str, str] = {}
    for piece in sorted(hashes):
        for value in hashes[piece]:
            other = root(first.setdefault(value, piece))
            mine = root(piece)
            parent[max(other, mine)] = min(other, mine)
    return {piece: root(piece) for piece in hashes}


def keep_copies_together(sides: Mapping[str, str], groups: Mapping[str, str]) -> dict[str, str]:
    """Official sides with every group of copies on its strictest side (test before validation before train)."""
    strictest: dict[str, str] = {}
    for piece, side in sides.items():
        held = strictest.get(groups[piece], side)
        strictest[groups[piece]] = max(held, side, key=STRICTNESS.__getitem__)
    return {piece: strictest[groups[piece]] for piece in sides}
