"""Structureness: fitness of repeated passages in closed form, and equal to the published implementation."""

from __future__ import annotations

import numpy as np
import pytest

from metrics import Notes, structureness
from metrics.music.structureness import chroma_frames, indicators, scape_plot, similarity_matrix


@pytest.mark.parametrize(("period", "times"), [(3, 2), (4, 3), (5, 4), (2, 8)])
def test_fitness_of_a_passage_that_fills_the_piece_k_times_is_1_less_1_over_k(period: int, times: int):
    # k paths of p cells, all of similarity 1, cover all rows: mean similarity and part covered are (kp - p) / kp
    count = period * times
    apart = np.subtract.outer(np.arange(count), np.arange(count))
    fitness = scape_plot(np.where(apart % period == 0, 1.0, -2.0))
    assert fitness[period - 1, 0] == pytest.approx(1 - 1 / times)
    assert fitness[count - 1, 0] == pytest.approx(0)  # the whole piece returns nowhere
    assert fitness.max() == pytest.approx(1 - 1 / times)


def test_nothing_returns_where_only_the_diagonal_is_similar():
    assert scape_plot(np.where(np.eye(10) > 0, 1.0, -2.0)).max() == pytest.approx(0)


def test_scape_plot_is_that_of_the_published_implementation():
    # figures of libfmp 1.3.0 (Mueller & Zalkow), compute_fitness_scape_plot; MusDr holds an earlier copy of it
    i, j = np.indices((9, 9))
    values = ((i * 7 + j * j * 3 + i * j * 5) % 11) / 10
    table = np.where(values > 0.6, values, -2.0)
    np.fill_diagonal(table, 1)
    fitness = scape_plot(table)
    assert fitness[1].tolist() == pytest.approx(
        [0.584518167456556, 0.5045045045045046, 0, 0.2236024844720496, 0.28571428571428564, 0.4868913857677902,
         0.3736263736263736, 0.4868913857677902, 0], abs=1e-12,
    )  # fmt: skip
    assert fitness[2].tolist() == pytest.approx(
        [0.5590062111801242, 0, 0, 0.2962962962962962, 0.3768115942028985, 0.47619047619047616, 0.5463786531130878,
         0, 0], abs=1e-12,
    )  # fmt: skip
    assert fitness.sum() == pytest.approx(9.335832776475208, abs=1e-12)


def test_first_rows_and_columns_follow_the_published_implementation():
    # a path reaches its third row only step by step, and its first column is not skipped when it is traced
    table = np.array([
        [1.0, -1.0, 0.4, -1.0, -1.0, 0.7], [-1.0, 1.0, -1.0, -1.0, -1.0, 0.9], [0.6, 0.9, 1.0, 0.6, -1.0, 0.4],
        [0.9, -1.0, 0.6, 1.0, -1.0, 0.9], [-1.0, 0.4, -1.0, -1.0, 1.0, 0.5], [-1.0, 0.7, -1.0, 0.5, 0.7, 1.0],
    ])  # fmt: skip
    fitness = scape_plot(table)
    assert fitness[1].tolist() == pytest.approx([0.4444444444444443, 0, 0.2, 0, 0.4137931034482758, 0], abs=1e-12)
    assert fitness[2].tolist() == pytest.approx([0.09090909090909084, 0.2337662337662337, 0, 0, 0, 0], abs=1e-12)
    assert fitness.sum() == pytest.approx(3.9769732924349155, abs=1e-12)


def test_chroma_of_held_notes_and_of_silence():
    frames = chroma_frames(Notes.from_arrays([0, 0, 20], [8, 8, 4], [60, 67, 62]))
    assert frames.shape == (24, 12)
    assert frames[0].tolist() == pytest.approx([0.5**0.5 if pitch in (0, 7) else 0 for pitch in range(12)])
    assert frames[14].tolist() == pytest.approx([12**-0.5] * 12)  # two beats from every note
    assert frames[23].tolist() == pytest.approx([float(pitch == 2) for pitch in range(12)])
    # at the beat where one note follows the other, ten fifths of a beat before and eleven from then on
    step = chroma_frames(Notes.from_arrays([0, 8], [8, 8], [60, 62]))[8]
    assert step[[0, 2]].tolist() == pytest.approx((np.array([10, 11]) / np.hypot(10, 11)).tolist())


def test_similarity_keeps_a_quarter_of_the_cells_and_the_diagonal():
    generator = np.random.default_rng(0)
    frames = generator.random((24, 12))
    table = similarity_matrix(frames / np.linalg.norm(frames, axis=1, keepdims=True))
    assert np.diag(table).tolist() == [1] * 24
    assert set(table[table < 0]) == {-2}
    assert 144 <= (table >= 0).sum() <= 144 + 24
    assert table.max() == 1


def phrases(form: str, up: int = 0) -> Notes:
    """Each letter a phrase of eight notes of its own, a beat each; later ones higher by `up`."""
    generator = np.random.default_rng(3)
    known = {letter: generator.integers(50, 62, 8) for letter in "ABCDEFGH"}
    pitch = np.concatenate([known[letter] + up * place for place, letter in enumerate(form)])
    return Notes.from_arrays(np.arange(len(pitch)), np.ones(len(pitch)), pitch)


def test_music_that_returns_also_in_another_key_stands_above_music_that_does_not():
    plain, returning, higher = (
        indicators(piece, 64) for piece in (phrases("ABCDEF"), phrases("ABABAB"), phrases("ABABAB", 1))
    )
    assert (returning[:2] > plain[:2] + 0.1).all()
    assert (higher[:2] > plain[:2] + 0.1).all()


def test_pieces_shorter_than_the_passage_are_left_out():
    short, long = phrases("AB"), phrases("ABABAB")
    result = structureness([short, long], "mid", reference=[long], intervals=False)
    assert (result.value, result.parts["left_out"]) == (indicators(long, 64)[1] / 2, 0)  # 16 beats, which return never
    result = structureness([short, long], "long", reference=[long], intervals=False)
    assert (result.value, result.parts["left_out"]) == (indicators(long, 64)[2], 1)
    assert result.parts["reference"] == result.value and result.better == "nearest"
    assert structureness([short], "long").reason == "no generated piece has 30 beats"
    assert structureness([Notes.from_arrays([], [], [])]).reason == "no generated piece has 6 beats"
    with pytest.raises(ValueError, match="structureness scale 'tiny' is unknown; allowed: short, mid, long"):
        structureness([short], "tiny")


def test_of_a_long_piece_the_first_beats_are_taken():
    first, second = phrases("ABABAB"), phrases("ABABCD")
    assert indicators(first, 28).tolist()[:2] == indicators(second, 28).tolist()[:2]
    assert indicators(first, 64)[0] != indicators(second, 64)[0]
