"""Generation from networks trained in blocks and token by token: new pieces, continuation with a cache, infilling."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from architectures import build
from bench.cli import app
from bench.errors import UserError
from bench.generate import DrawOptions, GenerateError, TrainedRun, bars_again, continuation, fill, load_run, load_song

SONG = "demo/irish:Morrisons"
PROCESSES: dict[str, dict[str, Any]] = {
    "block": {"objective": "block", "block": 16},
    "autoregressive": {"objective": "autoregressive"},
    "whole": {"objective": "block", "block": 128},
}


@pytest.fixture(scope="module")
def runs(run_folder: Path) -> dict[str, TrainedRun]:
    """Runs of 128 tokens and untrained weights, of each process."""
    run = load_run(run_folder)
    made = build("A(causal)F", vocab_size=len(run.language.words), seed=0, width=16, stride=1, pad_id=run.pad_id).eval()
    settings = {
        name: run.settings | {"length": 128, "diffusion": run.settings["diffusion"] | process}
        for name, process in PROCESSES.items()
    }
    return {name: replace(run, settings=one, backbone=made) for name, one in settings.items()}


@pytest.fixture
def calls(runs: dict[str, TrainedRun], monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Tokens before and tokens of each call on what follows others."""
    found: list[tuple[int, int]] = []
    made: Any = runs["block"].backbone
    plain = made.extend

    def extend(tokens_BL: torch.Tensor, state: Any = None, **wanted: bool) -> Any:
        found.append((state.tokens if state else 0, tokens_BL.shape[1]))
        return plain(tokens_BL, state, **wanted)

    monkeypatch.setattr(made, "extend", extend)
    return found


@pytest.mark.parametrize(("objective", "steps"), [("block", 8), ("autoregressive", 128)])
def test_a_piece_of_any_length(runs: dict[str, TrainedRun], objective: str, steps: int) -> None:
    run = runs[objective]
    options = DrawOptions(run.usual_sampler, steps=steps)
    for length in (50, 128, 200):
        filled = fill(run, 2, options, length=length)
        assert filled.tokens.shape == (2, length) and not np.isin(filled.tokens, [run.mask_id, run.pad_id]).any()
        if length <= 128:  # 8 steps in 4 or 8 blocks, and the commits between them
            assert filled.nfe == [({50: 8 + 3, 128: 8 + 7}[length]) if objective == "block" else length] * 2


def test_a_continuation_reads_what_is_given_once(runs: dict[str, TrainedRun], calls: list[tuple[int, int]]) -> None:
    run = runs["autoregressive"]
    song = load_song(SONG, run.tokenizer, run.language)
    template = continuation(song, 5, 0, 1)
    given = int((~template.hidden).sum())
    filled = fill(run, 2, DrawOptions("autoregressive"), template=template)
    assert calls == [(0, given + 1), *((given + 1 + more, 1) for more in range(3))] and filled.nfe == [4, 4]
    assert np.array_equal(filled.tokens[:, :given], np.tile(template.tokens[:given], (2, 1)))

    calls.clear()
    run = runs["block"]
    filled = fill(run, 2, DrawOptions("block", reveal=1), template=template)
    # two tokens of the first block and its commit, then the whole second block, most of which is cut off
    assert given == 14 and calls == [(0, 16)] * 3 + [(16, 16)] * 16 and filled.nfe == [19, 19]
    assert np.array_equal(filled.tokens[:, :given], np.tile(template.tokens[:given], (2, 1)))
    assert filled.tokens.shape == (2, len(template.tokens))


def test_one_block_as_long_as_the_rows_is_absorbing_diffusion(runs: dict[str, TrainedRun]) -> None:
    run = runs["whole"]
    assert (run.objective, run.block, run.usual_sampler, run.infilling_note()) == ("absorbing", None, "cached", "")
    assert fill(run, 1, DrawOptions("first-hitting", steps=4)).nfe == [4]


def test_a_sampler_of_another_objective_is_refused(runs: dict[str, TrainedRun]) -> None:
    with pytest.raises(
        GenerateError, match=r"^--sampler cached: does not follow the run's objective block; allowed: block$"
    ):
        fill(runs["block"], 1, DrawOptions("cached"))
    with pytest.raises(
        GenerateError, match=r"^--sampler block: does not follow the run's linear schedule; allowed: anc"
    ):
        fill(runs["whole"], 1, DrawOptions("block"))
    with pytest.raises(GenerateError, match=r"^--reveal: the sampler 'cached' has no such setting; allowed: with 'bl"):
        DrawOptions("cached", reveal=2)
    approximate = fill(runs["whole"], 1, DrawOptions("block-approximate", block=16, reveal=16))
    assert approximate.nfe == [8 + 7]


def test_infilling_by_blocks_keeps_what_is_given(runs: dict[str, TrainedRun]) -> None:
    run = runs["block"]
    song = load_song(SONG, run.tokenizer, run.language)
    template = bars_again(song, 2, 3)
    filled = fill(run, 1, DrawOptions("block", steps=8), template=template).tokens[0]
    assert np.array_equal(filled[~template.hidden], template.tokens[~template.hidden])
    assert template.allowed[np.flatnonzero(template.hidden), filled[template.hidden]].all()
    assert run.infilling_note() == "what follows the hidden tokens is seen only within their block of 16 tokens"


def generate(folder: Path, *options: str) -> Result:
    arguments = ["generate", "any", "-n", "1", "-o", str(folder), *options]
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_the_command_takes_the_sampler_of_the_run(
    runs: dict[str, TrainedRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = runs["autoregressive"]
    monkeypatch.setattr("bench.generate.load_run", lambda *_, **__: chosen)
    done = generate(tmp_path / "out", "--length", "12")
    assert done.exit_code == 0 and "1 piece, 12 network calls a piece" in done.output.replace("\n", " ")
    with pytest.raises(
        UserError, match=r"^--infill: an autoregressive run sees nothing that follows what it draws; all"
    ):
        generate(tmp_path / "other", "--infill", SONG, "--bars", "2:3")
    chosen = runs["block"]
    done = generate(tmp_path / "blocks", "--infill", SONG, "--bars", "2:3", "--reveal", "16")
    assert done.exit_code == 0 and "is seen only within their block of 16 tokens" in done.output.replace("\n", " ")
    done = generate(tmp_path / "onward", "--continue", SONG, "--bars", "0:1", "--length", "8", "--reveal", "16")
    assert done.exit_code == 0, done.output
