"""Layout of figures: nothing cut or covered at both widths, whatever the names and however many."""

from __future__ import annotations

import itertools

import pytest
from figure_reading import SINGLE_COLUMN_IN, layout_faults, read_csv

from bench.report.claims.mapped import mapped_claims
from bench.report.claims.paper import load_paper
from bench.report.figures import FIGURES, draw
from bench.report.figures.claim_map import claim_map_figure
from bench.report.figures.data import figure_csv
from bench.report.figures.style import (
    DOUBLE_COLUMN_IN,
    PNG_DOTS_PER_INCH,
    arm_handles,
    figure_style,
    legend_below,
    panel_grid,
)
from bench.report.rows.arms import Look
from metrics.music.table import REFERENCE_SETS


@pytest.mark.parametrize("name", ["cost", "scaling", "flops", "bits"])
def test_figures_of_few_arms_have_nothing_cut_or_covered(name, frame, results_folder):
    figure = draw(name, frame, results_folder, width=SINGLE_COLUMN_IN)
    assert figure.get_figwidth() == SINGLE_COLUMN_IN
    assert layout_faults(figure) == []


@pytest.mark.parametrize("width", [SINGLE_COLUMN_IN, DOUBLE_COLUMN_IN])
@pytest.mark.filterwarnings("ignore::bench.glyphs.MissingGlyphWarning")
def test_no_figure_of_24_arms_has_anything_cut_or_covered_and_each_has_its_data(width, two_dozen):
    """Every figure, so that a new one is looked at as well; some names are long, some Japanese."""
    frame, folder, names = two_dozen
    faults, unnamed, height = {}, {}, {}
    for name in FIGURES:
        figure = draw(name, frame, folder, width=width)
        faults[name], height[name] = layout_faults(figure), figure.get_figheight()
        data = figure_csv(figure)
        if name in ("cost", "scaling"):  # panels of families, with one title a column and one label a row
            assert all(row["panel"] and row["x axis"] and row["y axis"] for row in read_csv(figure))
        unnamed[name] = [one for one in names if one not in data]
    assert faults == {name: [] for name in FIGURES}
    lone = unnamed.pop("orders")
    assert unnamed == {name: [] for name in unnamed}
    assert set(lone) == set(names[18:])  # of mixers of their own, named under the figure
    tallest = {one: inches for one, inches in height.items() if inches > 17 and one != "rolls"}
    assert not tallest


@pytest.mark.parametrize("width", [SINGLE_COLUMN_IN, DOUBLE_COLUMN_IN])
def test_map_of_claims_is_drawn_with_nothing_cut_and_a_dot_where_they_hold(width, claim_rows):
    figures = {one.column: claim_map_figure(claim_rows, one, width=width) for one in mapped_claims(load_paper())[1]}
    assert [layout_faults(figure) for figure in figures.values()] == [[]] * 4
    dots = figures["gflops_ratio"].axes[0].lines[0]
    assert list(dots.get_xdata()) == [1, 1] and list(dots.get_ydata()) == [0, 1]  # 0.7 at the second width


LONG = {
    "300 letters": [f"{'the same beginning ' * 8}{place} {'and the same end ' * 8}"[:300] for place in range(24)],
    "one word": [f"{'x' * 150}{place:02}{'y' * 148}" for place in range(24)],
    "CJK": [f"{'音楽のトラック' * 40}{place}" for place in range(24)],
    "24 arms": [f"arm {place}" for place in range(24)],
}


@pytest.mark.parametrize(
    ("names", "width"),
    [("300 letters", 3.3), ("one word", 7.0), ("CJK", 3.3), ("24 arms", 3.3), ("24 arms", 7.0)],
)
@pytest.mark.filterwarnings("ignore::bench.glyphs.MissingGlyphWarning")
def test_a_legend_of_any_names_leaves_the_panels_their_height(names, width):
    with figure_style(width):
        figure, axes = panel_grid(width, 2, 2, 2.0)
        legend_below(figure, arm_handles({name: Look("#000000", "o", "-") for name in LONG[names]}))
        assert layout_faults(figure) == []
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(set(labels)) == 24 and not any("\n" in label for label in labels)
    for axis in axes:
        assert axis.get_position().height * figure.get_figheight() > 1.2  # of 2 inches with its numbers
        assert axis.get_position().width * width > 0.8


def test_a_legend_of_wide_letters_fits_the_width():
    """Names of the study `paper`, whose letters are wider than those of most: two columns more would be cut."""
    ways = ("none", "pitch=percentile+sounding=6")
    names = [f"{arm} constraints={way}" for arm in ("smdim", "transformer") for way in ways]
    with figure_style(DOUBLE_COLUMN_IN):
        figure, _ = panel_grid(DOUBLE_COLUMN_IN, 2, 2, 2.0)
        legend_below(figure, arm_handles({name: Look("#000000", "o", "-") for name in (*names, *REFERENCE_SETS)}))
        figure.set_dpi(PNG_DOTS_PER_INCH)  # letters are a little narrower at the dots of a screen
        assert layout_faults(figure) == []
        legend = figure.legends[0].get_window_extent()
    assert 0 <= legend.x0 < legend.x1 <= figure.bbox.x1


@pytest.mark.parametrize("name", ["bits", "phases", "orders", "rolls"])
@pytest.mark.filterwarnings("ignore::bench.glyphs.MissingGlyphWarning")
def test_long_names_beside_and_under_panels_leave_them_room(name, varied, results_folder):
    arms = dict(zip(varied["arm"].unique(), LONG["300 letters"][:12] + LONG["CJK"], strict=False))
    kept = varied["kind"] == "reference"
    named = varied.assign(arm=varied["arm"].where(kept, varied["arm"].map(arms)), corpus="folder:/" + "c" * 300)
    figure = draw(name, named, results_folder, width=SINGLE_COLUMN_IN)
    assert layout_faults(figure) == []
    shown = [axis for axis in figure.axes if axis.axison and axis.get_label() != "<colorbar>"]
    assert min(axis.get_position().width for axis in shown) > (0.3 if len(shown) == 1 else 0.2)
    assert min(axis.get_position().height * figure.get_figheight() for axis in shown) > 0.6


@pytest.mark.parametrize("width", [2.0, 4.5])
def test_a_long_title_of_a_roll_ends_within_the_figure(width, varied, results_folder):
    arms = {arm: f"{arm}-with-attention-after-every-second-mamba-in-the-middle" for arm in varied["arm"].unique()}
    kept = varied["kind"] == "reference"
    named = varied.assign(arm=varied["arm"].where(kept, varied["arm"].map(arms)))
    figure = draw("rolls", named, results_folder, width=width)
    assert any("…" in axis.get_title(loc="left") for axis in figure.axes if axis.axison)
    assert layout_faults(figure) == []


def test_small_labels_cover_neither_markers_nor_each_other():
    from bench.report.figures.pareto import place_labels

    summaries = [(50.0, 50.0), (58.0, 52.0), (52.0, 58.0), (96.0, 50.0)]
    places = place_labels(summaries, (16.0, 6.5), (100.0, 100.0))
    boxes = [(x + dx, y + dy, x + dx + 16, y + dy + 6.5) for (x, y), (dx, dy) in zip(summaries, places, strict=True)]
    for one, other in itertools.combinations(boxes, 2):
        assert min(one[2], other[2]) <= max(one[0], other[0]) or min(one[3], other[3]) <= max(one[1], other[1])
    assert all(left >= 0 and right <= 100 for left, _, right, _ in boxes)
    assert places[0] != places[1] and places[3][0] < 0  # at the right edge the label goes to the left


def test_long_numbers_under_a_narrow_panel_do_not_meet(frame, tmp_path):
    rows = frame["metric"] == "peak_memory_inference"
    for name in ("value", "low", "high"):
        frame.loc[rows, name] = 0.0115 + 0.004 * frame.loc[rows, name]
    assert layout_faults(draw("pareto", frame, tmp_path, width=SINGLE_COLUMN_IN)) == []


def test_a_label_with_unit_and_length_is_not_cut_beside_long_numbers_of_a_narrow_panel(frame, tmp_path):
    frame = frame[(frame["kind"] != "efficiency") | (frame["length"] == 2048)]  # costs are not of the scores' length
    rows = frame["metric"] == "kernel_distance"
    frame.loc[rows, "value"] = 0.25 + 0.003 * frame.loc[rows, "value"]
    assert layout_faults(draw("pareto", frame, tmp_path, width=SINGLE_COLUMN_IN)) == []
