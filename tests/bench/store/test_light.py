"""What a light copy leaves out of learning curves and of values of songs, and what a report computes from the rest."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.report.analysis.models import song_model
from bench.report.rows.rounds import Timed
from bench.store.light import smaller_figure, thinned, thinned_times, thinned_vectors
from bench.store.vectors import NATS, VECTORS, WITHOUT, Side, Vector, read_vectors, write_vectors
from metrics.statistics.replicates import paired_times

LOSSES = [{"step": step, "loss": 1 / step} for step in range(10, 1010, 10)]


def curve(folder: Path, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of a learning curve once thinned; the last line written is cut short, as by a crash."""
    path = folder / "history.jsonl"
    written = sorted(lines, key=lambda line: line["step"])
    path.write_text("".join(json.dumps(line) + "\n" for line in written) + '{"step": 1010, "lo')
    return [json.loads(text) for text in thinned(path).splitlines()]


def test_a_thinned_learning_curve_keeps_its_ends_and_forty_losses(tmp_path: Path) -> None:
    kept = curve(tmp_path, LOSSES)
    assert (len(kept), kept[0]["loss"], kept[-1]["step"]) == (40, 0.1, 1000)
    assert all(abs(line["loss"] * line["step"] - 1) < 1e-5 for line in kept)
    assert {after["step"] - before["step"] for before, after in itertools.pairwise(kept)} == {20, 30}
    assert curve(tmp_path, LOSSES[:1]) == LOSSES[:1]


def test_a_curve_that_was_validated_keeps_what_figures_draw_of_that_alone(tmp_path: Path) -> None:
    validated = [{"step": step, "validation_value": step / 3, "validation_low": 1.0} for step in (250, 500, 1000)]
    final = {"step": 1000, "final_value": 333.4}
    shown = [
        {"step": step, "validation_value": value} for step, value in ((250, 83.3333), (500, 166.667), (1000, 333.333))
    ]
    assert curve(tmp_path, [*LOSSES, *validated, final]) == [*shown, final]
    assert len(curve(tmp_path, [*LOSSES, *validated[:1], final])) == 42


def test_of_times_the_median_of_each_round_is_kept_from_which_ratios_come_out_the_same(tmp_path: Path) -> None:
    raw = [6.387520999851404, 2.5, 4.25, 3.0, 3.5, 2.75, 3.125, 8.0, 3.25, 2.875]
    sizes = {"round_sizes": [3, 2, 0, 4, 1], "replicate_sizes": [2, 3]}
    row = {"metric": "step_latency", "length": 16, "unit": "ms", "value": 3.0, "status": "done", "raw": raw, **sizes}
    others = [{"metric": "parameters", "value": 3}, {"metric": "sample_latency", "value": None, "round_sizes": []}]
    path = tmp_path / "measurements.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (row, *others)))
    (kept,) = [json.loads(text) for text in thinned_times(path).splitlines()]
    assert kept == {
        "metric": "step_latency", "length": 16, "unit": "ms", "raw": [4.25, 3.25, 3.1875, 2.875],
        "round_sizes": [1, 1, 0, 1, 1], "replicate_sizes": [2, 3],
    }  # fmt: skip
    whole, thin = Timed(raw, **sizes), Timed(kept["raw"], kept["round_sizes"], kept["replicate_sizes"])
    assert thin.times == whole.times == [3.75, 3.03125]
    other = [[[2 * call for call in one] for one in rounds] for rounds in whole.replicates]
    for place, rounds in enumerate(thin.replicates):
        assert paired_times({"a": rounds, "b": other[place]}) == paired_times(
            {"a": whole.replicates[place], "b": other[place]}
        )


@pytest.mark.parametrize("gradient", [False, True])
def test_a_figure_loses_colours_where_that_does_not_show(tmp_path: Path, gradient: bool) -> None:
    if gradient:  # a colour a pixel
        shades = np.arange(200 * 300).reshape(200, 300)
        drawn = np.stack([shades % 256, shades // 256, 255 - shades % 256], axis=2).astype(np.uint8)
    else:  # a few bars, and as many colours as a palette holds at the edge of one
        drawn = np.full((200, 300, 3), 255, dtype=np.uint8)
        for place, colour in enumerate(((0x01, 0x73, 0xB2), (0xD5, 0x5E, 0x00), (0x22, 0x22, 0x22))):
            drawn[:, 60 + 80 * place : 90 + 80 * place] = colour
        drawn[:200, 59] = np.linspace((255, 255, 255), (0x01, 0x73, 0xB2), 200)
    path = tmp_path / "figure.png"
    Image.fromarray(drawn).quantize(256, dither=Image.Dither.NONE).save(path, dpi=(200, 200))
    content = smaller_figure(path)
    if gradient:
        assert content == path.read_bytes()
        return
    image = Image.open(io.BytesIO(content))
    assert len(content) < path.stat().st_size and round(image.info["dpi"][0]) == 200
    off = np.abs(np.asarray(image.convert("RGB"), dtype=int) - drawn).max(axis=2)
    assert off[:, 60:].max() <= 8 and image.mode == "P" and len(image.getcolors()) <= 64


def test_a_figure_without_a_palette_or_that_is_none_is_kept_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "figure.png"
    path.write_bytes(b"1")
    assert smaller_figure(path) == b"1"
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(path)
    assert smaller_figure(path) == path.read_bytes()


@pytest.mark.parametrize("sides", [(), WITHOUT])
def test_values_of_songs_are_those_that_comparisons_are_computed_from(tmp_path: Path, sides: tuple[Side, ...]) -> None:
    def cell(arm: str, shift: float) -> Path:
        folder = tmp_path / arm
        folder.mkdir()
        of_windows = [
            Vector(NATS, side, piece, f"song{piece % 4}", 256, 200.0 + shift + piece**1.5, 256.0)
            for side in ("test", "validation")
            for piece in range(8)
        ]
        of_music = [Vector("scale_consistency", "generated", piece, "", 256, 0.1 * piece) for piece in range(8)]
        without = [Vector("kernel_distance", side, 0, "", 256, 0.01) for side in WITHOUT]
        write_vectors(folder, [*of_windows, *of_music, *without])
        return folder

    cells = {("a", 0): cell("a", 0), ("a", 1): cell("a1", 7), ("b", 0): cell("b", 4), ("b", 1): cell("b1", 9)}
    whole, _ = song_model(cells)
    for folder in cells.values():
        kept = pd.read_parquet(io.BytesIO(thinned_vectors(folder, sides)))
        assert set(kept["side"]) == {"test", *sides} and set(kept["metric"]) <= {NATS, "kernel_distance"}
        (folder / VECTORS).write_bytes(thinned_vectors(folder, sides))
        assert read_vectors(folder) is not None
    again, _ = song_model(cells)
    assert whole is not None and again is not None
    assert again.means == whole.means and again.against("a", 0.95) == whole.against("a", 0.95)
