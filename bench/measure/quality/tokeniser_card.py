"""Card of a tokenizer on a corpus: its size, what a window holds, and what the round trip through tokens changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

import numpy as np

from bench.data.pieces import SPLITS
from bench.data.remi import onset_steps
from bench.measure.quality.extent import count_notes, window_extent
from metrics.music.attribute import ATTRIBUTES, attribute_counts, histogram_overlap
from metrics.music.draws import REDRAWS, draw_pieces
from metrics.music.notes import Notes, song_numbers, with_notes

if TYPE_CHECKING:
    from bench.data import TokenCorpus

LENGTHS: Final = (512, 1024, 2048)
SEED: Final = 20260
SAME_BEATS: Final = 1e-6
MEAN: Final = "mean"


@dataclass(frozen=True)
class Fact:
    """One line of the card: a figure with its unit, what it was counted over, and for a spread its 95 % range."""

    name: str
    value: float
    unit: str
    over: str = ""
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True)
class RoundTrip:
    """Notes of pieces before and after their tokens: how many are lost, and what changes in those that are kept.

    `no_token`: outside the pitch range. `merged`: one of two of a pitch at one position. `moved` and `resized`: onset,
    or duration, of a kept note is another, by `onset_beats` and `duration_beats` on average over all kept ones.
    """

    notes: int
    no_token: int
    merged: int
    moved: int
    resized: int
    onset_beats: float
    duration_beats: float

    @property
    def kept(self) -> int:
        """Notes that are there after the round trip."""
        return self.notes - self.no_token - self.merged


def tokeniser_card(tokens: TokenCorpus, originals: Sequence[Notes]) -> list[Fact]:
    """The facts of a tokenizer on a corpus whose pieces are `originals` before tokens, named by piece id.

    Windows are full ones of all sides. OA is `oa_attribute` of whole test pieces: after the round trip against
    themselves, and, for scale, as many pieces of the training side against them, mean and 95 % range of 200 draws.
    """
    by_name = {piece.name: piece for piece in originals}
    before = {split: [by_name[piece.id] for piece in tokens.stream(split).pieces] for split in SPLITS}
    after = {split: _decoded(tokens, split) for split in SPLITS}
    pieces = [piece for split in SPLITS for piece in tokens.pieces(split)]
    notes = sum(count_notes(tokens, piece) for piece in pieces)
    total = sum(len(piece) for piece in pieces)
    facts = [
        Fact("vocabulary", tokens.vocab_size, "tokens"),
        Fact("tokens a note", total / notes, "tokens", f"{total:,} tokens, {notes:,} notes, {len(pieces):,} pieces"),
    ]
    facts += _windows(tokens)
    facts += _changes(round_trip(list(chain(*before.values())), list(chain(*after.values())), tokens))
    return facts + list(_overlaps(before, after))


def _decoded(tokens: TokenCorpus, split: str) -> list[Notes]:
    from metrics import read_notes

    rows = zip(tokens.pieces(split), tokens.stream(split).pieces, strict=True)
    return [read_notes(tokens.decode(row), name=piece.id) for row, piece in rows]


def _windows(tokens: TokenCorpus) -> Iterator[Fact]:
    for length in LENGTHS:
        held = []
        for split in SPLITS:
            if tokens.stream(split).pieces:
                full = np.flatnonzero(tokens.windows(split, length).count == length)
                held.append(np.array(window_extent(tokens, split, length, full.tolist())))
        table = np.concatenate(held, axis=1)  # notes and beats of each window
        means = table.mean(axis=1) if table.size else np.full(2, np.nan)
        for name, mean in zip(("notes", "beats"), means.tolist(), strict=True):
            yield Fact(f"{name} a window of {length}", mean, name, f"{table.shape[1]:,} full windows")


def round_trip(before: Sequence[Notes], after: Sequence[Notes], tokens: TokenCorpus) -> RoundTrip:
    """Compare the notes of pieces with those that their tokens decode to, piece by piece.

    A note is found again by its pitch and by the grid position of its onset, of several by their order in duration.
    """
    settings = tokens.settings
    steps_a_beat = settings.positions_a_beat
    counts = np.zeros(5, np.int64)
    changes = np.zeros(2)
    for first, second in zip(before, after, strict=True):
        inside = (first.pitch >= settings.pitch_low) & (first.pitch <= settings.pitch_high)
        old = _by_place(first, onset_steps(first.onset, settings), inside)
        new = _by_place(second, np.rint(second.onset * steps_a_beat).astype(np.int64), np.ones(len(second), bool))
        pairs = [pair for key, one in old.items() for pair in zip(one, new.get(key, []), strict=False)]
        places = np.array(pairs, np.int64).reshape(-1, 2)
        onset = np.abs(second.onset[places[:, 1]] - first.onset[places[:, 0]])
        held = [piece.releases - piece.onset for piece in (first, second)]
        duration = np.abs(held[1][places[:, 1]] - held[0][places[:, 0]])
        changed = [int((change > SAME_BEATS).sum()) for change in (onset, duration)]
        counts += [len(first), int((~inside).sum()), int(inside.sum()) - len(places), *changed]
        changes += [onset.sum(), duration.sum()]
    total, no_token, merged, moved, resized = counts.tolist()
    means = changes / max(total - no_token - merged, 1)
    return RoundTrip(total, no_token, merged, moved, resized, *means.tolist())


def _by_place(notes: Notes, steps: np.ndarray, wanted: np.ndarray) -> dict[tuple[int, int], list[int]]:
    """Pitch and grid position -> the notes there, the longest first."""
    order = np.lexsort((notes.onset - notes.releases, steps))
    found: dict[tuple[int, int], list[int]] = {}
    for place in order[wanted[order]].tolist():
        found.setdefault((int(notes.pitch[place]), int(steps[place])), []).append(place)
    return found


def _changes(found: RoundTrip) -> list[Fact]:
    of_all, of_kept = f"{found.notes:,} notes", f"{found.kept:,} notes kept"
    kept = max(found.kept, 1)
    return [
        Fact("notes lost: no token for their pitch (no pitch changes)", found.no_token / found.notes, "share", of_all),
        Fact("notes lost: one of two of a pitch at one position", found.merged / found.notes, "share", of_all),
        Fact("notes whose onset changes", found.moved / kept, "share", of_kept),
        Fact("notes whose duration changes", found.resized / kept, "share", of_kept),
        Fact("change of onset, mean", found.onset_beats, "beats", of_kept),
        Fact("change of duration, mean", found.duration_beats, "beats", of_kept),
    ]


def _overlaps(before: dict[str, list[Notes]], after: dict[str, list[Notes]]) -> Iterator[Fact]:
    test, trip = with_notes(before["test"]), with_notes(after["test"])
    train = with_notes(before["train"])
    if not test or not trip or not train:
        return
    draws = draw_pieces(song_numbers(train), len(test), np.random.default_rng(SEED))
    size = draws.chosen.shape[1]
    found: dict[str, tuple[float, np.ndarray]] = {}
    for attribute in ATTRIBUTES:
        real, changed, others = (attribute_counts(side, attribute) for side in (test, trip, train))
        ceiling = histogram_overlap(others[draws.chosen].sum(1), real.sum(0))  # R
        found[attribute] = float(histogram_overlap(changed.sum(0), real.sum(0))), ceiling
    found[MEAN] = float(np.mean([one for one, _ in found.values()])), np.mean([one for _, one in found.values()], 0)
    for name in (MEAN, *ATTRIBUTES):
        words = "OA mean" if name == MEAN else f"OA {name}"
        yield Fact(f"{words} after the round trip", found[name][0], "1", f"{len(test)} test songs against themselves")
        ceiling = found[name][1]
        low, high = np.clip(np.quantile(draws.spread(ceiling), (0.025, 0.975)), 0, 1).tolist()
        over = f"{size} training songs against {len(test)} test songs, {REDRAWS} draws"
        yield Fact(f"{words} of other real music", float(ceiling.mean()), "1", over, low, high)
