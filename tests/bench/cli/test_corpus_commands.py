"""The corpus commands as a person types them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from bench.data import catalog, fetching
from bench.errors import UserError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMDIM_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def app() -> typer.Typer:
    from bench.cli import app

    return app


@pytest.fixture
def music(tmp_path: Path, write_midi: Callable[..., Path]) -> Path:
    folder = tmp_path / "music"
    for index in range(4):
        write_midi(folder / f"{index}.mid", [(0.0, 1.0, 60 + index, 64)])
    (folder / "broken.mid").write_bytes(b"MThd")
    return folder


def test_list_says_what_is_here_and_under_which_licence(app: typer.Typer) -> None:
    shown = CliRunner().invoke(app, ["corpus", "list"]).output
    lines = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
    assert "yes" in lines["demo"]
    assert "add or fetch" in lines["pop909"]
    assert "CC BY-NC-SA 4.0" in shown
    assert "folder:PATH" in shown


def test_check_names_notes_of_over_four_bars(app: typer.Typer, tmp_path: Path, write_midi: Callable[..., Path]) -> None:
    for name, quarters in (("just", 16), ("hanging", 63)):
        write_midi(tmp_path / f"{name}.mid", [(0.0, 1.0, 60, 64), (2.0, quarters, 62, 64)])
    result = CliRunner().invoke(app, ["corpus", "check", f"folder:{tmp_path}"])
    assert result.stdout.splitlines() == [
        "long notes in hanging.mid: 1 of 2 notes last over four bars, the longest 63 quarter notes (pitch 62 at 2)",
        f"folder:{tmp_path}: 2 of 2 pieces can be used",
    ]


def test_check_lists_what_cannot_be_used(app: typer.Typer, music: Path) -> None:
    (music.parent / "music[").mkdir()
    music = music.rename(music.parent / "music[/bold]")
    (music / os.fsdecode(b"caf\xe9.mid")).write_bytes((music / "0.mid").read_bytes()[:-1])
    (music / "two\nlines \x1b[31m.mid").write_bytes(b"MThd")
    result = CliRunner().invoke(app, ["corpus", "check", f"folder:{music}"])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "skipped broken.mid: truncated inside the header",
        r"skipped caf\xe9.mid: truncated (a track ends before its stated length)",
        r"skipped two\nlines \x1b[31m.mid: truncated inside the header",
        f"folder:{music}: 4 of 7 pieces can be used",
    ]
    assert CliRunner().invoke(app, ["corpus", "check", f"folder:{music}", "--strict"]).exit_code == 1


def test_info_prints_a_card_and_draws_it(app: typer.Typer, music: Path, tmp_path: Path) -> None:
    figure = tmp_path / "card.png"
    result = CliRunner().invoke(app, ["corpus", "info", f"folder:{music}", "--markdown", "--figure", str(figure)])
    assert result.exit_code == 0
    assert "| pieces (train / validation / test) | 4 (2 / 1 / 1) |" in result.stdout
    assert "| skipped files | 1 truncated inside the header |" in result.stdout
    assert figure.is_file()


def test_add_takes_a_folder(app: typer.Typer, music: Path, tmp_path: Path) -> None:
    song = tmp_path / "POP909" / "001" / "001.mid"
    song.parent.mkdir(parents=True)
    song.write_bytes((music / "0.mid").read_bytes())
    result = CliRunner().invoke(app, ["corpus", "add", "pop909", "--from", str(tmp_path / "POP909")])
    assert result.exit_code == 0
    assert result.stdout.startswith("pop909: 1 pieces now in ")
    assert catalog.entry_of("pop909").find().is_dir()


def test_fetch_says_the_licence_first(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UserError("stop here")

    monkeypatch.setattr(fetching, "fetch_corpus", refuse)
    result = CliRunner().invoke(app, ["corpus", "fetch", "maestro"])
    assert isinstance(result.exception, UserError)
    assert "licence: CC BY-NC-SA 4.0" in result.stdout
    assert "from https://storage.googleapis.com/magentadata/datasets/maestro/v3.0.0/" in result.stdout


def test_errors_are_for_the_user(app: typer.Typer) -> None:
    for words in (["info", "nothing"], ["check", "pop909"], ["fetch", "demo"], ["add", "demo", "--from", "x"]):
        result = CliRunner().invoke(app, ["corpus", *words])
        assert isinstance(result.exception, UserError)
        assert "\n" not in str(result.exception)
