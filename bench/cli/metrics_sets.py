"""The sets that `metrics` compares: generated, held-out and training pieces, cut to equal length, on one grid."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UserError, quoted

if TYPE_CHECKING:
    import numpy as np

    from metrics import Notes
    from metrics.music.excerpts import Extent, Unit

FEW_PIECES = 10
UNEQUAL = 1.5  # ratio of two sides' medians from which they are pointed out
FEWEST_IN_FOLDER = 3  # pieces from which a subfolder counts as a set of its own


@dataclass(frozen=True)
class Sets:
    """Generated pieces, the held-out pieces they are compared with, training pieces, and those that ceilings are drawn
    from."""

    generated: list[Notes]
    reference: list[Notes]
    train: list[Notes]
    real: list[Notes]

    def each(self, change: Callable[[Notes], Notes]) -> Sets:
        """The sets with every piece changed, a piece that stands in two of them once."""
        made: dict[int, Notes] = {}

        def changed(piece: Notes) -> Notes:
            if id(piece) not in made:
                made[id(piece)] = change(piece)
            return made[id(piece)]

        return Sets(*([changed(piece) for piece in pieces] for pieces in self.all))

    @property
    def all(self) -> tuple[list[Notes], list[Notes], list[Notes], list[Notes]]:
        """The four sets."""
        return self.generated, self.reference, self.train, self.real


def length_of(words: str) -> tuple[float, Unit]:
    """`270notes` or `64beats` as number and unit. Raises UserError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(notes|beats)", words.strip())
    if not found or not float(found[1]) > 0 or (found[2] == "notes" and float(found[1]) < 2):
        raise UserError(
            f"--length {quoted(words)}: allowed are a number of notes (2 or more) or beats: 270notes, 64beats"
        )
    number = float(found[1])
    return (math.floor(number), "notes") if found[2] == "notes" else (number, "beats")


def matched(
    generated: list[Notes],
    held_out: list[Notes],
    known: list[Notes] | None,
    seed: int,
    length: tuple[float, Unit] | None,
    *,
    whole: bool,
) -> Sets:
    """As many reference pieces as generated ones, one a song first, since overlap depends on the number; the other
    held-out songs, or the training pieces `known` where they are of the reference's own kind, are what ceilings are
    drawn from.

    Pieces are cut to excerpts as long as the generated pieces in notes, or of `length` on both sides, or left `whole`.
    """
    import numpy as np

    from metrics.music.excerpts import excerpts

    generator = np.random.default_rng([seed, 5])
    if length is not None and not whole:
        generated = [excerpts(piece, *length)[0] for piece in generated]
    sizes = np.sort([len(piece) for piece in generated if len(piece) > 1])

    def cut(pieces: list[Notes]) -> list[Notes]:
        # lengths are paired by rank, so that sets of like lengths are left nearly as they are
        rank = np.argsort(np.argsort([len(piece) for piece in pieces], kind="stable"))
        at = ((rank + 0.5) / max(len(pieces), 1) * len(sizes)).astype(np.int64)
        wanted = [(int(sizes[place]), "notes") if len(sizes) else None for place in at]
        parts = (
            [piece] if whole or to is None else excerpts(piece, *to)
            for piece, to in zip(pieces, [length] * len(pieces) if length is not None else wanted, strict=True)
        )
        return [replace(part, song=part.song or part.name) for several in parts for part in several if len(part)]

    chosen, spare = _one_a_song_first(cut(held_out), len(generated), generator)
    train = cut(known) if known is not None else spare
    return Sets(generated, chosen, train, train if known is not None else spare)


def _one_a_song_first(
    pieces: list[Notes], count: int, generator: np.random.Generator
) -> tuple[list[Notes], list[Notes]]:
    """`count` pieces, and those of the other songs."""
    import numpy as np

    from metrics.music.draws import draw_pieces
    from metrics.music.notes import song_numbers

    songs = song_numbers(pieces)
    places = draw_pieces(songs, count, generator, 1, 1.0).chosen.ravel()
    left = np.flatnonzero(~np.isin(songs, songs[places]))
    return [pieces[place] for place in np.sort(places)], [pieces[place] for place in left]


def one_grid(sets: Sets) -> tuple[Sets, int]:
    """The sets on the coarser grid of generated and reference pieces, and its steps a beat; 0 where neither has one."""
    from metrics.music.excerpts import grid_of, on_grid

    grids = [grid_of(sets.generated), grid_of(sets.reference)]
    steps = min((grid for grid in grids if grid), default=0)
    if not steps or grids[0] == grids[1]:
        return sets, steps
    return sets.each(lambda piece: on_grid(piece, steps)), steps


def warnings(sets: Sets, extents: tuple[Extent, Extent]) -> list[str]:
    """What makes the two sides incomparable or the figures weak, one line each."""
    generated, reference = sets.generated, sets.reference
    found = [*_copies(sets), *_mixture(generated)]
    if min(len(generated), len(reference)) < FEW_PIECES:
        few = min(len(generated), len(reference))
        found.append(f"{few} pieces on one side: the intervals are wide, and overlaps of so few pieces lie low")
    if len(reference) < len(generated):
        found.append(f"{len(reference)} reference pieces for {len(generated)} generated ones: numbers should match")
    songs = len({piece.song or piece.name for piece in reference})
    if songs == 1:
        found.append("the reference is one song: no interval can be given, and figures say how near that song is")
    for what, unit in (("notes", "notes"), ("beats", "beats"), ("tempo", "beats a minute")):
        sizes = [getattr(extent, what) for extent in extents]
        if all(size > 0 for size in sizes) and max(sizes) >= UNEQUAL * min(sizes):
            found.append(
                f"{what}: {sizes[0]:.0f} {unit} in the generated pieces and {sizes[1]:.0f} in the reference (medians): "
                "figures that depend on it compare unlike things"
            )
    bars = [_usual_bar(pieces) for pieces in (generated, reference)]
    if bars[0] and bars[1] and bars[0] != bars[1]:
        found.append(
            f"bars are {bars[0]:g} beats long in the generated pieces and {bars[1]:g} in the reference: figures that "
            "count bars (framewise, structure, groove) compare unlike things; --bar-beats sets one length"
        )
    return found


def _copies(sets: Sets) -> list[str]:
    from metrics.music.notes import repeated_pieces

    found = []
    for side, pieces in (("generated", sets.generated), ("reference", sets.reference)):
        groups = repeated_pieces(pieces)
        if groups:
            copies = sum(len(group) - 1 for group in groups)
            found.append(
                f"{copies} of {len(pieces)} {side} pieces repeat the notes of another one ({groups[0][0].name} stands "
                f"{len(groups[0])} times): copies are no further evidence, intervals count each music once"
            )
    for side, others in (("reference", sets.reference), ("training", sets.train)):
        known = {piece.content_hash: piece.name for piece in others if len(piece)}
        hashes = [(piece.name, piece.content_hash) for piece in sets.generated]
        same = [(name, known[content]) for name, content in hashes if content in known]
        if same:
            found.append(
                f"{len(same)} of {len(sets.generated)} generated pieces hold the same notes as {side} pieces "
                f"({same[0][0]} = {same[0][1]}): overlap and novelty say nothing of them"
            )
    return found


def _mixture(pieces: list[Notes]) -> list[str]:
    """A folder whose subfolders hold several pieces each: perhaps several systems."""
    counts: dict[str, int] = {}
    for piece in pieces:
        folder = Path(piece.name).parent.as_posix()
        counts[folder] = counts.get(folder, 0) + 1
    several = {name: count for name, count in counts.items() if count >= FEWEST_IN_FOLDER}
    if len(several) < 2:
        return []
    named = ", ".join(f"{'the folder itself' if name == '.' else name} ({count})" for name, count in several.items())
    return [f"the generated pieces lie in several folders: {named}; music of several systems is measured one by one"]


def _usual_bar(pieces: list[Notes]) -> float:
    import numpy as np

    lengths = [float(np.median(np.diff(piece.bar_starts()))) for piece in pieces if len(piece)]
    return float(np.median(lengths)) if lengths else 0.0
