"""Published figures beside a study's own: in tokens of their kind, with n, ceiling, floors and what is not known."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from bench.report.claims.beside import beside_table, figures_beside
from bench.report.claims.paper import Paper, finding_words, load_paper
from bench.report.pages.content import claims_tables
from bench.report.rows.study import study_tokenizer

PAPER = load_paper("smdim")
STUDIES = {
    "remi-m": {"baseline": {"tokenizer": {"preset": "remi-m"}}},
    "default": {"baseline": {"tokenizer": {}}},
    "other": {"baseline": {"tokenizer": {"velocities": 16}}},
}


@pytest.fixture
def melodies(frame: pd.DataFrame) -> pd.DataFrame:
    """The made-up study as one of POP909's melodies."""
    return frame.assign(corpus=frame["corpus"].replace("demo/lieder", "pop909/melody"))


def written(folder: Path, study: dict[str, object]) -> Path:
    (folder / "study.json").write_text(json.dumps({"study": study}))
    return folder


@pytest.mark.parametrize("tokenizer", STUDIES)
def test_the_tokenizer_of_a_study(tmp_path: Path, tokenizer: str) -> None:
    assert study_tokenizer(written(tmp_path, STUDIES[tokenizer])) == tokenizer


def test_no_folder_and_an_axis_of_tokenizers(tmp_path: Path) -> None:
    assert study_tokenizer(tmp_path) == ""
    assert (
        study_tokenizer(written(tmp_path, STUDIES["remi-m"] | {"axes": {"tokenizer.modes": [False, True]}})) == "other"
    )


def test_an_arm_beside_the_published_figure(melodies: pd.DataFrame, tmp_path: Path) -> None:
    found = list(figures_beside(PAPER, melodies, written(tmp_path, STUDIES["remi-m"])))
    assert [(one.figure.value, one.measured.arm) for one in found] == [
        (0.885, "transformer"),
        (0.885, "smdim"),
        (0.885, "mamba"),
    ]
    words = found[1].words
    assert words["published"].startswith("0.885 (v1); definition of OA and n not known to us")
    assert "inferred, strong, not proved" in words["published"] and "probably of melodies" in words["published"]
    assert words["measured"].startswith("smdim: 0.790 [")  # 0.78 and 0.80 over two seeds
    assert words["n"].startswith("16 pieces a seed, 2 seeds")
    assert words["ceiling"] == "real-vs-real 0.900 [0.870, 0.920]"
    assert words["floors"] == "uniform-tokens 0.450, shuffled 0.850"
    assert words["where"].endswith("tokenizer remi-m")
    table = beside_table(PAPER, found)
    assert table.entry("mean OA on POP909: smdim", "published").value == 0.885
    assert table.entry("mean OA on POP909: smdim", "measured").value == pytest.approx(0.79)


@pytest.mark.parametrize("tokenizer", ["default", "other"])
def test_tokens_of_another_kind_stand_beside_nothing(melodies: pd.DataFrame, tmp_path: Path, tokenizer: str) -> None:
    assert list(figures_beside(PAPER, melodies, written(tmp_path, STUDIES[tokenizer]))) == []


def test_a_report_shows_them(melodies: pd.DataFrame, tmp_path: Path) -> None:
    names = [table.name for table in claims_tables(melodies, written(tmp_path, STUDIES["remi-m"]))]
    assert names == ["claims_smdim", "published_smdim", "beside_smdim"]


def test_what_is_known_of_data_and_code_has_its_source() -> None:
    words = finding_words(PAPER)
    assert [one.split(":")[0] for one in words] == ["tokeniser", "FolkDB", "code"]
    assert "inferred, strong, not proved" in words[0] and "Wietc/MusicMamba" in words[0]
    assert "Partly public" in words[1] and "data/FolkDB/test" in words[1]
    assert "A link exists" in words[2] and "not read by us" in words[2]
    assert Paper.model_fields["findings"].default == ()
