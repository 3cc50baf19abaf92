"""Equal to muspy on real files, where muspy is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from metrics import chord_density, groove_consistency, pitch_class_entropy, read_notes, scale_consistency

muspy = pytest.importorskip("muspy")


@pytest.fixture(scope="module")
def irish(demo_music: Path) -> list[Path]:
    return sorted((demo_music / "irish").glob("*.mid"))[::8]


@pytest.mark.filterwarnings("ignore")
def test_polyphony(demo_music: Path, irish: list[Path]):
    for path in [*sorted((demo_music / "lieder").glob("*.mid"))[::5], *irish]:
        ours = chord_density([read_notes(path)], "sounding", "mean", intervals=False).value
        assert ours == pytest.approx(float(muspy.polyphony(muspy.read_midi(path))), abs=1e-9), path.name


@pytest.mark.filterwarnings("ignore")
def test_tonality_and_groove_of_one_voice(irish: list[Path]):
    # one voice has no unison doublings, which muspy counts twice
    for path in irish:
        notes, music = read_notes(path), muspy.read_midi(path)
        assert pitch_class_entropy(notes) == pytest.approx(float(muspy.pitch_class_entropy(music)), abs=1e-9)
        assert scale_consistency(notes) == pytest.approx(float(muspy.scale_consistency(music)), abs=1e-9)
        bar_beats = notes.bar_starts()[1]
        ends_on_a_bar_line = (notes.end_beats / bar_beats) % 1 < 1e-6
        if not ends_on_a_bar_line:  # muspy would count one more, empty bar
            music.adjust_resolution(24)
            theirs = muspy.groove_consistency(music, round(24 * bar_beats))
            assert groove_consistency(notes) == pytest.approx(theirs, abs=1e-9), path.name
