"""Chorales of music21: voices out of MusicXML, bars, ties, and what is said where the package is missing."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.data import corpus_notes, load_corpus, packaged_corpora, reading
from bench.data.chorale import read_chorale
from bench.data.packaged_corpora import list_chorales
from bench.data.pieces import CorpusError
from bench.data.reading import UnreadableError, note_arrays, read_piece

BEGIN_TIE, END_TIE = '<tie type="start"/>', '<tie type="stop"/>'


def note(step: str, octave: int, length: int, more: str = "") -> str:
    """Of `length` eighths; `more` stands after the length, a grace note has none."""
    pitch = f"<pitch><step>{step}</step><octave>{octave}</octave></pitch>"
    if length == 0:
        return f"<note><grace/>{pitch}<voice>1</voice></note>"
    return f"<note>{pitch}<duration>{length}</duration>{more}<voice>1</voice></note>"


def part(name: str, octave: int, upbeat: str) -> tuple[str, str]:
    """An upbeat of one quarter note, a bar with a grace note, and a bar whose first note is tied to the one before."""
    attributes = (
        "<attributes><divisions>2</divisions><time><beats>4</beats><beat-type>4</beat-type></time></attributes>"
    )
    bars = [
        f'<measure number="0" implicit="yes">{attributes}{upbeat}</measure>',
        f'<measure number="1">{note("D", octave, 0)}{note("E", octave, 4)}{note("F", octave, 4, BEGIN_TIE)}</measure>',
        f'<measure number="2">{note("F", octave, 2, END_TIE)}{note("G", octave, 6)}'
        '<barline location="right"><repeat direction="backward"/></barline></measure>',
    ]
    key = name.replace(" ", "")
    head = f'<score-part id="{key}"><part-name>{name}</part-name></score-part>'
    return head, f'<part id="{key}">{"".join(bars)}</part>'


def chorale(path: Path, names: tuple[str, ...]) -> Path:
    parts = [part(name, 5 - place, note("C", 5 - place, 2)) for place, name in enumerate(names)]
    heads, bodies = ("".join(texts) for texts in zip(*parts, strict=True))
    path.write_text(
        f'<?xml version="1.0"?><score-partwise version="3.1"><part-list>{heads}</part-list>{bodies}</score-partwise>'
    )
    return path


def test_the_voices_have_their_bars_and_tied_notes_and_no_instruments(tmp_path: Path) -> None:
    pytest.importorskip("music21")
    path = chorale(tmp_path / "bwv1.mxl.xml", ("Soprano", "Alto", "Tenor Viola", "Bass", "Horn 1"))
    score = read_chorale(path)
    assert [track.name for track in score.tracks] == ["Soprano", "Alto", "Tenor", "Bass"]
    soprano = note_arrays(read_piece(path, track="soprano"))
    assert soprano.onset.tolist() == [3.0, 4.0, 6.0, 9.0]  # the upbeat is the fourth beat of its bar
    assert soprano.duration.tolist() == [1.0, 2.0, 3.0, 3.0]
    assert soprano.pitch.tolist() == [72, 76, 77, 79] and set(soprano.velocity.tolist()) == {64}
    assert soprano.meters == ((0.0, 4.0),)
    assert len(note_arrays(read_piece(path)).pitch) == 16
    with pytest.raises(UnreadableError, match=r"^broken MusicXML \(no part called Tenor or Bass\)$"):
        read_piece(chorale(tmp_path / "two.xml", ("Soprano", "Alto")))
    (tmp_path / "broken.mxl").write_bytes(b"PK nonsense")
    with pytest.raises(UnreadableError, match=r"^broken MusicXML \("):
        read_piece(tmp_path / "broken.mxl")


def stand_in(path: Path, **_: Any) -> SimpleNamespace:
    """What the parser of music21 returns for a chorale of one chord, as far as it is used; its pitch from the file."""
    pitch = int(path.read_text())
    chord = SimpleNamespace(
        offset=0, quarterLength=2, duration=SimpleNamespace(isGrace=False), pitches=[SimpleNamespace(midi=pitch)]
    )
    flat = SimpleNamespace(notes=[chord], getElementsByClass=lambda _: [])

    def voice(name: str) -> SimpleNamespace:
        first = SimpleNamespace(paddingLeft=1.0)
        part = SimpleNamespace(partName=name, measure=lambda *_, **__: first, flatten=lambda: flat)
        part.stripTies = lambda: part
        return part

    return SimpleNamespace(parts=[voice(name) for name in ("Soprano", "Alto", "Tenor", "Bass")])


def install(monkeypatch: pytest.MonkeyPatch, folder: Path | None) -> None:
    """Make music21 one that lies in a folder, with the stand-in as its parser; None: make it absent."""
    spec = SimpleNamespace(origin=str(folder / "__init__.py")) if folder else None
    monkeypatch.setattr(packaged_corpora.importlib.util, "find_spec", lambda _: spec)
    parser = SimpleNamespace(converter=SimpleNamespace(parse=stand_in)) if folder else None
    monkeypatch.setitem(sys.modules, "music21", parser)  # type: ignore[arg-type]
    monkeypatch.setattr(reading, "reader_name", lambda: "stand-in")


def test_the_chorales_are_a_corpus_with_a_subset_for_each_voice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "corpus" / "bach"
    folder.mkdir(parents=True)
    for pitch, name in enumerate(("bwv1.6.mxl", "bwv10.7.xml", "bwv66.6.mxl", "bwv281.krn", "bwv846.mxl"), start=60):
        (folder / name).write_text(str(pitch))
    install(monkeypatch, tmp_path)
    corpus = load_corpus("jsb")
    assert [(piece.id, piece.title) for piece in corpus.pieces] == [
        ("bwv1.6.mxl", "BWV 1.6"),
        ("bwv10.7.xml", "BWV 10.7"),
        ("bwv66.6.mxl", "BWV 66.6"),
    ]
    assert {piece.split for piece in corpus.pieces} == {"train", "validation", "test"}
    assert "public domain" in corpus.licence and "commercial use may be restricted" in corpus.licence
    (first, *_) = corpus_notes(load_corpus("jsb/bass"))
    assert [first.onset.tolist(), first.duration.tolist(), first.pitch.tolist()] == [[1.0], [2.0], [60]]


@pytest.mark.parametrize("name", ["jsb", "essen-han"])
def test_without_music21_one_line_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None)
    with pytest.raises(CorpusError) as caught:
        load_corpus(name)
    assert str(caught.value) == f"corpus {name} comes with the package music21: pip install 'smdim-bench[music21]'"


def test_a_chorale_without_music21_is_skipped_with_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None)
    (tmp_path / "a.mxl").write_text("60")
    with pytest.raises(UnreadableError, match=r"^MusicXML is read by music21: pip install 'smdim-bench\[music21\]'$"):
        read_piece(tmp_path / "a.mxl")


def test_the_chorales_of_music21_are_counted() -> None:
    if find_spec("music21") is None:
        pytest.skip("music21 is not installed")
    assert len(list_chorales(packaged_corpora.find_music21("jsb", "bach")).sources) >= 400
