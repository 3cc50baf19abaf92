"""A reference cell: the values of its held-out windows, one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.measure.quality.music import held_out_windows, load_tokens
from bench.measure.quality.reference import measure_reference
from bench.store.vectors import read_vectors

LENGTH = 512


@pytest.fixture(scope="module")
def settings(demo_music: Path) -> dict:
    return {"corpus": f"folder:{demo_music / 'lieder'}", "tokenizer": {}, "length": LENGTH, "pieces": 6}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, settings: dict) -> tuple[list[dict], Path]:
    folder = tmp_path_factory.mktemp("reference")
    return measure_reference(settings, folder, lambda **event: None), folder


def test_every_held_out_window_has_its_values_and_its_song(measured: tuple[list[dict], Path]) -> None:
    rows, folder = measured
    vectors = read_vectors(folder)
    assert vectors is not None and set(vectors["side"]) == {"real"} and set(vectors["length"]) == {LENGTH}
    assert {"token_entropy", "groove_consistency", "pitch_outliers_percentile"} <= set(vectors["metric"])
    assert vectors.groupby("metric")["piece"].apply(list).tolist() == [[*range(6)]] * vectors["metric"].nunique()
    entropy = next(row for row in rows if row["metric"] == "token_entropy")
    own = vectors[vectors["metric"] == "token_entropy"]
    assert own["value"].mean() == pytest.approx(entropy["value"], rel=1e-12)


def test_windows_are_of_the_test_side_and_say_which_song(measured: tuple[list[dict], Path], settings: dict) -> None:
    vectors = read_vectors(measured[1])
    tokens = load_tokens(settings["corpus"], {})
    songs = vectors[vectors["metric"] == "token_entropy"]["song"].tolist()
    assert songs == list(held_out_windows(tokens, LENGTH, 6).songs)
    assert set(songs) <= {piece.id for piece in tokens.stream("test").pieces}
