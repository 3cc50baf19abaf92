"""Model cards: read back by the library of the Hub, with the figures of the table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from bench.errors import UserError
from bench.report.pages.card import cards, write_cards

hub = pytest.importorskip("huggingface_hub")


def test_the_hubs_library_reads_figures_and_settings_back(frame: pd.DataFrame, tmp_path: Path) -> None:
    write_cards(cards(frame, tmp_path, "CC-BY-4.0"), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["fam", "mamba", "smdim", "transformer"]
    data = hub.ModelCard.load(tmp_path / "out" / "smdim" / "README.md").data
    assert (data.license, data.library_name, data.model_name) == ("cc-by-4.0", "smdim-bench", "smdim")
    found = {one.metric_type: one for one in data.eval_results}
    assert found["bits_per_token"].metric_value == pytest.approx(3.905)
    assert found["bits_per_token"].dataset_type == "demo/lieder" and found["bits_per_token"].dataset_split == "test"
    assert found["kernel_distance"].metric_value == pytest.approx(0.11) and found["oa_mean"].metric_args == {"seeds": 2}


def test_eval_results_are_entries_of_the_hubs_format(frame: pd.DataFrame, tmp_path: Path) -> None:
    from huggingface_hub import parse_eval_result_entries

    card = next(one for one in cards(frame, tmp_path, dataset="org/lieder") if one.name == "smdim")
    bits, kernel = parse_eval_result_entries(yaml.safe_load(card.results))
    assert (bits.dataset_id, bits.task_id, bits.value) == ("org/lieder", "bits_per_token", pytest.approx(3.905))
    assert kernel.task_id == "kernel_distance"
    assert bits.notes.startswith("mean over 2 seeds, 95 % interval [") and "T = 128" in bits.notes


def test_a_card_has_references_costs_and_how_to_cite(frame: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"study": {"question": "Which?"}}')
    text = next(one for one in cards(frame, tmp_path) if one.name == "smdim").readme
    assert "| metric | this model | seeds | real-vs-real | grammar | bigram |" in text and "| 4.01 | 4.17 |" in text
    assert "| Latency, one denoising step [ms] | 112 [110, 114] | 2048 | cpu |" in text
    assert "The study asks: Which?" in text and "The smdim-bench authors. smdim-bench:" in text
    assert "license:" not in text.split("---")[1]


def test_names_stay_apart_and_are_text(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame["arm"] = frame["arm"].replace({"smdim": "a/b", "mamba": "a*b", "fam": "---\nx: 1"})
    found = cards(frame, tmp_path)
    assert sorted(one.name for one in found) == ["a-b", "a-b-2", "transformer", "x-1"]
    write_cards(found, tmp_path / "out")
    names = {hub.ModelCard.load(tmp_path / "out" / one.name / "README.md").data.model_name for one in found}
    assert names == {"a/b", "a*b", "---\nx: 1", "transformer"}


def test_what_has_no_model_has_no_card(frame: pd.DataFrame, tmp_path: Path) -> None:
    outside = (frame["arm"] == "mamba") & (frame["kind"] == "quality")
    frame.loc[outside, "parameters"] = pd.NA
    assert "mamba" not in [one.name for one in cards(frame, tmp_path)]


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        ("efficiency", [], "no trained arm has a figure of quality"),
        ("quality", ["--dataset", "lieder"], "--dataset 'lieder': allowed: ORG/NAME of a data set on the Hub"),
        ("quality", ["--license", "free!"], "--license 'free!': allowed: an SPDX identifier"),
    ],
)
def test_what_cannot_be_a_card_is_one_line(kind, words, message, frame, tmp_path: Path, passed_on) -> None:
    from bench.cli import app

    passed_on(tmp_path, frame[frame["kind"] == kind])
    outcome = CliRunner().invoke(app, ["card", str(tmp_path), "-o", str(tmp_path / "out"), *words])
    assert isinstance(outcome.exception, UserError) and message in str(outcome.exception), outcome.output


def test_a_card_states_the_process_and_the_kind_of_likelihood(frame: pd.DataFrame, tmp_path: Path) -> None:
    def card() -> str:
        return next(one for one in cards(frame, tmp_path) if one.name == "smdim").readme

    assert "under absorbing diffusion, arm" in card() and "Bits/token is an upper bound of the negative" in card()
    smdim = (frame["arm"] == "smdim") & (frame["kind"] == "quality")
    frame.loc[smdim, "process"] = "autoregressive"
    frame.loc[smdim & (frame["metric"] == "bits_per_token"), "definition"] = "exact -log2 p by the chain rule v2"
    assert "under autoregression, arm" in card() and "Bits/token is the exact negative log-likelihood" in card()
    frame.loc[smdim, "process"] = "block 8"
    assert "under diffusion by blocks of 8 tokens, arm" in card()
