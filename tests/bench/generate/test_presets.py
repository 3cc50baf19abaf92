"""A run in tokens of preset `remi-m`, from training to files: pieces, bars drawn anew, an ending."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import symusic
from typer.testing import CliRunner

from bench.cli import app


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory, write_midi: Callable[..., Path]) -> Path:
    """Ten songs of 12 to 21 bars, a note a beat that lasts a sixteenth less a tick."""
    folder = tmp_path_factory.mktemp("music")
    for index in range(10):
        notes = [(beat, 239 / 480, 50 + index + beat % 8, 64) for beat in range(4 * (12 + index))]
        write_midi(folder / f"{index}.mid", notes)
    return folder


@pytest.fixture(scope="module")
def run_folder(music: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMDIM_BENCH_CACHE", str(music / "cache"))
        invoke(
            *("train", "AF", "--corpus", f"folder:{music}", "--length", "64", "--budget", "1steps", "--batch", "2"),
            *("--model", "width=32", "--train", "validations=0", "--train", "final_validation_windows=1"),
            *("--tokenizer", "remi-m", "--name", "tiny", "--results", str(music / "results")),
        )
    return music / "results" / "train" / "tiny"


def invoke(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def generated(run: Path, folder: Path, *options: str) -> Any:
    invoke("generate", str(run), "-n", "1", "-o", str(folder), "--steps", "4", *options)
    (path,) = folder.glob("*.mid")
    return symusic.Score.from_midi(path.read_bytes())


def places(notes: Sequence[Any], first_bar: int = 0, end_bar: int = 99, ticks: int = 480) -> set[tuple[int, int]]:
    return {(one.time, one.pitch) for one in notes if first_bar <= one.time // (4 * ticks) < end_bar}


def test_a_piece_is_written_as_that_writer_does(run_folder: Path, tmp_path: Path) -> None:
    score = generated(run_folder, tmp_path / "out", "--constraint", "grammar", "--constraint", "chord=2")
    assert score.ticks_per_quarter == 120 and [track.name for track in score.tracks] == ["Melody"]
    notes = list(score.tracks[0].notes)
    assert len(notes) > 5
    assert all(note.time % 30 == 0 and note.duration % 30 == 0 and 30 <= note.duration <= 1920 for note in notes)


@pytest.mark.parametrize("options", [(), ("--keep", "Pitch,Position")])
def test_bars_drawn_anew(run_folder: Path, music: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    song = music / "3.mid"
    given = symusic.Score.from_midi(song.read_bytes()).tracks[0].notes
    score = generated(
        run_folder, tmp_path / "out", "--infill", str(song), "--bars", "2:4", "--constraint", "grammar", *options
    )
    kept, drawn = (track.notes for track in score.tracks)
    assert places(kept) == places(given, 0, 2) | places(given, 4)
    assert drawn and places(drawn) == places(drawn, 2, 4)
    if options:  # pitches and onsets are given, durations and velocities drawn
        assert places(drawn) == places(given, 2, 4)


def test_an_ending(run_folder: Path, music: Path, tmp_path: Path) -> None:
    song, options = music / "0.mid", ("--bars", "0:2", "--length", "40", "--constraint", "grammar")
    score = generated(run_folder, tmp_path / "out", "--continue", str(song), *options)
    assert places(score.tracks[0].notes) == places(score.tracks[0].notes, 0, 2)
    assert len(score.tracks[1].notes) and min(note.time for note in score.tracks[1].notes) >= 2 * 1920
