"""Figures: each draws from the table alone what it is to show."""

from __future__ import annotations

import io
import json
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from figure_reading import SINGLE_COLUMN_IN, layout_faults, read_csv
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from bench.errors import UserError
from bench.report.figures import draw
from bench.report.figures.learning import _flops_a_token
from bench.report.figures.marks import Spread, draw_spreads
from bench.report.figures.style import (
    NothingToShow,
    panel_grid,
    render,
    save_figure,
)
from bench.report.rows.arms import Look
from bench.report.rows.summaries import Summaries, Summary, cost_summaries, distinct_words


def test_cost_figure_shows_the_measured_points_and_a_cross_for_the_failed_one(frame, results_folder):
    axis = draw("cost", frame, results_folder).axes[0]
    mamba = next(line for line in axis.lines if line.get_marker() == "^")
    assert list(mamba.get_xdata()) == pytest.approx([256, 512, 1024, 2048], rel=0.12)  # beside other arms
    assert list(mamba.get_ydata()) == pytest.approx([12, 24, 48, 96])
    (cross,) = [line for line in axis.lines if line.get_marker() == "x"]
    assert cross.get_xdata()[0] == pytest.approx(2048, rel=0.15)  # beside those of other arms


def test_quality_figure_shows_ceiling_floor_and_means(frame, results_folder):
    axis = draw("quality", frame, results_folder).axes[0]
    levels = [line.get_ydata()[0] for line in axis.lines if list(line.get_xdata()) == [0, 1]]
    assert levels == pytest.approx([0.9, 0.45, 0.85])
    means = {line.get_marker(): line.get_ydata()[0] for line in axis.lines if line.get_marker() in "os^"}
    assert means == pytest.approx({"o": 0.79, "s": 0.81, "^": 0.73})


def test_distances_figure_has_a_panel_a_headline_metric_with_a_scale_of_its_own(frame, results_folder):
    quality = (frame["kind"] == "quality") & (frame["metric"] == "kernel_distance")
    frame.loc[quality & (frame["arm"] == "smdim"), "value"] = 0.25
    more = frame[quality].assign(metric="structure_error", value=0.01)
    drawn = draw("distances", pd.concat([frame, more], ignore_index=True), results_folder)
    panels = [axis for axis in drawn.axes if axis.get_title()]
    assert [axis.get_title() for axis in panels] == ["Kernel distance", "structure error"]
    assert {line.get_ydata()[0] for line in panels[0].lines if line.get_marker() == "o"} == {0.25}
    assert {line.get_ydata()[0] for line in panels[1].lines if line.get_marker() in "os^"} == {0.01}
    assert panels[0].get_ylim() != panels[1].get_ylim()


def test_the_data_of_a_figure_hold_what_it_shows(frame, results_folder):
    """True lengths, not the places beside each other; means, seeds, intervals and levels."""
    cost = [row for row in read_csv(draw("cost", frame, results_folder)) if row["panel"] == "One denoising step [ms]"]
    points = [(row["x"], row["y"]) for row in cost if (row["series"], row["mark"]) == ("mamba", "point")]
    assert points == [("256", "12"), ("512", "24"), ("1024", "48"), ("2048", "96")]
    intervals = [(row["x"], row["low"], row["high"]) for row in cost if row["mark"] == "interval"]
    assert ("512", "23.52", "24.48") in intervals
    assert [(row["series"], row["x"]) for row in cost if row["mark"] == "missing"] == [("fam", "2048")]
    bits = read_csv(draw("bits", frame, results_folder))
    assert [row["y"] for row in bits if row["mark"] == "level"] == ["4.01", "4.17"]
    marks = {row["mark"]: row["y"] for row in bits if row["series"] == "smdim"}
    assert (marks["point"], marks["sample"]) == ("3.905", "3.91")


def test_an_interval_of_no_width_stands_at_its_length(frame, tmp_path):
    figure, (axis,) = panel_grid(3.3, 1, 1, 2.0)
    draw_spreads(axis, [Spread(512.0, 3.0, 3.0, 3.0)], Look("#000000", "o", "-", "a"))
    draw_spreads(axis, [Spread(7.0, 2.0, 1.0, 3.0)], Look("#000000", "o", "-", "b"), across=True)
    found = [(row["series"], row["x"], row["y"], row["low"], row["high"]) for row in read_csv(figure)]
    assert found == [("a", "512", "", "3", "3"), ("b", "", "7", "1", "3")]


def test_flops_a_token_of_a_length_that_was_not_counted_lie_on_the_line_of_two_that_were(frame):
    counts = cost_summaries(frame).where(metric="forward_gflops", arm="smdim").measured()
    known = {one.length: one.value / one.length for one in counts}
    assert _flops_a_token(counts, 512) == known[512]
    two = counts.where(length=(1024, 2048))
    assert _flops_a_token(two, 512) == pytest.approx(known[1024] - (known[2048] - known[1024]) / 2)
    assert _flops_a_token(counts.where(length=1024), 512) == 0.0


def test_forest_shows_differences_verdicts_and_what_matters(frame, tmp_path):
    again = frame[(frame["kind"] == "quality") & (frame["seed"] == 1)]
    third = pd.concat([frame, again.assign(seed=2, cell_id=again["cell_id"] + "-third")], ignore_index=True)
    bits = (third["metric"] == "bits_per_token") & (third["kind"] == "quality")
    for arm, value in (("transformer", 3.8), ("smdim", 4.8), ("mamba", 3.8), ("fam", 3.3)):
        third.loc[bits & (third["arm"] == arm), "value"] = value + 0.001 * third["seed"]
    for seed, shift in ((0, -0.005), (1, 0.006)):
        third.loc[bits & (third["arm"] == "mamba") & (third["seed"] == seed), "value"] += shift
    drawn = draw("forest", third, tmp_path)
    rows = [row for row in read_csv(drawn) if row["panel"] == "" and "bits" in row["x axis"]]
    assert [(row["series"], row["mark"]) for row in rows] == [
        ("transformer", "matters"), ("smdim", "worse"), ("mamba", "same"), ("fam", "better")
    ]  # fmt: skip
    assert (rows[0]["low"], rows[0]["high"]) == ("-0.03", "0.03") and float(rows[1]["x"]) == pytest.approx(1.0)
    assert all(float(row["low"]) < float(row["x"]) < float(row["high"]) for row in rows[1:])
    band = drawn.axes[0].patches[0].get_extents().transformed(drawn.axes[0].transData.inverted())
    assert (band.x0, band.x1) == pytest.approx((-0.03, 0.03))
    with pytest.raises(NothingToShow, match="no arm was measured beside smdim"):
        draw("forest", third[third["arm"] == "smdim"], tmp_path)


def test_panels_of_a_forest_are_named_by_what_differs(frame, tmp_path):
    bits = frame[(frame["kind"] == "quality") & (frame["metric"] == "bits_per_token")]
    longer = bits.assign(length=4096, cell_id=bits["cell_id"] + "-longer")
    titles = [axis.get_title() for axis in draw("forest", pd.concat([bits, longer], ignore_index=True), tmp_path).axes]
    assert titles == [f"L = {length}" for length in (bits["length"].iloc[0], 4096)]
    groups = ("a", 64, "cached", 8), ("a", 64, "cached", 16), ("b", 64, "cached", 8)
    assert list(distinct_words(groups).values()) == ["corpus a, T = 8", "corpus a, T = 16", "corpus b, T = 8"]
    assert distinct_words(groups[:1]) == {groups[0]: ""}


def test_flops_figure_has_what_training_spent_and_the_mean_over_seeds(frame, results_folder):
    rows = [row for row in read_csv(draw("flops", frame, results_folder)) if row["series"] == "mamba"]
    means = [row for row in rows if row["mark"] == "point"]
    # 0.6 x 4 GFLOPs at 256 tokens, linear: 4.8 at 512; 1000 tokens are 3 x 4.8 / 512 x 1000 GFLOPs = 0.028125 TFLOPs
    assert float(means[0]["x"]) == pytest.approx(0.028125) and float(means[-1]["x"]) == pytest.approx(0.28125)
    assert float(means[-1]["y"]) == pytest.approx((3.70 + 3.99) / 2 + 0.2)
    assert len([row for row in rows if row["mark"] == "sample"]) == 20  # two seeds
    with pytest.raises(NothingToShow, match="validation beside counted FLOPs"):
        draw("flops", frame[frame["metric"] != "forward_gflops"], results_folder)


def test_orders_have_intervals_and_name_the_arms_without_a_row(varied, tmp_path):
    drawn = draw("orders", varied, tmp_path, width=SINGLE_COLUMN_IN)
    cells = {(row["series"], row["x"]): row for row in read_csv(drawn)}
    assert {arm for arm, _ in cells} == {"smdim", "fam", "maf", "afm"}
    assert float(cells["smdim", "oa_mean"]["low"]) == pytest.approx(0.6629, abs=1e-4)
    assert "transformer, mamba" in drawn.get_supxlabel()
    blocks = [axis for axis in drawn.axes if axis.texts]
    assert len(blocks) == 3 and [len(axis.get_xticks()) for axis in blocks] == [3, 3, 1]  # none is left out


def test_saved_files_are_what_their_ending_says_and_the_same_each_time(frame, results_folder, tmp_path):
    starts = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    for ending, start in starts.items():
        first = save_figure(draw("bits", frame, results_folder, width=3.3), tmp_path / f"a.{ending}").read_bytes()
        again = save_figure(draw("bits", frame, results_folder, width=3.3), tmp_path / f"b.{ending}").read_bytes()
        assert first.startswith(start) and first == again
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text() != ""


@pytest.mark.parametrize("clear", [False, True])
def test_a_png_has_a_palette_in_which_flat_colours_are_exact(clear):
    figure = FigureCanvasAgg(Figure(figsize=(3, 2), facecolor="none" if clear else "white")).figure
    figure.add_axes((0, 0, 0.5, 1)).imshow(np.linspace(0, 1, 10_000).reshape(100, 100), cmap="viridis", aspect="auto")
    figure.patches.append(Rectangle((0.6, 0), 0.2, 1, color="#0173b2", transform=figure.transFigure))
    image = Image.open(io.BytesIO(render(figure)))
    assert (image.mode, round(image.info["dpi"][0])) == ("RGBA" if clear else "P", 200)
    pixels = np.asarray(image.convert("RGB"))
    assert tuple(pixels[200, 420]) == (0x01, 0x73, 0xB2) and (clear or tuple(pixels[200, 560]) == (255, 255, 255))
    exact = plt.get_cmap("viridis")(0.5, bytes=True)[:3]
    assert np.abs(pixels[200, 150].astype(int) - np.asarray(exact, dtype=int)).max() <= 6


def test_unknown_names_formats_and_widths_are_refused(frame, results_folder, tmp_path):
    with pytest.raises(UserError, match="figures are cost, scaling"):
        draw("pie", frame, results_folder)
    with pytest.raises(UserError, match="allowed are 2 to 20 inches"):
        draw("cost", frame, results_folder, width=100)
    with pytest.raises(UserError, match="allowed are png, pdf, svg"):
        save_figure(draw("bits", frame, results_folder), tmp_path / "a.gif")


def test_a_table_without_the_rows_says_what_is_missing(frame, tmp_path):
    only_cost = frame[frame["kind"] == "efficiency"]
    with pytest.raises(NothingToShow, match="no measured oa"):
        draw("quality", only_cost, tmp_path)
    with pytest.raises(NothingToShow, match="fewer than two arms have a score and a cost"):
        draw("pareto", only_cost, tmp_path)
    with pytest.raises(NothingToShow, match="one number of steps T"):
        draw("nfe", frame, tmp_path)
    with pytest.raises(NothingToShow, match="same mixers in different order"):
        draw("orders", frame[frame["arm"] != "fam"], tmp_path)
    with pytest.raises(NothingToShow, match="no training step was timed in parts"):
        draw("phases", frame[~frame["metric"].str.startswith("train_")], tmp_path)
    with pytest.raises(NothingToShow, match="no quality cell left a readable MIDI file"):
        draw("rolls", frame, tmp_path)
    with pytest.raises(NothingToShow, match="no cell folder holds a history"):
        draw("learning", frame, tmp_path)


def test_a_cost_that_was_not_measured_at_the_length_of_the_score_is_that_of_the_longest_shared(frame, tmp_path):
    away = frame[(frame["kind"] != "efficiency") | (frame["length"] != 512)]
    figure = draw("pareto", away, tmp_path, width=SINGLE_COLUMN_IN)
    assert layout_faults(figure) == []
    labels = [axis.get_xlabel() for axis in figure.axes if axis.axison]
    # fam, which has bits/token and no kernel distance, ran out of memory at 2048
    assert [label.split("], ")[1] for label in labels] == 3 * ["L = 1024"] + 3 * ["L = 2048"]
    assert labels[1] == "Memory, inference\n[GiB], L = 1024"  # in one line it is wider than the panel
    here = [axis.get_xlabel() for axis in draw("pareto", frame, tmp_path).axes if axis.axison]
    assert here and all(label.endswith("]\n512 tokens") for label in here)


def test_dots_of_seeds_do_not_fill_a_hollow_marker(frame, tmp_path):
    """Full and hollow are chances above and below one half; dots of seeds that are near their mean lie within it."""
    axis = draw("pareto", frame, tmp_path).axes[0]
    dots = [line.get_zorder() for line in axis.lines if line.get_marker() == "."]
    hollow = [line for line in axis.lines if line.get_markerfacecolor() == "white"]
    assert hollow and dots and min(line.get_zorder() for line in hollow) > max(dots)


def test_scaling_figure_shows_multiples_of_the_baseline(frame, results_folder):
    axis = draw("scaling", frame, results_folder).axes[0]
    mamba = next(line for line in axis.lines if line.get_marker() == "^")
    # mamba 12 ms x L/256, transformer 20 ms x (L/256)^1.4
    assert list(mamba.get_ydata()) == pytest.approx([0.6, 0.6 * 2**-0.4, 0.6 * 4**-0.4, 0.6 * 8**-0.4])


def test_meeting_point_of_two_costs_is_marked(frame, results_folder):
    rows = (frame["arm"] == "mamba") & (frame["metric"] == "step_latency")
    frame.loc[rows, "value"] *= 2**0.6 / 0.6  # 20 x 2^0.6 (L/256) meets 20 (L/256)^1.4 where (L/256)^0.4 = 2^0.6
    axis = draw("scaling", frame, results_folder).axes[0]
    (diamond,) = [line for line in axis.lines if line.get_marker() == "d"]
    assert diamond.get_xdata()[0] == pytest.approx(256 * 2**1.5)


def summary(value: float, metric: str = "m", arm: str = "a", length: int | None = None) -> Summary:
    blank = {
        "low": math.nan,
        "high": math.nan,
        "interval": "",
        "done": 1,
        "asked": 1,
        "seeds": (0,),
        "cell_ids": (),
    }
    words = {"reason": "", "unit": "", "pattern": "", "direction": "", "kernels": (), "sessions": ()}
    texts = {"n": "", "parameters": "", "nfe": "", "train_steps": ""}
    return Summary(metric, arm, value, values=(value,), length=length, **blank, **words, **texts)


def test_costs_are_of_the_longest_length_of_all_arms_that_have_any():
    from bench.report.analysis.front import score_and_cost

    quality = Summaries(summary(3.0, "score", arm, 512) for arm in ("long", "short", "music"))
    lengths = {"long": (256, 1024, 2048), "short": (256, 1024)}  # out of memory at 2048; music of files has no cost
    costs = Summaries(summary(1.0, "cost", arm, length) for arm, known in lengths.items() for length in known)
    pairs = score_and_cost(quality, costs, "score", "cost")
    assert [(score.arm, cost.length) for score, cost in pairs] == [("long", 1024), ("short", 1024)]


def test_chance_on_the_front_of_arms_known_exactly():
    from bench.report.analysis.front import chance_on_front

    pairs = [(summary(3.0), summary(10.0)), (summary(3.5), summary(5.0)), (summary(3.6), summary(6.0))]
    assert chance_on_front(pairs, lower_is_better=True) == [1.0, 1.0, 0.0]
    assert chance_on_front(pairs, lower_is_better=False) == [0.0, 1.0, 1.0]
    ties = [(summary(3.0), summary(5.0)), (summary(3.5), summary(5.0)), (summary(3.0), summary(6.0)), pairs[1]]
    assert chance_on_front(ties, lower_is_better=True) == [1.0, 0.0, 0.0, 0.0]  # worse in one, equal in the other
    assert chance_on_front([pairs[1], pairs[1]], lower_is_better=True) == [1.0, 1.0]  # equal in both


def test_orders_are_grouped_by_cycle(varied):
    from bench.report.figures.orders import ordered_rows

    early = varied[varied["arm"] == "smdim"].assign(arm="attention-early", pattern="A4(MF)4")
    cycles = [("smdim", "AMF*4"), ("fam", "AMF*4"), ("maf", "AFM*4"), ("afm", "AFM*4")]
    assert ordered_rows(pd.concat([early, varied])) == [*cycles, ("attention-early", "")]


def many_arms(frame, count=12):
    """The costs of the made-up study under `count` names: half with attention and Mamba, half without attention."""
    cost = frame[(frame["kind"] == "efficiency") & (frame["arm"] == "smdim")]
    copies = [
        cost.assign(
            arm=f"arm-{place:02}",
            cell_id=f"efficiency-{place}",
            pattern="A2(MF)4" if place % 2 else "MF*6",
            value=cost["value"] * (1 + place / 10),
        )
        for place in range(count)
    ]
    base = frame[(frame["kind"] == "efficiency") & (frame["arm"] == "transformer")]
    return pd.concat([base, *copies], ignore_index=True)


def test_a_family_stands_out_and_the_others_are_faint(frame, tmp_path):
    axes = draw("cost", many_arms(frame), tmp_path).axes
    titles = [axis.get_title() for axis in axes if axis.get_title()]
    assert titles == ["attention mixed in", "without attention", "attention only"]
    (faint,) = [part for part in axes[1].collections if len(part.get_segments()) == 7]  # one step, without attention
    assert faint.get_colors()[0][:3] == pytest.approx([0xD4 / 255] * 3)
    legend = [text.get_text() for axis in axes if axis.get_legend() for text in axis.get_legend().get_texts()]
    assert sorted(legend) == [*(f"arm-{place:02}" for place in range(12)), "transformer"]


def test_lengths_with_a_number_are_as_many_as_fit():
    from bench.report.figures.axes import named_lengths

    lengths = [128, 180, 256, 360, 512, 724, 1024, 1448, 2048]
    assert named_lengths(lengths, 9) == lengths
    assert named_lengths(lengths, 5) == [128, 256, 512, 1024, 2048]
    assert named_lengths(lengths, 3) == [128, 512, 2048]
    assert named_lengths([96, 192, 384, 768], 2) == [192, 768]


def test_phases_of_many_arms_show_the_ends_and_what_lies_between():
    from bench.report.figures.phases import shown_lengths

    assert shown_lengths([1, 2, 3, 4, 5], 5) == [1, 2, 3, 4, 5]
    assert shown_lengths([1, 2, 3, 4, 5], 3) == [1, 3, 5]
    assert shown_lengths([1, 2, 3, 4, 5], 2) == [1, 5]
    assert shown_lengths([1, 2, 3, 4, 5], 1) == shown_lengths([1, 2, 3, 4, 5], 0) == [5]


def test_two_rounds_are_two_dots_and_no_interval(frame, tmp_path):
    rows = (frame["metric"] == "sample_latency") & (frame["arm"] == "smdim") & (frame["length"] == 512)
    frame.loc[rows, ["low", "high", "n"]] = [0.1, 100.0, 2]
    for kept in (False, True):
        if kept:
            cell = tmp_path / "efficiency-smdim"
            cell.mkdir()
            row = {"metric": "sample_latency", "length": 512, "raw": [3.0, 4.0], "round_sizes": [1, 1]}
            (cell / "measurements.jsonl").write_text(json.dumps(row) + "\n")
        axis = draw("cost", frame[rows | (frame["metric"] == "step_latency")], tmp_path).axes[1]
        assert not axis.containers  # no error bar
        dots = [line for line in axis.lines if line.get_marker() == "."]
        assert [list(line.get_ydata()) for line in dots] == ([[3.0, 4.0]] if kept else [])


def test_orders_that_are_better_or_worse_than_the_baseline_have_a_sign(frame, tmp_path):
    def signs(table: pd.DataFrame) -> set[str]:
        return {row["mark"] for row in read_csv(draw("orders", table, tmp_path))}

    assert signs(frame) == {"cell", "open"}  # two seeds decide nothing
    again = frame[(frame["kind"] == "quality") & (frame["seed"] == 1)]
    third = pd.concat([frame, again.assign(seed=2, cell_id=again["cell_id"] + "-third")], ignore_index=True)
    bits = (third["metric"] == "bits_per_token") & (third["kind"] == "quality")
    for arm, shift in (("smdim", -1.0), ("fam", 1.0)):
        third.loc[bits & (third["arm"] == arm), "value"] += shift
    assert {"better", "worse"} <= signs(third)


def test_many_arms_are_cut_with_a_word(frame, tmp_path):
    quality = frame[(frame["kind"] == "quality") & (frame["arm"] == "smdim")]
    many = pd.concat([quality.assign(arm=f"arm {number:02}") for number in range(40)], ignore_index=True)
    figure = draw("bits", many, tmp_path)
    assert figure.get_suptitle() == "of the first 24 of 40 arms; the tables hold all"
