"""`smdim-bench generate` as a person types it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import symusic
from typer.testing import CliRunner, Result

from bench.cli import app
from bench.errors import UserError
from bench.training import TrainingError

SONG = "demo/irish:Morrisons"


def generate(run: Path, folder: Path, *options: str) -> Result:
    arguments = ["generate", str(run), "-n", "2", "-o", str(folder), "--steps", "4", *options]
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def notes(path: Path) -> int:
    score: Any = symusic.Score.from_midi(path.read_bytes())
    return sum(len(track.notes) for track in score.tracks)


def test_pieces_settings_and_page(run_folder: Path, tmp_path: Path) -> None:
    done = generate(run_folder, tmp_path / "out", "--constraint", "grammar", "--constraint", "chord=4", "--report")
    assert done.exit_code == 0, done.output
    assert "2 pieces, 4 network calls a piece" in done.output.replace("\n", " ")
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == ["piece-000.mid", "piece-001.mid", "report.html", "rolls.png", "settings.json"]
    assert notes(tmp_path / "out" / "piece-000.mid") > 20
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert settings["constraint"] == "grammar+chord=4"
    assert settings["nfe"] == [4, 4]
    assert settings["train_steps"] == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('class="sample"') == 2
    assert "http" not in page.split("<script", 1)[0]


def test_a_seed_decides_the_pieces(run_folder: Path, tmp_path: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert generate(run_folder, tmp_path / name, "--constraint", "grammar", "--seed", seed).exit_code == 0
    first, again, other = ((tmp_path / name / "piece-001.mid").read_bytes() for name in "abc")
    assert first == again
    assert first != other


def test_a_piece_may_be_longer_than_the_run_saw(run_folder: Path, tmp_path: Path) -> None:
    done = generate(
        run_folder, tmp_path / "out", "--length", "700", "--constraint", "grammar", "--sampler", "first-hitting"
    )
    assert done.exit_code == 0, done.output
    assert notes(tmp_path / "out" / "piece-000.mid") > 100


def test_infilling_names_pieces_after_the_song(run_folder: Path, tmp_path: Path) -> None:
    done = generate(run_folder, tmp_path / "out", "--infill", SONG, "--bars", "4:6", "--report")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "Morrisons-001.mid").is_file()
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('class="sample"') == 3  # the song as given, and two pieces
    onward = generate(run_folder, tmp_path / "onward", "--continue", SONG, "--length", "60")
    assert onward.exit_code == 0, onward.output


def test_nothing_is_overwritten(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    for folder in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(UserError, match="nothing is overwritten; allowed: a folder that is new or empty"):
            generate(run_folder, folder)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "0"], "--steps 0: allowed: 1 or more"),
        (["-n", "0"], "-n 0: allowed"),
        (["--sampler", "best"], "--sampler 'best': not known; allowed: ancestral, cached"),
        (["--schedule", "linear"], "--schedule: the sampler 'cached' has no such setting; allowed: with 'confidence'"),
        (["--sampler", "confidence", "--schedule", "square"], "--schedule: 'square' is not known; allowed: linear, "),
        (["--temperature", "-1"], "--temperature -1"),
        (["--top-p", "0"], "--top-p 0"),
        (["--length", "30"], "--length 30: "),
        (["--constraint", "rhyme"], "rhyme: not known"),
        (["--constraint", "pitch=0:5"], "no pitch of the vocabulary"),
        (["--bars", "1:2"], "--bars: of which song"),
        (["--keep", "Pitch"], "--keep: of which song"),
        (["--infill", SONG], "--infill: what is to be drawn"),
        (["--infill", SONG, "--bars", "10:900"], "Morrisons.mid has .* bars of four quarter notes; allowed"),
        (["--infill", SONG, "--bars", "0:2", "--bar-tokens", "5", "--constraint", "grammar"], "no legal token"),
        (["--infill", SONG, "--continue", SONG], "allowed: one of them"),
        (["--infill", SONG, "--bars", "0:2", "--length", "9"], "a song keeps its length"),
        (["--infill", "absent.mid", "--bars", "0:2"], "absent.mid: no such file"),
    ],
)
def test_what_cannot_be_done_is_one_line(run_folder: Path, tmp_path: Path, options: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        generate(run_folder, tmp_path / "out", *options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_runs_that_cannot_be_used_are_one_line(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run"):
        generate(tmp_path / "absent", tmp_path / "out")
    shutil.copytree(run_folder, tmp_path / "other")
    cell = json.loads((run_folder / "cell.json").read_text())
    cell["settings"]["tokenizer"] = {"velocities": 16}
    (tmp_path / "other" / "cell.json").write_text(json.dumps(cell))
    with pytest.raises(UserError, match=r"a run of another vocabulary: .* 222 tokens, .* give 206"):
        generate(tmp_path / "other", tmp_path / "out")
    cell["settings"] |= {"tokenizer": {}, "model": cell["settings"]["model"] | {"width": 64}}
    (tmp_path / "other" / "cell.json").write_text(json.dumps(cell))
    with pytest.raises(UserError, match="the checkpoint is of another network"):
        generate(tmp_path / "other", tmp_path / "out")
    shutil.rmtree(tmp_path / "other" / "checkpoint")
    with pytest.raises(TrainingError, match="checkpoint: none in"):
        generate(tmp_path / "other", tmp_path / "out")
    assert not (tmp_path / "out").exists()


RIGHT, LEFT = b"\0\x90\x3c\x50\x83\x60\x80\x3c\0", b"\0\x90\x30\x50\x83\x60\x80\x30\0"
NAME = "Flöte".encode("latin-1")


def song_bytes(name: bytes, extra: bytes = b"") -> bytes:
    """Eight bars of quarter notes on a track called `name` and on one called LEFT, a lyric and a pedal on the first."""
    text = bytes([len(name)]) + name
    begun = b"\0\xff\x03" + text + b"\0\xff\x05" + text + b"\0\xb0\x40\x7f" + extra
    data = b"MThd\0\0\0\x06\0\x01\0\x02\x01\xe0"
    for events in (begun + RIGHT * 32, b"\0\xff\x03\x04LEFT" + LEFT * 32):
        data += b"MTrk" + (len(events) + 4).to_bytes(4, "big") + events + b"\0\xff\x2f\0"
    return data


@pytest.mark.parametrize("name", ["Flöte".encode("latin-1"), "ピアノ右手".encode("shift_jis"), "Flöte".encode()])
def test_a_track_is_kept_by_a_name_in_any_encoding_and_the_name_byte_for_byte(
    run_folder: Path, tmp_path: Path, name: bytes
) -> None:
    (tmp_path / "song.mid").write_bytes(song_bytes(name))
    asked = "ピアノ右手" if name[:1] == b"\x83" else "flöte"
    done = generate(run_folder, tmp_path / "out", "--infill", str(tmp_path / "song.mid"), "--keep-track", asked)
    assert done.exit_code == 0 and done.stderr == "", done.output
    written = (tmp_path / "out" / "song-000.mid").read_bytes()
    for kind in (b"\xff\x03", b"\xff\x05"):
        assert kind + bytes([len(name)]) + name in written


def test_an_unknown_track_is_answered_with_readable_names(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "song.mid").write_bytes(song_bytes("ピアノ右手".encode("shift_jis")))
    with pytest.raises(UserError, match=r"allowed: ピアノ右手 \(0\), LEFT \(2\)$"):
        generate(run_folder, tmp_path / "out", "--infill", str(tmp_path / "song.mid"), "--keep-track", "Flöte")


def test_what_the_written_files_lack_of_a_song_is_named(run_folder: Path, tmp_path: Path) -> None:
    extra = b"\0\x90\x43\x50\0\xa0\x43\x20\0\xd0\x20\0\xf0\x05\x7e\x7f\x09\x01\xf7"
    (tmp_path / "song.mid").write_bytes(song_bytes(NAME, extra))
    done = generate(run_folder, tmp_path / "out", "--infill", str(tmp_path / "song.mid"), "--bars", "2:4")
    lost = "1 note that never ends, 2 aftertouch events, 1 system-exclusive message"
    assert done.stderr == f"warning: song.mid: not in the files that are written: {lost}\n"
    (tmp_path / "plain.mid").write_bytes(song_bytes(NAME))
    assert generate(run_folder, tmp_path / "b", "--continue", str(tmp_path / "plain.mid"), "--length", "9").stderr == ""
