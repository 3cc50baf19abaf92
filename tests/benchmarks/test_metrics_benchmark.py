"""Speed of the music metrics at 1,000 against 1,000 pieces, beside the naive way at the size it can bear."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import gaussian_kde

from metrics import Notes, oa_distance, oa_from_features, read_folder
from metrics.music.attribute import ATTRIBUTES, oa_attribute
from metrics.music.distance import oa_distance_all
from metrics.music.features import FEATURES

PIECES = 1000
NOTES_A_PIECE = 1550  # median of POP909
NAIVE_PIECES = 60  # the naive way takes (1000 / 60)^4 / 16 times as long at 1,000


def song(generator: np.random.Generator) -> Notes:
    """A piece of POP909's length: notes on the grid, in a key and a register of its own."""
    scale = np.array([0, 2, 4, 5, 7, 9, 11]) + generator.integers(12)
    onset = np.sort(generator.integers(0, 290 * 4, NOTES_A_PIECE)) / 4
    pitch = generator.choice(scale, NOTES_A_PIECE) + 12 * generator.integers(3, 7, NOTES_A_PIECE)
    return Notes.from_arrays(
        onset, generator.choice([0.25, 0.5, 1, 2], NOTES_A_PIECE), pitch, generator.integers(40, 110, NOTES_A_PIECE)
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    import symusic

    generator = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("midi")
    for name in ("generated", "reference"):
        (root / name).mkdir()
        for index in range(PIECES):
            piece = song(generator)
            score = symusic.Score(480)
            track = symusic.Track("piano", 0, False)
            track.notes = symusic.core.NoteTickList.from_numpy(
                np.rint(piece.onset * 480).astype(np.int32),
                np.rint(piece.duration * 480).astype(np.int32),
                piece.pitch.astype(np.int8),
                piece.velocity.astype(np.int8),
            )
            score.tracks.append(track)
            score.dump_midi(root / name / f"{index:04d}.mid")
    return root / "generated", root / "reference"


def test_reading_and_all_overlaps_with_intervals(folders: tuple[Path, Path], benchmark):
    def judge() -> tuple[int, float]:
        generated, reference = (read_folder(folder)[0] for folder in folders)
        rows = [oa_attribute(generated, reference, a) for a in ATTRIBUTES] + oa_distance_all(generated, reference)
        return len(rows), rows[-1].value

    rows, value = benchmark.pedantic(judge, rounds=1)
    assert rows == 14 and 0 < value <= 1
    benchmark.extra_info |= {"pieces": PIECES, "notes_a_piece": NOTES_A_PIECE, "cores": os.cpu_count()}


def test_nine_distance_overlaps(folders: tuple[Path, Path], benchmark):
    generated, reference = (read_folder(folder)[0] for folder in folders)
    rows = benchmark.pedantic(lambda: oa_distance_all(generated, reference), rounds=1)
    assert len(rows) == len(FEATURES) + 1


def test_ratio_to_the_naive_way(benchmark):
    """Every kernel at every point of a fine grid, as scipy does it, against the package, same value within 1e-4."""
    generator = np.random.default_rng(1)
    generated, reference = generator.normal(0.5, 1, (NAIVE_PIECES, 12)), generator.normal(0, 1.2, (NAIVE_PIECES, 12))
    started = time.perf_counter()
    intra = [np.linalg.norm(a - b) for i, a in enumerate(reference) for j, b in enumerate(reference) if i != j]
    inter = [np.linalg.norm(a - b) for a in generated for b in reference]
    p, q = gaussian_kde(intra), gaussian_kde(inter)
    reach = 8 * max(np.sqrt(p.covariance[0, 0]), np.sqrt(q.covariance[0, 0]))
    x = np.linspace(min(*intra, *inter) - reach, max(*intra, *inter) + reach, 5001)
    naive = np.trapezoid(np.minimum(p(x), q(x)), x)
    naive_s = time.perf_counter() - started
    result = benchmark(lambda: oa_from_features(generated, reference, intervals=False))
    assert abs(result.value - naive) < 1e-4
    benchmark.extra_info["times_as_fast_as_naive"] = round(naive_s / benchmark.stats.stats.median, 1)


def test_grid_error_at_ninety_thousand_distances():
    """The stated error: the grid against every kernel, at a size where every kernel can still be summed."""
    generator = np.random.default_rng(2)
    generated, reference = generator.exponential(2, (300, 1)), generator.exponential(1.6, (300, 1))
    exact, grid = (oa_from_features(generated, reference, method=m, intervals=False).value for m in ("exact", "grid"))
    assert abs(exact - grid) < 1e-6


def test_a_cell_of_sixteen_pieces(folders: tuple[Path, Path], benchmark):
    from metrics import quality_table

    generated, reference = (read_folder(folder)[0][:216] for folder in folders)
    rows = benchmark.pedantic(lambda: quality_table(generated[:16], reference[:16], reference[16:]), rounds=1)
    assert len(rows) == 54
    assert oa_distance(generated[:16], reference[:16]).n == 16


def test_copies_of_pieces_that_are_all_training_pieces(folders: tuple[Path, Path], benchmark):
    """The hardest case of the copy search, beside a search word by word of a few pieces."""
    from metrics.music.novelty import longest_copies, note_words

    pieces = read_folder(folders[0])[0]
    started = time.perf_counter()
    own, longest = note_words(pieces[0]), 0
    for other in (note_words(piece) for piece in pieces[:5]):
        before = np.zeros(len(other) + 1, np.int64)
        for word in own:
            now = np.zeros(len(other) + 1, np.int64)
            now[1:] = np.where(other == word, before[:-1] + 1, 0)
            before, longest = now, max(longest, int(now.max()))
    naive_s = (time.perf_counter() - started) / 5 * PIECES**2
    known = [replace(piece) for piece in pieces]  # a piece is not compared with itself
    found = benchmark.pedantic(lambda: longest_copies(pieces, known), rounds=1)
    assert found[0] == longest == len(own)
    benchmark.extra_info["times_as_fast_as_naive"] = round(naive_s / benchmark.stats.stats.median)
