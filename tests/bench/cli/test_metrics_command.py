"""The commands `metrics` and `sensitivity` as a person types them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import symusic
import typer
from typer.testing import CliRunner, Result

from bench.errors import UserError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMDIM_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def app() -> typer.Typer:
    from bench.cli import app

    return app


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, demo_music: Path) -> tuple[Path, Path]:
    """Sixteen lieder, of which four are in both folders."""
    root = tmp_path_factory.mktemp("music")
    files = sorted((demo_music / "lieder").glob("*.mid"))
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
    for words in ("oa_mean", "real/real", "shuffled", "unigram", "uniform", "oa_attribute/mean-of-4 v1"):
        assert words in result.stdout
    assert "4 of 10 generated pieces hold the same notes as reference pieces" in result.stderr
    rows = list(csv.DictReader(output.open()))
    assert {row["set"] for row in rows} == {"generated", "real-vs-real", "shuffled", "unigram-tokens", "uniform-tokens"}
    mean = next(row for row in rows if (row["set"], row["metric"]) == ("generated", "oa_mean"))
    assert float(mean["low"]) < float(mean["value"]) < float(mean["high"])
    assert (mean["n"], mean["songs"], mean["better"]) == ("10", "10", "higher")
    assert mean["definition"] == "oa_attribute/mean-of-4 v1"


def test_a_corpus_by_name_has_its_splits(app: typer.Typer, folders: tuple[Path, Path]):
    result = run(app, "metrics", folders[0], "--reference", "demo/irish", "--quick")
    assert result.exit_code == 0, result.output
    assert "reference pieces for" not in result.stderr  # the test split has 110, more than the 10 generated pieces
    assert "shuffled" not in result.stdout


def test_broken_and_silent_files_are_counted(app: typer.Typer, folders: tuple[Path, Path], tmp_path: Path):
    for path in folders[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "broken.mid").write_bytes(b"MThd")
    score = symusic.Score(480)
    drums = symusic.Track("drums", 0, True)
    drums.notes.append(symusic.Note(0, 480, 36, 90))
    score.tracks.append(drums)
    score.dump_midi(tmp_path / "drums.mid")
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
        (("{music}", "--reference", "demo", "--bar-beats", "0"), "--bar-beats must be more than 0"),
    ],
)
def test_what_cannot_be_judged_is_one_line(
    app: typer.Typer, folders: tuple[Path, Path], tmp_path: Path, options: tuple[str, ...], message: str
):
    (tmp_path / "empty").mkdir()
    named = {"{empty}": tmp_path / "empty", "{absent}": tmp_path / "absent", "{music}": folders[0]}
    result = run(app, "metrics", *(named.get(option, option) for option in options))
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception) and "\n" not in str(result.exception)


def test_the_sensitivity_card_of_a_folder(app: typer.Typer, demo_music: Path, tmp_path: Path):
    result = run(app, "sensitivity", "--corpus", demo_music / "irish", "-o", tmp_path / "card", "--pieces", 8)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "card").iterdir()) == ["README.md", "figure.png", "table.csv"]
    assert "statements hold" in result.stderr
