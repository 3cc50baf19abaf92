"""Along the piece: windows of generated and real music from MIDI files alone, and the figures over length."""

from __future__ import annotations

import pytest
import symusic

from bench.report.analysis.windows import REAL, courses
from bench.report.figures import draw
from bench.report.figures.style import NothingToShow
from bench.store.vectors import Vector, write_vectors


def test_a_piece_that_thickens_in_its_second_half_does_so_in_the_windows(frame, played):
    found = {(one.arm, one.measure): one for one in courses(frame, played)}
    density, real = found["smdim", "density"], found[REAL, "density"]
    assert density.beats[:5] == (8, 16, 24, 32, 40)  # the middles of windows of 16 beats, hop 8
    assert [mean.value for mean in density.means[:5]] == pytest.approx([1, 1, 2, 3, 3])
    assert [mean.value for mean in real.means] == pytest.approx([1] * 5) and real.pieces == 4
    assert found[REAL, "oa"].means[0].value == pytest.approx(0)  # equal pieces


def test_excerpts_of_one_song_are_averaged_first(frame, played):
    vectors = [
        Vector("pitch_class_entropy", "real", piece, song, 512, 1.0) for piece, song in enumerate(["a", "b", "b", "b"])
    ]
    folder = played / "reference-demo"
    for piece, semitones in enumerate((0, 1, 2, 3)):  # no copies of each other
        path = folder / "samples" / f"real-{piece:03d}.mid"
        score = symusic.Score(str(path)).shift_pitch(semitones)
        if piece == 0:
            score.tracks.append(score.tracks[0].shift_pitch(4))  # song a has two voices
        score.dump_midi(str(path))
    apart = {(one.arm, one.measure): one for one in courses(frame, played)}[REAL, "density"]
    assert [(mean.value, mean.n) for mean in apart.means] == [(1.25, 4)] * 5
    write_vectors(folder, vectors)
    by_song = {(one.arm, one.measure): one for one in courses(frame, played)}[REAL, "density"]
    assert [(mean.value, mean.n) for mean in by_song.means] == [(1.5, 2)] * 5 and by_song.pieces == 4


def test_figure_shows_arm_and_real_music(frame, played):
    axes = draw("along", frame, played).axes
    assert [axis.get_title() for axis in axes] == ["distance to real music", "sounding pitches"]
    lines = [line for line in axes[1].lines if len(line.get_xdata()) > 2]
    assert sorted(round(float(max(line.get_ydata()))) for line in lines) == [1, 3]


def test_without_real_pieces_or_windows_there_is_no_figure(frame, results_folder):
    with pytest.raises(NothingToShow, match="two windows"):
        draw("along", frame, results_folder)


def test_quality_against_length_beside_the_ceiling_of_each_length(two_lengths, results_folder):
    figure = draw("lengths", two_lengths, results_folder)
    ceiling = next(line for line in figure.axes[0].lines if line.get_color() == "#555555")
    assert list(ceiling.get_xdata()) == [512, 2048] and list(ceiling.get_ydata()) == pytest.approx([0.9, 0.8])
    smdim = next(line for line in figure.axes[0].lines if line.get_marker() == "o")
    assert list(smdim.get_ydata()) == pytest.approx([0.79, 0.69])


def test_cost_figure_names_each_exponent_in_the_colour_of_its_arm(frame, results_folder):
    axis = draw("cost", frame, results_folder).axes[0]
    shown = {text.get_color(): text.get_text() for text in axis.texts}
    # transformer grows as L ** 1.4, smdim linearly; fam has three lengths only
    assert shown["#D55E00"] == "1.40" and shown["#0072B2"] == "1.00" and len(shown) == 4
