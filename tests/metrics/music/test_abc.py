"""ABC files as ABC 2.1 reads them: notes and quarter notes against counts by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.data.reading import read_piece
from metrics import NotesError, read_folder, read_notes
from metrics.music.abc import AbcError, read_tune, tunes

SCALE, FALL = "CDEF|GABc|]", "cBAG|FEDC|]"


def tune(body: str = SCALE, *, number: object = 1, fields: str = "M:4/4\nL:1/4\nK:C\n") -> str:
    return f"X:{number}\nT:Tune\n{fields}{body}\n"


def heard(text: str) -> list[tuple[float, float, int]]:
    """(onset, duration in quarter notes, pitch); the converter begins notes a 480th late."""
    score = read_tune(text)
    notes = [note for track in score.tracks for note in track.notes]
    return sorted((round(note.time / 480, 1), round(note.duration / 480, 1), note.pitch) for note in notes)


TWO = tune() + "\n" + tune(FALL, number=2)


@pytest.mark.parametrize(
    ("data", "numbers"),
    [
        (b"\xef\xbb\xbf" + TWO.encode(), [1, 2]),
        (b"\xef\xbb\xbf" + tune().encode(), [1]),
        (TWO.encode("utf-16"), [1, 2]),
        (TWO.encode("utf-16-be").join([b"\xfe\xff", b""]), [1, 2]),
        (TWO.replace("\n", "\r").encode(), [1, 2]),
        (TWO.replace("\n", "\r\n").encode(), [1, 2]),
        ((tune(number="") + "\n" + tune(FALL, number=2)).encode(), [1, 2]),
        ((tune(number=" 1 % first") + tune(FALL, number=" ")).encode(), [1, 2]),
        (("What a collector wrote, X: marks the spot\n\n" + TWO + "X: marks the spot\n").encode(), [1, 2]),
        (tune().replace("Tune", "Für Müller").encode("latin-1"), [1]),
        (tune(number="9" * 5000).encode(), [int("9" * 100)]),
        (b"T:no number\nK:C\nCDEF|]\n", []),
        (b"", []),
    ],
)
def test_every_tune_is_found(data: bytes, numbers: list[int]) -> None:
    found = tunes(data)
    assert sorted(found) == numbers
    assert all(len(heard(text)) == 8 for text in found.values())


def test_both_readers_find_the_tune_after_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "one.abc"
    path.write_bytes(b"\xef\xbb\xbf" + tune().encode())
    assert read_notes(path).pitch.tolist() == [60, 62, 64, 65, 67, 69, 71, 72]
    assert len(read_piece(path, 1).tracks[0].notes) == 8
    (tmp_path / "none.abc").write_text("words")
    assert [(path.name, reason) for path, reason in read_folder(tmp_path)[1]] == [
        ("none.abc", "no tune in the ABC file")
    ]
    with pytest.raises(NotesError, match=r"none\.abc: no tune in the ABC file$"):
        read_notes(tmp_path / "none.abc")


def test_what_the_header_of_the_file_says_holds_for_all_its_tunes_that_say_nothing_else() -> None:
    head = "%abc-2.1\nM:3/4\nL:1/4\nQ:1/4=90\nR:waltz\nC:Trad.\n\n"
    first, second = tunes(
        (head + tune(fields="K:C\n") + "\n" + tune(number=2, fields="L:1/8\nK:D\n")).encode()
    ).values()
    assert heard(first)[-1] == (7.0, 1.0, 72)
    assert heard(second)[-1] == (3.5, 0.5, 73)
    for text in (first, second):
        score = read_tune(text)
        assert [(s.numerator, s.denominator) for s in score.time_signatures] == [(3, 4)]
        assert [round(tempo.qpm) for tempo in score.tempos] == [90]
    assert tunes(b"Words first\nL:1/4\n\n" + tune(fields="K:C\n").encode())[1] == tune(fields="K:C\n")


ONE = "M:4/4\nL:1/4\n"


@pytest.mark.parametrize(
    ("text", "notes", "quarters"),
    [
        (tune('"C"CDEF|"G7"GABc|]'), 8, 8),
        (tune('V:1\n"C"CDEF|\nV:2\n"Am"C,4|]'), 5, 4),
        (tune('"^slowly"CD"_x"EF|]'), 4, 4),
        (tune("V:1\nCDEF|GABc|]\nV:2\nC,4|E,4|]"), 10, 8),
        (tune("[V:1]CDEF|GABc|]\n[V:2]C,4|E,4|]"), 10, 8),
        (tune("|:CDEF:|GABc|]"), 12, 12),
        (tune("CDEF:|GABc|]"), 12, 12),
        (tune("|:CDEF::GABc:|"), 16, 16),
        (tune("|:CDEF|1 G4:|2 A4|]"), 10, 16),
        (tune("|:CDEF|[1 G4:|[2 A4||B4|]"), 11, 20),
        (tune("|:C4|1,2 D4:|3 E4|]"), 6, 24),
        (tune("P:A\nC4|\nP:B\nD4|]", fields=ONE + "P:AAB\nK:C\n"), 3, 12),
        (tune("[CEG]4|[C2E2]2|]"), 5, 8),
        (tune("[C/E/]4 [^C,3/2_e3/2]2 [CE]// [CE]-[CE]|]"), 8, 7.25),
        (tune("{gab}C4|D4|]"), 5, 8),
        (tune("(3CDE F2|]"), 4, 4),
        (tune("C>D E<F|]"), 4, 4),
        (tune("C4-|C4|]"), 1, 8),
        (tune("z4|C4|x4|D4|Z2|E4|]"), 3, 28),
        (tune("C4 & E4|D4|]"), 3, 8),
        (tune("CDEF|\\\nGABc|]"), 8, 8),
        (tune("CDEF|\nw:la la la la\nGABc|]"), 8, 8),
        (tune('CDEF| % no "GABc\nGABc|]\n\nA bad egg faced us'), 8, 8),
        (tune("!trill!C .D ~E HF|!fermata!G !arpeggio![Ac] Tc2|]"), 8, 8),
        (tune("!f!C !p!D .(EF) .|G4|]"), 5, 8),
        (tune("CDEF GABc|]", fields="M:4/4\nL:1/8\nR:hornpipe\nK:C\n"), 8, 4),
        (tune("CDEF [R:hornpipe]GABc|]", fields="M:4/4\nL:1/8\nK:C\n"), 8, 4),
        (tune("CDEFGA|]", fields="M:6/8\nK:C\n"), 6, 3),
        (tune("c:|\nd4|]"), 3, 6),
        (tune("CDEF|]", fields="M:2/4\nK:\n"), 4, 1),
        (tune("TCFGA|]", fields=ONE + "U:T=!trill!\nK:C\n"), 4, 4),
    ],
)  # fmt: skip
def test_notes_and_quarters_as_counted_by_hand(text: str, notes: int, quarters: float) -> None:
    found = heard(tunes(text.encode())[1])
    assert (len(found), max(onset + duration for onset, duration, _ in found)) == (
        notes,
        pytest.approx(quarters, abs=0.1),
    )


def test_even_notes_and_chords_that_begin_together() -> None:
    assert [onset for onset, _, _ in heard(tune("C2D2EF|]", fields="M:4/4\nL:1/8\nR:Hornpipe\nK:C\n"))] == [
        0,
        1,
        2,
        2.5,
    ]
    notes = read_tune(tune("[CEG]4|]")).tracks[0].notes
    assert len({note.time for note in notes}) == 1


@pytest.mark.parametrize(
    ("body", "played"),
    [
        ("|:C4|[1D4|E4:|[2F4|G4||A4|]", "CDECFGA"),  # endings of two bars
        ("C4|D4|1E4|F4:|2G4|A4|]", "CDEFCDGA"),
        ("|:C4|[1-2 D4:|[3 E4|]", "CDCDCE"),
        ("|:C4|1D4:|2E4:|3F4:|4G4|]", "CDCECFCG"),
        ("|:C4|1D4:|\n|2E4|]", "CDCE"),
        ("|:C4|[1 D4 :|] [2 E4|]", "CDCE"),
        ("|:C4|1D4:|$\n[2E4|]", "CDCE"),  # what is not played between the repeat sign and the ending
        ("|:C4|1D4:|$|2E4|]", "CDCE"),
        ("|:C4|1D4:|[K:G]|2E4|]", "CDCE"),
        ("|:C4|1D4:|[M:3/4]|2E3|]", "CDCE"),
        ("|:C4|1D4:|[r:x]|2E4|]", "CDCE"),
        ("|:C4|1D4:|!mf!|2E4|]", "CDCE"),
        ("|:C4|1D4:|+mf+|2E4|]", "CDCE"),
        ("|:C4|1D4:| y |2E4|]", "CDCE"),
        ("|:C4|1D4:|y3/2[2E4|]", "CDCE"),
        ("|:C4|1(D4:|`)||[K:G]!p!.|2E4|]", "CDCE"),
        ("|:C4|1D4:|2E4:|F4|]", "CDCEF"),  # a last ending with a repeat sign of its own
        ("|:C4|1D4:|2E4:|\n|:F4|1G4:|2A4:|", "CDCEFGFA"),
        ("|:C4|1D4:|2E4::F4|1G4:|2A4:|", "CDCEFGFA"),
        ("|:C4|1D4:|2E4|F4:|", "CDCEF"),
        ("C4|1D4:|2E4||\nF4|1G4:|2A4||", "CDCEFGFA"),  # repeats whose beginning is not written
        ("|:C4|[1D4:|[2E4||F4:|", "CDCEFF"),
        ("C4|D4||E4:|F4|]", "CDEEF"),
        ("|:C4:|D4||\nE4:|", "CCDEE"),
        ("|:C4|D4:|\nE4|F4:|", "CDCDEFEF"),
        ("C4:|D4:|", "CCDD"),
        ("C4||\nK:C\nD4|:|", "CDD"),
        ("|:C4||D4:|", "CDCD"),
        ("|:C4:||:D4:|E4:|:F4:|", "CCDDEEFF"),
        ("C4|: D4|E4 :|", "CDEDE"),
        ('"^D.C. al Fine"C4|D4!fine!|!segno!E4|!coda!F4|] % !D.C.!', "CDEF"),
    ],
)  # fmt: skip
def test_bars_in_the_order_worked_by_hand(body: str, played: str) -> None:
    """Bars of a note each: letters as ABC 2.1 has them played (4.8 to 4.10)."""
    pitches = dict(zip("CDEFGA", (60, 62, 64, 65, 67, 69), strict=True))
    assert [(onset, pitch) for onset, _, pitch in heard(tune(body))] == [
        (4 * place, pitches[letter]) for place, letter in enumerate(played)
    ]


@pytest.mark.parametrize(
    ("order", "played"),
    [
        ("AB", "CD"),
        ("BA", "DC"),
        ("A3B2", "CCCDD"),
        ("(AB)2", "CDCD"),
        ("((AB)2.A)2 % twice", "CDCDCCDCDC"),
        ("", "CD"),
    ],
)
def test_parts_in_their_order(order: str, played: str) -> None:
    pitches = {"C": 60, "D": 62}
    text = tune("P:A\nC4|\nP:B\nD4|]", fields=f"{ONE}P:{order}\nK:C\n")
    assert [pitch for _, _, pitch in heard(text)] == [pitches[letter] for letter in played]


def test_each_voice_and_part_has_repeats_of_its_own() -> None:
    voices = "P:A\nV:1\nC4||\nV:2\nE4||\nV:1\nD4:|\nV:2\nF4:|\nP:B\nV:1\nG4:|\nV:2\nA4:|\n"
    found = heard(tune(voices, fields=f"{ONE}P:AB\nK:C\n"))
    assert [pitch for *_, pitch in found] == [60, 64, 62, 65, 62, 65, 67, 69, 67, 69]
    endings = "V:1\nC4|1D4:|\nV:2\nE4|1F4:|\nV:1\n|2G4|]\nV:2\n|2A4|]"
    assert [pitch for *_, pitch in heard(tune(endings))] == [60, 64, 62, 65, 60, 64, 67, 69]


JUMP = r"^a jump \({}\), which the converter does not follow$"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (tune("C4|D4!fine!|E4!D.C.!|]"), JUMP.format(r"!D\.C\.!")),
        (tune("C4|D4!D.C.alfine!|]"), JUMP.format(r"!D\.C\.alfine!")),
        (tune("!segno!C4|D4+D.S.+|]"), JUMP.format(r"\+D\.S\.\+")),
        (tune("C4!dacoda!|D4!dacapo!|]"), JUMP.format("!dacoda!")),
        (tune("C4|WD4|]", fields=f"{ONE}U:W=!D.C.!\nK:C\n"), JUMP.format(r"!D\.C\.!")),
        (tune("|:C4|1,3D4:|2E4:|"), r"^an ending 1,3 in place of an ending 1, which the converter plays otherwise$"),
        (tune("|:C4|D4:|2E4|]"), r"^an ending 2 in place of an ending 1, which"),
        (tune("|:C4|1D4:|z4|2E4|]"), r"^an ending 2 with z4 between it and its repeat sign \(:\|\)$"),
        (tune("|:C4|1D4:|\nP:B\n|2E4|]"), r"^an ending 2 with \[P:B\] between it and its repeat sign \(:\|\)$"),
        (tune("|:C4|1D4:|2E4|3F4|]"), r"^an ending 3 without a repeat sign"),
        (tune("|:C4|1D4|2E4:|"), r"^an ending 2 without a repeat sign \(:\|\) before it$"),
        (tune('|:C4|["1."D4:|["2."E4|]'), r"^a bracket \[ that is no chord, field or numbered ending$"),
        (tune("|:C4|:D4:|E4|]"), r"^a repeat that has no end before the next one begins \(\|: and \|:\)$"),
        (tune("P:A\nC4|]", fields=f"{ONE}P:AC\nK:C\n"), r"^an order of parts \(P:AC\) that names other parts than the"),
        (tune("P:Verse\nC4|]", fields=f"{ONE}P:A\nK:C\n"), r"^an order of parts \(P:A\) that names other parts"),
        (
            tune("P:A\nC4|\nP:B\nD4|]", fields=f"{ONE}P:A,B\nK:C\n"),
            r"^an order of parts \(P:A,B\) with signs other than ",
        ),
        (
            tune("P:A\nC4|]", fields=f"{ONE}P:(A\nK:C\n"),
            r"^an order of parts \(P:\(A\) with unequal numbers of \( and \)$",
        ),
        (tune("P:A\nC4|\nP:A\nD4|]", fields=f"{ONE}P:AA\nK:C\n"), r"^two parts of one name and an order of parts"),
        (tune("P:A\nC4|1D4:|2E4|]", fields=f"{ONE}P:A2\nK:C\n"), r"^numbered endings in a part that is played more"),
        (tune(fields="m:~G2=G/F/G\nK:C\n"), r"^macros \(m:\), which the converter does not expand$"),
        (tune("|::C4::|D4|]"), r"^a part played more than twice \(\|::\), which the converter plays twice$"),
        (tune('"C"CD"GEF|]'), r"^a quotation mark without its end$"),
        (tune("[C2E4]2|]"), r"^a chord of notes of unequal lengths, which the converter makes equal$"),
        ("X:1\nno key\n", r"^broken ABC \(the converter makes nothing of it\)$"),
    ],
)
def test_what_the_converter_would_play_otherwise_is_refused(text: str, reason: str) -> None:
    with pytest.raises(AbcError, match=reason):
        read_tune(text)


@pytest.mark.parametrize("length", ["3/4/2", "/2/", "9" * 5000, "/" * 5000])
def test_a_length_that_is_none_is_refused(length: str) -> None:
    with pytest.raises(AbcError, match=r"^a chord of a length that is none \(.{1,20}\)$"):
        read_tune(tune(f"[CE]{length}|]"))
    with pytest.raises(AbcError, match="a length that is none"):
        read_tune(tune(f"[C{length}E{length}]|]"))
