"""The sets that `metrics` compares: generated, held-out and training pieces, cut to equal length, on one grid."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UserError, quoted

if TYPE_CHECKING:
    import numpy as np

    from metrics import Notes
    from metrics.music.excerpts import Unit

FEW_PIECES = 10
UNEQUAL = 1.5  # ratio of two sides' medians from which they are pointed out
ROUNDING = 1e-9  # beats
FEWEST_IN_FOLDER = 3  # pieces from which a subfolder counts as a set of its own


@dataclass(frozen=True)
class Sets:
    """Generated pieces of each system, the held-out pieces they are compared with, training pieces, and those that
    ceilings are drawn from."""

    systems: Mapping[str, list[Notes]]
    reference: list[Notes]
    train: list[Notes]
    real: list[Notes]

    def each(self, change: Callable[[Notes], Notes]) -> Sets:
        """The sets with every piece changed, a piece that stands in two of them once."""
        made: dict[int, Notes] = {}

        def changed(pieces: list[Notes]) -> list[Notes]:
            made.update({id(piece): change(piece) for piece in pieces if id(piece) not in made})
            return [made[id(piece)] for piece in pieces]

        systems = {name: changed(pieces) for name, pieces in self.systems.items()}
        return Sets(systems, *(changed(pieces) for pieces in (self.reference, self.train, self.real)))


def other_files(folder: Path) -> Counter[str]:
    """Visible files below a folder that are no music by their endings: how many of each ending."""
    from metrics.music.folder import find_files

    music = set(find_files(folder))
    files = (path for path in folder.rglob("*") if path not in music and not path.name.startswith("."))
    return Counter(path.suffix.lower() for path in files if path.is_file())


def length_of(words: str) -> tuple[float, Unit]:
    """`270notes` or `64beats` as number and unit. Raises UserError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(notes|beats)", words.strip())
    if not found or not float(found[1]) > 0 or (found[2] == "notes" and float(found[1]) < 2):
        raise UserError(
            f"--length {quoted(words)}: allowed are a number of notes (2 or more) or beats: 270notes, 64beats"
        )
    number = float(found[1])
    return (math.floor(number), "notes") if found[2] == "notes" else (number, "beats")


def long_enough(pieces: list[Notes], length: tuple[float, Unit] | None) -> list[Notes]:
    """The pieces that reach a length; all of them without one."""
    if length is None:
        return pieces
    size, unit = length
    return [
        piece
        for piece in pieces
        if len(piece) and (len(piece) if unit == "notes" else piece.end_beats - piece.onset[0] + ROUNDING) >= size
    ]


def evened(systems: Mapping[str, list[Notes]], seed: int, *, whole: bool) -> dict[str, list[Notes]]:
    """As many pieces of each of several systems as the smallest has, of the same lengths in notes unless `whole`:
    the k-th shortest of each is cut to the shortest k-th of all."""
    import numpy as np

    if len(systems) < 2:
        return dict(systems)
    count = min(map(len, systems.values()))
    generator = np.random.default_rng([seed, 6])
    chosen = {name: _one_a_song_first(pieces, count, generator)[0] for name, pieces in systems.items()}
    if whole:
        return chosen
    sizes = np.sort([[len(piece) for piece in pieces] for pieces in chosen.values()], axis=1).min(axis=0)
    found = {}
    for name, pieces in chosen.items():
        rank = np.argsort(np.argsort([len(piece) for piece in pieces], kind="stable"))
        found[name] = [_cut(piece, max(int(sizes[place]), 2)) for piece, place in zip(pieces, rank, strict=True)]
    return found


def _cut(piece: Notes, length: float, unit: Unit = "notes") -> Notes:
    """The first excerpt of a piece; it has the piece's song, or none, where `excerpts` takes the piece's name."""
    from metrics.music.excerpts import excerpts

    return replace(excerpts(piece, length, unit)[0], song=piece.song)


def matched(
    systems: Mapping[str, list[Notes]],
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

    Systems are made equal in number and length (`evened`). Real pieces are cut to excerpts as long as the generated
    pieces in notes, or all to `length`, or left `whole`.
    """
    import numpy as np

    from metrics.music.excerpts import excerpts

    generator = np.random.default_rng([seed, 5])
    if length is not None and not whole:
        systems = {name: [_cut(piece, *length) for piece in pieces] for name, pieces in systems.items()}
    systems = evened(systems, seed, whole=whole or length is not None)
    generated = next(iter(systems.values()))
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
    return Sets(systems, chosen, train, train if known is not None else spare)


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
    """The sets on the coarsest grid of systems and reference, and its steps a beat; 0 where none has one."""
    from metrics.music.excerpts import grid_of, on_grid

    grids = [grid_of(pieces) for pieces in (*sets.systems.values(), sets.reference)]
    steps = min((grid for grid in grids if grid), default=0)
    if not steps or len(set(grids)) == 1:
        return sets, steps
    return sets.each(lambda piece: on_grid(piece, steps)), steps


def warnings(sets: Sets, given: Sets | None = None) -> list[str]:
    """What makes the sides incomparable or the figures weak, one line each; a system is named where there are several.

    `given`: the sets as they were read, in which copies are sought first: of two copies one may be cut otherwise.
    """
    reference, found = sets.reference, []
    for name, generated in sets.systems.items():
        copies = given and _copies(given.systems[name], given)
        words = [*(copies or _copies(generated, sets)), *_mixture(generated), *_unlike(generated, reference)]
        found += [f"{name}: {line}" for line in words] if len(sets.systems) > 1 else words
    found += _shared((given or sets).systems)
    found += _repeats(reference, "reference")
    count = min(map(len, sets.systems.values()))
    if (few := min(count, len(reference))) < FEW_PIECES:
        found.append(
            f"{few} piece{'s' if few > 1 else ''} on one side: intervals are wide, and overlaps of so few lie low"
        )
    if len(reference) < count:
        found.append(f"{len(reference)} reference pieces for {count} generated ones: numbers should match")
    songs = len({piece.song or piece.name for piece in reference})
    if songs == 1:
        found.append("the reference is one song: no interval can be given, and figures say how near that song is")
    return found


def _unlike(generated: list[Notes], reference: list[Notes]) -> list[str]:
    from metrics.music.excerpts import Extent

    extents, found = [Extent.of(side) for side in (generated, reference)], []
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


def _repeats(pieces: list[Notes], side: str) -> list[str]:
    from metrics.music.notes import repeated_pieces

    groups = repeated_pieces(pieces)
    if not groups:
        return []
    copies = sum(len(group) - 1 for group in groups)
    return [
        f"{copies} of {len(pieces)} {side} pieces repeat the notes of another one ({groups[0][0].name} stands "
        f"{len(groups[0])} times): copies are no further evidence, intervals count each music once"
    ]


def _copies(generated: list[Notes], sets: Sets) -> list[str]:
    found = _repeats(generated, "generated")
    for side, others in (("reference", sets.reference), ("training", sets.train)):
        if same := _common(generated, others):
            found.append(
                f"{len(same)} of {len(generated)} generated pieces hold the same notes as {side} pieces "
                f"({same[0][0]} = {same[0][1]}): overlap and novelty say nothing of them"
            )
    return found


def _shared(systems: Mapping[str, list[Notes]]) -> list[str]:
    """Pieces that two systems have in common."""
    return [
        f"{len(same)} pieces of {one} are pieces of {other} too ({same[0][0]} = {same[0][1]}): they add no difference"
        for one, other in combinations(systems, 2)
        if (same := _common(systems[one], systems[other]))
    ]


def _common(pieces: list[Notes], others: list[Notes]) -> list[tuple[str, str]]:
    known = {piece.content_hash: piece.name for piece in others if len(piece)}
    hashes = [(piece.name, piece.content_hash) for piece in pieces]
    return [(name, known[content]) for name, content in hashes if content in known]


def _mixture(pieces: list[Notes]) -> list[str]:
    """A folder whose subfolders hold several pieces each: perhaps several systems."""
    counts = Counter(Path(piece.name).parent.as_posix() for piece in pieces)
    several = {name: count for name, count in counts.items() if count >= FEWEST_IN_FOLDER}
    if len(several) < 2:
        return []
    named = ", ".join(f"{'the folder itself' if name == '.' else name} ({count})" for name, count in several.items())
    return [f"the generated pieces lie in several folders: {named}; music of several systems is measured one by one"]


def _usual_bar(pieces: list[Notes]) -> float:
    import numpy as np

    lengths = [float(np.median(np.diff(piece.bar_starts()))) for piece in pieces if len(piece)]
    return float(np.median(lengths)) if lengths else 0.0
