"""Card of a tokenizer: counted on hand-made pieces, and as the command prints it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.data import TokenCorpus, TokenizerSettings, corpus_notes, load_corpus, tokenize
from bench.measure.quality.tokeniser_card import RoundTrip, round_trip, tokeniser_card
from metrics import read_notes

REMI_M = TokenizerSettings(preset="remi-m")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_midi: Callable[..., Path]) -> Path:
    made = tmp_path_factory.mktemp("card")
    for index in range(12):
        notes = [(0.5 * step, 0.499, 48 + index + step % 7, 64) for step in range(40 + index)]
        write_midi(made / f"{index}.mid", notes, tpq=1000)
    return made


@pytest.fixture(scope="module")
def corpus(folder: Path) -> TokenCorpus:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMDIM_BENCH_CACHE", str(folder / "cache"))
        return tokenize(load_corpus(f"folder:{folder}"), REMI_M)


def test_what_a_round_trip_changes(
    tmp_path: Path, write_midi: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMDIM_BENCH_CACHE", str(tmp_path / "cache"))
    notes = [
        (0.0, 1.0, 60, 64),  # kept as it is
        (1.1, 0.4, 62, 64),  # from 1 to 1.5: 0.1 beats earlier, 0.1 longer
        (2.0, 0.5, 0, 64),  # no token
        (3.0, 0.25, 65, 64),  # at the position of the next one, which is longer: lost
        (3.2, 0.3, 65, 64),  # from 3 to 3.5: 0.2 beats earlier, 0.2 longer
        (4.0, 0.24, 67, 64),  # 4 to 4: no length, so one sixteenth: 0.01 longer
    ]
    write_midi(tmp_path / "a.mid", notes, tpq=1000)
    tokens = tokenize(load_corpus(f"folder:{tmp_path}"), REMI_M)
    before, after = corpus_notes(tokens.corpus), [read_notes(tokens.decode(tokens.all_tokens))]
    found = round_trip(before, after, tokens)
    assert found == RoundTrip(6, 1, 1, 2, 3, pytest.approx(0.3 / 4), pytest.approx(0.31 / 4))
    assert found.kept == 4


def test_the_card_in_closed_form(corpus: TokenCorpus) -> None:
    facts = {fact.name: fact for fact in tokeniser_card(corpus, corpus_notes(corpus.corpus))}
    notes = sum(40 + index for index in range(12))
    bars = sum(-(-(40 + index) // 8) for index in range(12))  # of eight notes
    assert facts["vocabulary"].value == 369
    assert facts["tokens a note"].value == pytest.approx((4 * notes + bars) / notes)
    assert facts["notes a window of 512"].over == "0 full windows"
    # half a beat less 0.001 is rounded down to a sixteenth: every note is half as long as it was
    assert facts["notes whose duration changes"].value == 1.0
    assert facts["change of duration, mean"].value == pytest.approx(0.249, abs=1e-3)
    assert facts["notes whose onset changes"].value == 0.0
    overlaps = {name: fact.value for name, fact in facts.items() if name.endswith("after the round trip")}
    assert overlaps["OA pitch after the round trip"] == pytest.approx(1.0)
    assert overlaps["OA duration after the round trip"] == 0.0
    assert overlaps["OA mean after the round trip"] == pytest.approx(0.75)


def test_the_command(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMDIM_BENCH_CACHE", str(folder / "cache"))

    def invoke(*words: str) -> str:
        done = CliRunner().invoke(app, ["corpus", "info", f"folder:{folder}", *words])
        return done.output if done.exit_code == 0 else f"{done.exception}{done.output}"

    both = [
        "--tokenizer",
        "remi-m",
        "--tokenizer",
        "remi-m modes=true",
        "--markdown",
        "--csv",
        str(tmp_path / "card.csv"),
    ]
    shown = invoke(*both)
    assert "| vocabulary | 369 | 509 | tokens |" in shown
    assert (tmp_path / "card.csv").read_text().splitlines()[1].startswith("vocabulary,369.0,")
    assert "preset remi-m fixes velocities; allowed beside a preset: modes" in invoke(
        "--tokenizer", "remi-m velocities=16"
    )
    assert "--csv is of a tokenizer's table" in invoke("--csv", "x.csv")
