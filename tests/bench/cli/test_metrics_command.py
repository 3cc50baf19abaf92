"""The commands `metrics` and `sensitivity` as a person types them."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from bench.cli.metrics import named_folders
from bench.cli.metrics_sets import Sets, evened, length_of, long_enough, matched, one_grid, warnings
from bench.cli.metrics_table import Measured, table_csv, table_json, table_rows
from bench.errors import UserError
from metrics import MetricResult, Notes
from metrics.music.excerpts import excerpts, grid_of, on_grid
from metrics.music.table import REFERENCE_SETS


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """The cache that was set before."""
    before = os.environ.get("SMDIM_BENCH_CACHE")
    monkeypatch.setenv("SMDIM_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return before


@pytest.fixture
def app() -> typer.Typer:
    from bench.cli import app

    return app


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, dichterliebe: Path) -> tuple[Path, Path]:
    """Sixteen lieder, of which four are in both folders."""
    root = tmp_path_factory.mktemp("music")
    files = sorted(dichterliebe.glob("*.mid"))
    for name, part in (("generated", files[:10]), ("reference", files[6:16])):
        (root / name).mkdir()
        for path in part:
            (root / name / path.name).write_bytes(path.read_bytes())
    return root / "generated", root / "reference"


def run(app: typer.Typer, *words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_two_folders_give_a_table_with_ceiling_floors_and_definitions(
    app: typer.Typer, folders: tuple[Path, Path], tmp_path: Path
):
    output = tmp_path / "new" / "table.csv"
    result = run(app, "metrics", folders[0], "--reference", folders[1], "-o", output)
    assert result.exit_code == 0, result.output
    for words in (
        "oa_mean",
        "real/real",
        "shuffled",
        "unigram",
        "uniform",
        "pitches-shuffled",
        "halves of the reference",
    ):
        assert words in result.stdout
    assert "does not separate real music from" in result.stdout
    rows = list(csv.DictReader(output.open()))
    assert {row["set"] for row in rows} == {"generated", *REFERENCE_SETS}
    mean = next(row for row in rows if (row["set"], row["metric"]) == ("generated", "oa_mean"))
    assert float(mean["low"]) < float(mean["value"]) < float(mean["high"])
    assert (mean["n"], mean["songs"], mean["better"]) == ("10", "10", "higher")
    assert mean["definition"] == "oa_attribute/mean-of-4 v1"


def test_the_reason_of_a_pair_is_no_verdict_and_its_songs_are_counted_one_by_one():
    without = (np.linspace(0.1, 0.1001, 50), np.linspace(0.1, 0.1002, 50))
    rows = [
        MetricResult("kernel_distance", 0.1, 300, songs=300, parts={"songs_reference": 120.0}, without=without),
        MetricResult("structure_error", 0.1, 2, "no interval"),
    ]
    pairs = [row for row in table_rows(Measured({"ar": rows, "ai": rows}, {}, {}, "r", 0)) if row["against"]]
    assert [(row["songs"], row["reason"]) for row in pairs] == [(120, ""), (0, "no interval")]
    assert pairs[0]["verdict"].startswith("same") and pairs[1]["verdict"] == ""


def test_an_infinite_part_is_null_for_any_reader_of_json():
    measured = Measured({"generated": [MetricResult("oa_mean", 0.0, 5, parts={"kld": math.inf})]}, {}, {}, "r", 0)
    for text in (table_json(measured), next(csv.DictReader(io.StringIO(table_csv(measured))))["parts"]):
        assert '"kld": null' in text and "Infinity" not in text


def test_several_systems_are_compared_in_pairs(app: typer.Typer, folders: tuple[Path, Path], tmp_path: Path):
    files = sorted(folders[0].glob("*.mid"))
    for name, part in {"ar": files[:6], "ai": files[4:9]}.items():
        (tmp_path / name).mkdir()
        for path in part:
            (tmp_path / name / path.name).write_bytes(path.read_bytes())
    (tmp_path / "ar" / "notes.txt").write_text("made on Monday")
    places = (tmp_path / "ar", tmp_path / "ai")
    result = run(app, "metrics", *places, "--reference", folders[1], "--quick", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    said = result.stderr.replace("\n", " ")
    assert "1 of 6 pieces of" in said and "not used: 5 of each system are compared" in said
    assert "1 file of" in said and "ar is not read, as no MIDI, kar or ABC: .txt (1)" in said
    assert "2 pieces of ar are pieces of ai too" in said
    assert "ai: 3 of 5 generated pieces hold the same notes as reference pieces" in said
    assert "ar - ai" in result.stdout and "verdict: on kernel_distance alone" in result.stdout
    rows = list(csv.DictReader((tmp_path / "out" / "table.csv").open()))
    pairs = {row["metric"]: row for row in rows if row["against"]}
    assert {(row["set"], row["against"]) for row in pairs.values()} == {("ar", "ai")}
    systems = {(row["set"], row["metric"]): float(row["value"]) for row in rows if not row["against"] and row["value"]}
    assert float(pairs["kernel_distance"]["value"]) == pytest.approx(
        systems["ar", "kernel_distance"] - systems["ai", "kernel_distance"]
    )
    assert pairs["kernel_distance"]["verdict"].startswith("open") and pairs["structure_error"]["verdict"] == ""
    assert float(pairs["structure_error"]["low"]) < float(pairs["structure_error"]["high"])
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    assert len(table) == len(rows) and table[-1]["against"] == "ai"


def test_a_corpus_by_name_has_its_splits(
    app: typer.Typer, folders: tuple[Path, Path], own_cache: str | None, monkeypatch: pytest.MonkeyPatch
):
    if own_cache is None:  # 1080 tunes: read once for all tests of the corpus
        monkeypatch.delenv("SMDIM_BENCH_CACHE")
    else:
        monkeypatch.setenv("SMDIM_BENCH_CACHE", own_cache)
    result = run(app, "metrics", folders[0], "--reference", "demo/irish", "--quick")
    assert result.exit_code == 0, result.output
    assert "reference pieces for" not in result.stderr  # the test split has 110, more than the 10 generated pieces
    assert "shuffled" not in result.stdout


def test_broken_and_silent_files_are_counted(
    app: typer.Typer, folders: tuple[Path, Path], tmp_path: Path, write_midi: Callable[..., Path]
):
    for path in folders[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "broken.mid").write_bytes(b"MThd")
    write_midi(tmp_path / "drums.mid", [(0.0, 1.0, 36, 90)], drums=[0])
    result = run(app, "metrics", tmp_path, "--reference", folders[1], "--quick")
    assert result.exit_code == 0, result.output
    assert "2 of 12 pieces of" in result.stderr and "broken.mid: truncated" in result.stderr
    assert "drums.mid: drums only" in result.stderr


def test_bars_of_different_length_are_pointed_out(app: typer.Typer, folders: tuple[Path, Path], demo_music: Path):
    irish = demo_music / "irish"
    result = run(app, "metrics", irish, "--reference", folders[1], "--quick")
    assert "--bar-beats sets one length" in result.stderr.replace("\n", " ")
    mended = run(app, "metrics", irish, "--reference", folders[1], "--quick", "--bar-beats", 4)
    assert "--bar-beats" not in mended.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("{empty}", "--reference", "demo"), "no MIDI, kar or ABC file"),
        (("{absent}", "--reference", "demo"), "no such folder"),
        (("{music}", "--reference", "{absent}"), "no such folder"),
        (("{music}", "--reference", "bach"), "unknown corpus 'bach'"),
        (("{music}", "--reference", "demo", "--limits", "tails"), "--limits 'tails' is unknown; allowed: full, data"),
        (
            ("{music}", "--reference", "demo", "--bar-beats", "0"),
            "--bar-beats 0.0: allowed: 0.25 to 64.0 quarter notes",
        ),
        (("{music}", "--reference", "demo", "--grid", "8"), "--grid '8' is unknown; allowed: auto, none"),
        (("{music}", "--reference", "demo", "--length", "0notes"), "--length '0notes': allowed are a number of notes"),
        (("{music}", "--reference", "demo", "--length", "abc"), "--length 'abc': allowed are a number of notes"),
        (("{music}", "--reference", "demo", "--length", "8beats", "--whole"), "exclude each other"),
        (("{music}", "{same}", "--reference", "demo"), "are one folder; allowed: a folder for each system"),
        (("{music}", "{outer}", "--reference", "demo"), "lies inside"),
        (("{music}", "{empty}", "--reference", "demo"), "no MIDI, kar or ABC file"),
        (("{music}", "{single}", "--reference", "{music}"), "one piece; allowed: 2 or more of each system"),
        (("{music}", "--reference", "{music}", "--length", "99999notes"), "as long as --length 99999notes; allowed: a"),
        (("{silent}", "--reference", "demo"), "none of the 1 pieces can be used: no notes (1)"),
        (("{music}", "--reference", "{silent}"), "none of the 1 pieces can be used: no notes (1)"),
    ],
)
def test_what_cannot_be_judged_is_one_line(
    app: typer.Typer,
    folders: tuple[Path, Path],
    tmp_path: Path,
    write_midi: Callable[..., Path],
    options: tuple[str, ...],
    message: str,
):
    (tmp_path / "empty").mkdir()
    write_midi(tmp_path / "silent" / "silence.mid")
    (tmp_path / "single").mkdir()
    (tmp_path / "single" / "a.mid").write_bytes(min(folders[0].glob("*.mid")).read_bytes())
    (tmp_path / "same").symlink_to(folders[0])
    named = {
        "{same}": tmp_path / "same",
        "{outer}": folders[0].parent,
        "{single}": tmp_path / "single",
        "{empty}": tmp_path / "empty",
        "{silent}": tmp_path / "silent",
        "{absent}": tmp_path / "absent",
        "{music}": folders[0],
    }
    result = run(app, "metrics", *(named.get(option, option) for option in options))
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception) and "\n" not in str(result.exception)


def test_the_sensitivity_card_of_a_folder(app: typer.Typer, demo_music: Path, tmp_path: Path):
    result = run(app, "sensitivity", "--corpus", demo_music / "irish", "-o", tmp_path / "card", "--pieces", 8)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "card").iterdir()) == ["README.md", "figure.png", "table.csv"]
    assert "statements hold" in result.stderr


def line(count: int, name: str, *, step: float = 1.0, tempo: float = 120.0, pitch: int = 60) -> Notes:
    pitches = pitch + np.arange(count) % 7
    notes = Notes.from_arrays(step * np.arange(count), np.full(count, step), pitches, name=name)
    return replace(notes, tempo=tempo)


def sets_of(generated: list[Notes], reference: list[Notes]) -> Sets:
    return Sets({"generated": generated}, reference, [], [])


def words_of(generated: list[Notes], reference: list[Notes]) -> str:
    return " | ".join(warnings(sets_of(generated, reference)))


def test_real_pieces_are_cut_to_the_lengths_of_the_generated_ones():
    generated = [line(20 + index, f"g{index}") for index in range(4)]
    held_out = [line(90, "a", pitch=50), line(100, "b", pitch=52), line(10, "c", pitch=54)]
    sets = matched({"generated": generated}, held_out, [line(200, "t", pitch=40)], 0, None, whole=False)
    assert [len(piece) for piece in sets.systems["generated"]] == [20, 21, 22, 23]
    lengths = {piece.name: len(piece) for piece in sets.reference}
    assert lengths["c"] == 10 and 20 <= lengths["a"] <= 23 and 20 <= lengths["b"] <= 23
    assert sorted(piece.song for piece in sets.reference) in (["a", "a", "b", "c"], ["a", "b", "b", "c"])
    assert {piece.song for piece in sets.train} == {"t"} and len(sets.train) in (8, 9, 10)
    assert all(20 <= len(piece) <= 23 for piece in sets.train)
    whole = matched({"generated": generated}, held_out, None, 0, None, whole=True)
    assert sorted(len(piece) for piece in whole.reference) == [10, 90, 100]


def test_sets_of_like_lengths_are_left_as_they_are():
    generated = [line(100 + 10 * index, f"g{index}") for index in range(20)]
    held_out = [line(290 - 10 * index, f"r{index}", pitch=30 + index) for index in range(20)]
    sets = matched({"generated": generated}, held_out, None, 0, None, whole=False)
    assert sorted(map(len, sets.reference)) == sorted(map(len, held_out))


@pytest.mark.parametrize(("words", "count"), [("12notes", 12), ("8beats", 8)])
def test_a_length_cuts_both_sides(words: str, count: int):
    sets = matched({"generated": [line(30, "g")]}, [line(90, "a")], None, 0, length_of(words), whole=False)
    assert [len(piece) for piece in (*sets.systems["generated"], *sets.reference)] == [count, count]


def test_systems_are_made_equal_in_number_and_length():
    systems = {"a": [line(20 + k, f"a{k}") for k in range(6)], "b": [line(30 - 5 * k, f"b{k}") for k in range(4)]}
    found = evened(systems, 0, whole=False)
    lengths = {name: sorted(map(len, pieces)) for name, pieces in found.items()}
    assert lengths["a"] == lengths["b"] and lengths["b"][:2] == [15, 20]  # 15, 20, 25, 30 notes, shortest of each rank
    assert {piece.song for pieces in found.values() for piece in pieces} == {""}
    assert [len(piece) for piece in evened(systems, 0, whole=True)["b"]] == [30, 25, 20, 15]
    assert [piece.name for piece in long_enough(systems["b"], length_of("25notes"))] == ["b0", "b1"]
    assert [piece.name for piece in long_enough(systems["b"], length_of("25beats"))] == ["b0", "b1"]


def test_folders_of_one_name_are_told_apart_by_their_paths():
    found = named_folders([Path("/x/one/midi"), Path("/x/two/midi")])
    assert list(found) == ["one/midi", "two/midi"]
    assert list(named_folders([Path("/x/shuffled"), Path("/x/b")])) == ["x/shuffled", "x/b"]  # the name of a floor


def test_songs_that_are_no_reference_are_left_for_the_ceiling():
    held_out = [line(40, f"s{index}", pitch=30 + index) for index in range(6)]
    sets = matched({"generated": [line(10, "g")] * 2}, held_out, None, 0, None, whole=False)
    assert len({piece.song for piece in sets.reference}) == 2
    assert {piece.song for piece in sets.real} == {f"s{i}" for i in range(6)} - {piece.song for piece in sets.reference}
    assert sets.real is sets.train


def test_excerpts_begin_at_their_bar_and_keep_meters():
    piece = replace(line(30, "p"), meters=((0.0, 3.0), (12.0, 4.0)))
    parts = excerpts(piece, 10)
    assert [len(part) for part in parts] == [10, 10, 10] and {part.song for part in parts} == {"p"}
    assert parts[1].onset.tolist() == [1 + k for k in range(10)]  # note 10 is the second of the bar from beat 9
    assert parts[1].meters == ((0.0, 3.0), (3.0, 4.0))
    assert parts[2].onset[0] == 0 and parts[2].meters == ((0.0, 4.0),)
    assert excerpts(piece, 31)[0].onset.tolist() == piece.onset.tolist()


def test_both_sides_get_the_coarser_grid():
    generator = np.random.default_rng(0)
    played = [replace(line(50, "p"), onset=np.sort(generator.random(50) * 20)) for _ in range(3)]
    written = [line(50, "w", step=0.125), line(50, "v", step=0.375)]
    assert (grid_of(played), grid_of(written), grid_of([line(9, "t", step=1 / 3)])) == (0, 8, 3)
    sets, steps = one_grid(sets_of(written, played))
    assert steps == 8 and grid_of(sets.reference) == 8
    assert sets.systems["generated"][0].onset.tolist() == written[0].onset.tolist()
    snapped = on_grid(Notes.from_arrays([0.1, 0.99], [0.01, 0.4], [60, 62]), 4)
    assert snapped.onset.tolist() == [0.0, 1.0] and snapped.duration.tolist() == [0.25, 0.5]
    assert one_grid(sets_of(played, played))[1] == 0


def test_what_makes_sides_incomparable_is_named():
    real = [line(40, f"r{index}", pitch=40 + index) for index in range(12)]
    fine = [line(40, f"g{index}", pitch=41 + index, step=1.25) for index in range(12)]
    assert words_of(fine, real) == ""
    copies = words_of([line(40, f"copy{index}", step=1.25) for index in range(50)], real)
    assert "49 of 50 generated pieces repeat the notes of another one (copy0 stands 50 times)" in copies
    mixed = [replace(piece, name=f"{'ar' if index % 2 else 'mdlm'}/{index}") for index, piece in enumerate(fine)]
    assert "several folders: mdlm (6), ar (6)" in words_of(mixed, real)
    assert "the reference is one song" in words_of(fine, [replace(piece, song="s") for piece in real])
    assert "notes: 40 notes in the generated pieces and 60 in the reference" in words_of(
        fine, [line(60, f"r{index}", pitch=40 + index) for index in range(12)]
    )
    fast = [replace(piece, tempo=181.0) for piece in real]
    assert "tempo: 120 beats a minute in the generated pieces and 181" in words_of(fine, fast)
    assert "same notes as reference pieces (r0 = r0)" in words_of(real, real)
