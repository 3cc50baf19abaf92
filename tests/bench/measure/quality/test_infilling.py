"""Infilling in cells: which bars are hidden, what the sampler may draw, references, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from architectures import build
from bench.data import TokenCorpus, load_corpus, tokenize
from bench.diffusion import AbsorbingDiffusion, Autoregressive, BlockDiffusion
from bench.diffusion.constraints import TokenLanguage
from bench.errors import UserError
from bench.measure.quality.drawing import fill_rows
from bench.measure.quality.infilling import (
    Excerpt,
    bars_of,
    choose_excerpts,
    infilling_references,
    measure_infilling,
    repeated_bars,
)
from bench.measure.quality.training import training_id
from bench.run.plan import make_plan
from bench.study.grid import load_study
from metrics.music.infilling import INFILLING

LENGTH = 192
ASKED = {"bars": 2, "pieces": 3}
STUDY = """\
name: tiny
question: are bars hidden
baseline:
  arm: transformer
  corpus: demo/lieder
  length: 192
  model: {width: 32, stride: 4, layers: 2}
  train: {steps: 2, batch: 2, validations: 0, final_validation_windows: 4, final_validation_draws: 2}
  sample: {pieces: 3, steps: 8}
measure: {MEASURE}
"""


@pytest.fixture(scope="module")
def tokens() -> TokenCorpus:
    return tokenize(load_corpus("demo", subset="lieder"))


@pytest.fixture(scope="module")
def excerpts(tokens: TokenCorpus) -> list[Excerpt]:
    return choose_excerpts(tokens, LENGTH, **ASKED)


def plan(folder: Path, measure: str):
    path = folder / "tiny.yaml"
    path.write_text(STUDY.replace("{MEASURE}", measure))
    return make_plan(load_study(path))


def test_one_excerpt_a_song_with_bars_before_and_after(tokens: TokenCorpus, excerpts: list[Excerpt]) -> None:
    assert len({one.song for one in excerpts}) == 3
    assert {one.song for one in excerpts} <= {piece.id for piece in tokens.stream("test").pieces}
    for one in excerpts:
        bar = np.cumsum(one.tokens == tokens.bar_id) - 1
        assert one.end - one.first == 2 and one.first >= 1 and one.end <= bar.max()
        inside = (bar >= one.first) & (bar < one.end)
        assert (one.hidden == (inside & (one.tokens != tokens.bar_id))).all() and one.hidden.any()
    again = choose_excerpts(tokens, LENGTH, bars=2, pieces=2)
    assert [one.song for one in again] == [one.song for one in excerpts[:2]]
    assert [one.first for one in again] == [one.first for one in excerpts[:2]]


def test_notes_of_the_hidden_bars_count_from_their_first_beat(tokens: TokenCorpus, excerpts: list[Excerpt]) -> None:
    one = excerpts[0]
    notes, whole = bars_of(tokens, one.tokens, one), tokens.decode(one.tokens)
    beats = [note.time / whole.ticks_per_quarter for note in whole.tracks[0].notes]
    assert sorted(notes.onset) == sorted(beat - 4 * one.first for beat in beats if 4 * one.first <= beat < 4 * one.end)
    assert notes.song == one.song and notes.meters == ((0.0, 4.0), (4.0, 4.0))


def test_bars_are_repeated_in_their_order(tokens: TokenCorpus) -> None:
    ids = {word: index for index, word in enumerate(tokens.vocabulary)}
    words = "".join(f"Bar_None Position_{8 * bar} Pitch_{60 + bar} Velocity_79 Duration_1.0.8 " for bar in range(4))
    row = np.array([ids[word] for word in words.split()])
    filled = repeated_bars(tokens, Excerpt(row, np.zeros(len(row), bool), 2, 4, "song"))
    assert filled.onset.tolist() == [0.0, 5.0] and filled.pitch.tolist() == [60, 61]
    short = repeated_bars(tokens, Excerpt(row, np.zeros(len(row), bool), 1, 3, "song"))  # one bar before two
    assert short.onset.tolist() == [0.0, 4.0] and short.pitch.tolist() == [60, 60]


@pytest.mark.parametrize("sampler", [{"sampler": "cached"}, {"sampler": "remask", "constraints": "grammar"}])
def test_only_the_hidden_tokens_are_drawn_and_bars_never(
    tokens: TokenCorpus, excerpts: list[Excerpt], sampler: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.measure.quality import infilling

    drawn = []

    def kept(*given: object, **more: object):
        answer = fill_rows(*given, **more)
        drawn.extend(answer[0].tokens_BL.numpy())
        return answer

    monkeypatch.setattr(infilling, "fill_rows", kept)
    settings = {"length": LENGTH, "seed": 0, "infilling": ASKED, "sample": {"pieces": 9, "steps": 6} | sampler}
    backbone = build("transformer", vocab_size=tokens.vocab_size, width=32, stride=4, layers=2, seed=0)
    process = AbsorbingDiffusion(tokens.mask_id, tokens.pad_id, steps=16)
    rows, vectors = measure_infilling(backbone, process, tokens, settings, lambda **event: None)
    for row, one in zip(drawn, excerpts, strict=True):
        assert (row[~one.hidden] == one.tokens[~one.hidden]).all() and (row[one.hidden] != one.tokens[one.hidden]).any()
        assert not np.isin(row[one.hidden], [tokens.bar_id, *tokens.special_ids]).any()
    assert [row["metric"] for row in rows] == list(INFILLING) and {row["n"] for row in rows} == {3}
    assert rows[0]["value"] < 0.2  # a network that was not trained
    f1 = [vector for vector in vectors if vector.metric == INFILLING[0]]
    assert [(one.side, one.piece, one.song, one.length) for one in f1] == [
        ("test", piece, one.song, LENGTH) for piece, one in enumerate(excerpts)
    ]
    assert np.mean([one.value for one in f1]) == pytest.approx(rows[0]["value"])


def test_what_a_process_does_not_see_stands_in_its_rows(tokens: TokenCorpus) -> None:
    settings = {"length": LENGTH, "infilling": ASKED, "seed": 0}
    ids = tokens.mask_id, tokens.pad_id
    backbone = build("A", vocab_size=tokens.vocab_size, width=8, head_width=8, stride=1, seed=0)
    rows, vectors = measure_infilling(backbone, Autoregressive(*ids), tokens, settings, lambda **event: None)
    assert {row["metric"] for row in rows} == set(INFILLING) and vectors == []
    assert {row["reason"] for row in rows} == {
        "an autoregressive process sees nothing of what follows the hidden bars"
    }  # fmt: skip
    block, sample = BlockDiffusion(*ids, block=16), {"sampler": "block", "steps": 8, "pieces": 2}
    rows, _ = measure_infilling(backbone, block, tokens, settings | {"sample": sample}, lambda **event: None)
    assert {row["note"] for row in rows} == {"what follows is seen within blocks of 16 tokens alone"}


def test_a_denoiser_that_knows_the_song_gets_1(tokens: TokenCorpus, excerpts: list[Excerpt]) -> None:
    import torch

    truth_NL = torch.from_numpy(np.stack([one.tokens for one in excerpts]))

    class Knows(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
            return 50.0 * torch.nn.functional.one_hot(truth_NL, tokens.vocab_size).float()

    settings = {
        "length": LENGTH,
        "seed": 0,
        "infilling": ASKED,
        "sample": {"pieces": 3, "steps": 8, "sampler": "cached"},
    }
    process = AbsorbingDiffusion(tokens.mask_id, tokens.pad_id, steps=8)
    rows, _ = measure_infilling(Knows(), process, tokens, settings, lambda **event: None)
    assert [row["value"] for row in rows] == [1.0, 1.0, 1.0]


def test_references_are_another_song_and_the_bars_before(tokens: TokenCorpus) -> None:
    rows = infilling_references(tokens, {"length": LENGTH, "infilling": ASKED})
    assert {(row["arm"], row["metric"]) for row in rows} == {
        (arm, metric) for arm in ("real-vs-real", "another-song", "repeated-bars") for metric in INFILLING
    }
    values = {(row["arm"], row["metric"]): row["value"] for row in rows}
    assert all(values["real-vs-real", metric] == 1.0 for metric in INFILLING)
    assert all(0 <= values["another-song", metric] < 1 for metric in INFILLING)


def test_a_study_asks_for_it_and_only_then_it_is_part_of_cells(tmp_path: Path) -> None:
    asked = plan(tmp_path, "{quality: {}, infilling: {bars: 2, pieces: 3}}")
    assert [cell.settings["infilling"] for cell in asked.cells] == [ASKED, ASKED]
    plain = plan(tmp_path, "{quality: {}}")
    assert not any("infilling" in cell.settings for cell in plain.cells)
    quality = [made.cells[1].settings for made in (asked, plain)]
    assert training_id(quality[0]) == training_id(quality[1])


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        (
            "{quality: {}, infilling: {bars: 90}}",
            "0 test songs of demo/lieder have a window of 192 tokens with 92 bars",
        ),
        ("{quality: {}, infilling: {bars: 2, pieces: 400}}", "400 are wanted: lower measure.infilling.bars or pieces"),
        ("{infilling: {bars: 2}}", "infilling is measured in quality cells: add quality"),
        ("{quality: {}, infilling: {bars: 0}}", "bars"),
        ("{quality: {}, infilling: {bar: 2}}", "bar"),
    ],
)
def test_what_cannot_be_hidden_is_refused_before_anything_runs(tmp_path: Path, measure: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        plan(tmp_path, measure)
    assert words in str(caught.value) and "\n" not in str(caught.value) and "tiny.yaml" in str(caught.value)


def test_rests_are_refused(tokens: TokenCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.measure.quality import infilling

    language = TokenLanguage.of([*tokens.vocabulary, "Rest_1.0.8"], {})
    monkeypatch.setattr(infilling, "token_language", lambda made: language)
    with pytest.raises(UserError, match="allowed: a tokenizer without rests"):
        choose_excerpts(tokens, LENGTH, 1, 2)
