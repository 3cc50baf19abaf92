"""`metrics --pairs`: files matched by name, and what is refused."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bench.cli import app
from bench.errors import UserError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMDIM_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")


def melody(*pitches: int) -> list[tuple[float, float, int, int]]:
    """Quarter notes one after another."""
    return [(beat, 1.0, pitch, 80) for beat, pitch in enumerate(pitches)]


@pytest.fixture
def folders(tmp_path: Path, write_midi: Callable[..., Path]) -> tuple[Path, Path]:
    """Four pairs of four notes, of which 4, 2, 0 and 0 agree (the last is silent), and a file without counterpart."""
    filled, hidden = tmp_path / "filled", tmp_path / "hidden"
    for name, own in {"a": [60, 62, 64, 65], "b": [60, 62, 1, 2], "c": [1, 2, 3, 4], "d": []}.items():
        write_midi(filled / f"{name}.mid", melody(*own))
    for index, name in enumerate("abcde"):
        write_midi(hidden / f"{name}.midi", melody(60, 62, 64, 65 + index))
    return filled, hidden


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["metrics", *map(str, words)])


def test_each_file_and_the_mean_over_files(folders: tuple[Path, Path], tmp_path: Path) -> None:
    result = run("--pairs", *folders, "-o", tmp_path / "pairs.csv")
    assert result.exit_code == 0, result.output
    assert "1 files of" in result.stderr and "have no counterpart: e" in result.stderr
    rows = list(csv.DictReader((tmp_path / "pairs.csv").open()))
    scores = {row["file"]: row["value"] for row in rows if row["metric"] == "infill_note_f1"}
    assert scores == {"a": "1.0", "b": "0.5", "c": "0.0", "d": "0.0", "": "0.375"}
    mean = next(row for row in rows if (row["file"], row["metric"]) == ("", "infill_note_f1"))
    assert (mean["n"], mean["songs"]) == ("4", "4") and float(mean["low"]) < 0.375 < float(mean["high"])
    assert "0.3750" in result.stdout and "95 % interval over files" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pairs", "{empty}", "{hidden}"], "empty: no MIDI or ABC file"),
        (["--pairs", "{filled}", "{nowhere}"], "nowhere: no such folder"),
        (["--pairs", "{filled}", "{others}"], "no file of .*filled has the name of a file of .*others .a, z."),
        (["--pairs", "{twice}", "{hidden}"], "twice: two files are called a; allowed: one file for each name"),
        (["--pairs", "{broken}", "{hidden}"], "broken: none of its 1 files can be read"),
        (["{filled}", "--pairs", "{filled}", "{hidden}"], "--pairs: takes its two folders alone"),
        (["{filled}"], r"allowed: FOLDER\.\.\. --reference FOLDER_OR_CORPUS, or --pairs INFILLED HIDDEN"),
        ([], r"allowed: FOLDER\.\.\. --reference FOLDER_OR_CORPUS, or --pairs INFILLED HIDDEN"),
    ],
)
def test_bad_input_is_one_line(
    folders: tuple[Path, Path], tmp_path: Path, write_midi: Callable[..., Path], words: list[str], message: str
) -> None:
    import re

    names = {name: tmp_path / name for name in ("empty", "nowhere", "others", "twice", "broken")}
    for name in ("empty", "broken"):
        names[name].mkdir()
    (names["broken"] / "a.mid").write_bytes(b"no music")
    write_midi(names["others"] / "z.mid", melody(60))
    write_midi(names["twice"] / "a.mid", melody(60))
    write_midi(names["twice"] / "a.midi", melody(61))
    result = run(*(word.format(filled=folders[0], hidden=folders[1], **names) for word in words))
    assert result.exit_code != 0 and isinstance(result.exception, UserError)
    assert re.search(message, str(result.exception)) and "\n" not in str(result.exception)


def test_a_file_that_cannot_be_read_is_named_and_drums_alone_are_silent(
    folders: tuple[Path, Path], tmp_path: Path, write_midi: Callable[..., Path]
) -> None:
    filled, hidden = folders
    (filled / "a.mid").write_text("junk")
    write_midi(filled / "b.mid", melody(36, 38), drums=[0])
    result = run("--pairs", filled, hidden, "-o", tmp_path / "pairs.csv")
    assert result.exit_code == 0, result.output
    assert "filled: a.mid cannot be read, so its pair is left out" in " ".join(result.stderr.split())
    rows = csv.DictReader((tmp_path / "pairs.csv").open())
    assert {row["file"]: row["value"] for row in rows if row["metric"] == "infill_note_f1"}["b"] == "0.0"
