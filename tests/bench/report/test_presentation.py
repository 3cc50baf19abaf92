"""Presentation: arms, order, labels, colours, panels and numbers are shown as asked; no id, no verdict and no training
follows from them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from bench.errors import UserError
from bench.report.analysis.comparisons import compared
from bench.report.claims.paper import load_paper
from bench.report.claims.verdict import judge
from bench.report.figures import FIGURES, draw
from bench.report.pages.content import all_tables
from bench.report.presentation import NumberStyle, Presentation, presentation_of, read_presentation
from bench.report.rows.arms import arm_order, looks_of
from bench.report.rows.frame import as_frame, failures
from bench.report.rows.study import baseline_arm
from bench.report.tables.cost import cost_tables
from bench.report.tables.quality import quality_tables
from bench.run.plan import make_plan
from bench.study.grid import load_study
from bench.study.presentation import PresentationSettings
from bench.study.yaml import Place, load_yaml
from metrics.cost.quantities import BITS, STEP_LATENCY

STUDY = """\
name: toy
question: what is shown
baseline: {arm: mamba, corpus: demo/lieder, length: 64, model: {width: 16, stride: 4, layers: 6}, train: {steps: 1}}
axes: {arm: [smdim, mamba]}
measure: {quality: {}}
"""
BLOCK = """\
presentation:
  labels: {smdim: 'SMDIM, ours'}
  colours: {mamba: teal}
  order: [mamba]
  numbers: '1.234,5'
"""


@pytest.fixture
def planned(results_folder: Path) -> Path:
    """The made-up results with a `study.json` that names its arms."""
    arms = ["fam", "transformer", "smdim", "mamba"]
    cells = [{"id": f"quality-{arm}-0", "kind": "quality", "labels": {"arm": arm}} for arm in sorted(arms)]
    study = {"name": "toy", "question": "?", "baseline": {"arm": "transformer"}, "axes": {"arm": arms}}
    (results_folder / "study.json").write_text(json.dumps({"format": 1, "study": study, "cells": cells}))
    return results_folder


def raw(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows as the table has them."""
    return frame[[name for name in frame.columns if name not in ("study_arm", "place", "colour", "axes")]]


def shown(frame: pd.DataFrame, folder: Path, *overrides: str) -> pd.DataFrame:
    how, refused = read_presentation(folder, None, overrides)
    assert refused == []
    return as_frame(raw(frame), how)


def test_a_block_changes_no_cell_and_its_labels_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_text(STUDY)
    plain = make_plan(load_study(path))
    path.write_text(STUDY + BLOCK)
    presented = make_plan(load_study(path))
    assert [cell.id for cell in presented.cells] == [cell.id for cell in plain.cells]
    assert [cell.labels for cell in presented.cells] == [cell.labels for cell in plain.cells]
    assert "presentation" not in plain.study.content.model_dump(mode="json")
    study = presented.study.content.model_dump(mode="json")
    cells = [{"id": cell.id, "kind": cell.kind, "labels": cell.labels} for cell in presented.cells]
    (tmp_path / "study.json").write_text(json.dumps({"study": study, "cells": cells}))
    how = presentation_of(tmp_path)
    assert (how.order, how.labels) == (("mamba", "smdim"), (("smdim", "SMDIM, ours"),))
    assert (how.colours, how.numbers) == ((("mamba", "#008080"),), NumberStyle(",", "."))


@pytest.mark.parametrize(
    ("block", "error"),
    [
        ("  labels: {gru: x}", r"toy.yaml:7: presentation.labels.gru: 'gru' is no arm of this study; .*smdim"),
        (
            "  colours: {smdim: blurple}",
            r"toy.yaml:7: presentation.colours.smdim: 'blurple' is no colour; allowed: #rr",
        ),
        ("  label: {}", r"toy.yaml:7: presentation.label: unknown key; did you mean 'labels'\?"),
        ("  labels: {smdim: mamba}", r"toy.yaml:7: presentation.labels.smdim: 'mamba' is the name of two arms"),
        ("  panels: [latency]", r"toy.yaml:7: presentation.panels.0: 'latency' is no known quantity"),
        ("  numbers: '1;5'", r"toy.yaml:7: presentation.numbers: "),
    ],
)
def test_what_cannot_be_shown_is_refused_with_its_line(tmp_path: Path, block: str, error: str) -> None:
    path = tmp_path / "toy.yaml"
    path.write_text(f"{STUDY}presentation:\n{block}\n")
    with pytest.raises(UserError, match=error):
        load_study(path)


def test_a_file_with_unknown_arms_and_colours_is_applied_as_far_as_it_can_be(planned: Path, tmp_path: Path) -> None:
    path = tmp_path / "look.yaml"
    path.write_text("labels: {smdim: Ours, gru: x}\ncolours:\n  mamba: blurple\narms: [smdim, lstm]\n")
    how, refused = read_presentation(planned, path, ["labels.fam=FAM, early", "order=mamba"])
    assert [line.partition(";")[0].removeprefix(f"{path}") for line in refused] == [
        ":4: arms.1: 'lstm' is no arm of this study",
        ":1: labels.gru: 'gru' is no arm of this study",
        ":3: colours.mamba: 'blurple' is no colour",
    ]
    assert how == Presentation(
        arms=("smdim",),
        order=("mamba", "fam", "transformer", "smdim"),
        labels=(("fam", "FAM, early"), ("smdim", "Ours")),
    )
    with pytest.raises(UserError, match=r"--set label\.a=b: unknown key; did you mean 'labels'"):
        read_presentation(planned, None, ["label.a=b"])


def test_arms_stand_in_the_order_of_the_study_unless_another_is_asked_for(frame: pd.DataFrame, planned: Path) -> None:
    assert arm_order(shown(frame, planned)) == ["fam", "transformer", "smdim", "mamba"]
    (table,) = quality_tables(shown(frame, planned, "order=[mamba, smdim]"))
    assert [row[0].text for row in table.rows[:4]] == ["mamba", "smdim", "fam", "transformer"]


def test_labels_and_colours_are_everywhere_and_the_study_s_names_decide(frame: pd.DataFrame, planned: Path) -> None:
    ours = shown(frame, planned, "labels.smdim=Ours 1.0", "labels.transformer=AF", "colours.mamba=teal")
    assert arm_order(ours) == ["fam", "AF", "Ours 1.0", "mamba"]
    assert baseline_arm(planned, ours) == "AF"
    assert "Ours 1.0" in [row[0].text for table in cost_tables(ours) for row in table.rows]
    plain = looks_of(shown(frame, planned))
    assert looks_of(ours)["Ours 1.0"].colour == plain["smdim"].colour and looks_of(ours)["mamba"].colour == "#008080"
    legend = {text.get_text() for text in draw("cost", ours, planned, width=3.3).legends[0].get_texts()}
    assert legend == {"fam", "AF", "Ours 1.0", "mamba"}
    paper = load_paper("smdim")
    few = shown(frame, planned, "labels.smdim=Ours", "arms=mamba")
    assert [one.verdict for one in judge(paper, few)] == [one.verdict for one in judge(paper, frame)]


def test_arms_that_are_not_shown_change_no_verdict(frame: pd.DataFrame, planned: Path) -> None:
    def differences(rows: pd.DataFrame) -> dict[str, tuple[float, float]]:
        (bits,) = (one for one in compared(rows) if one.quantity.name == BITS)
        return {
            one.arm: (one.difference.interval.low, one.difference.interval.high)
            for one in bits.against("transformer")
            if one.difference
        }

    all_arms, two = differences(frame), shown(frame, planned, "arms=[transformer, smdim]")
    assert set(all_arms) == {"smdim", "mamba", "fam"}
    assert differences(two) == {"smdim": pytest.approx(all_arms["smdim"])}
    assert arm_order(two) == ["transformer", "smdim"] and looks_of(two)["smdim"] == looks_of(frame)["smdim"]
    assert not any("fam" in arms for arms, *_ in failures(two))
    assert arm_order(shown(frame[frame["arm"] != "fam"], planned, "arms=fam")) == ["transformer", "smdim", "mamba"]


def test_one_panel_where_one_is_asked_for(frame: pd.DataFrame, planned: Path) -> None:
    how, _ = read_presentation(planned, None, [f"panels=[{BITS}, {STEP_LATENCY}]"])
    drawn = {name: FIGURES[name].draw(frame, planned, 3.3, how) for name in ("pareto", "cost")}
    assert [len(drawn[name].axes) for name in drawn] == [1, 1]
    assert "bits/token" in drawn["pareto"].axes[0].get_ylabel()
    assert len(FIGURES["quality"].draw(frame, planned, 3.3, how).axes) > 1  # none of its panels is named


@pytest.mark.parametrize(
    ("style", "text", "written"),
    [
        ("1234,5", "3.79 [-3.70, 1234.5]", "3,79 [-3,70; 1234,5]"),
        ("1.234,5", "12345.6789", "12.345,6789"),
        ("1,234.5", "1234567", "1,234,567"),
        ("1 234.5", "0.12345, 999", "0.12345, 999"),
        ("1 234.5", "2048 tokens", "2\u202f048 tokens"),
        ("1.234,5", "smdim v1.25", "smdim v1.25"),
        ("1234.5", "3.79 [3.70, 3.88]", "3.79 [3.70, 3.88]"),
    ],
)
def test_numbers_in_another_style(style: str, text: str, written: str) -> None:
    assert NumberStyle.of(style).text(text) == written


def test_numbers_without_quotation_marks_are_those_of_their_text() -> None:
    numbers = [load_yaml(f"numbers: {text}")["numbers"] for text in ("1234.5", "1,234.5", "1 234,5")]
    assert [type(one) for one in numbers] == [float, str, str]
    assert [PresentationSettings(numbers=one).numbers for one in numbers] == ["1234.5", "1,234.5", "1 234,5"]


def test_tables_and_axes_follow_it_and_csv_does_not(frame: pd.DataFrame, planned: Path) -> None:
    style = NumberStyle.of("1.234,5")
    (table,) = quality_tables(frame)
    assert table.written(style).entry("smdim", "OA mean").text == "0,790 [0,663; 0,917]"
    assert table.written(style).to_csv() == table.to_csv()
    drawn = draw("scaling", frame, planned, width=3.3, presentation=Presentation(numbers=style))
    drawn.draw_without_rendering()
    ticks = [tick.get_text() for axis in drawn.axes for tick in axis.get_yticklabels() if axis.axison]
    lengths = [tick.get_text() for tick in drawn.axes[0].get_xticklabels()]
    assert "1,0" in ticks and not any("." in tick for tick in ticks) and "2.048" in lengths


@pytest.mark.parametrize(
    ("arms", "labels", "kept", "refused"),
    [
        ("abc", {"a": "b", "b": "c"}, {}, ["a", "b"]),
        ("abc", {"a": "b", "b": "a"}, {"a": "b", "b": "a"}, []),
        (("a k=1", "a k=2", "mamba"), {"a": "X", "a k=1": "mamba"}, {"a k=2": "X k=2"}, ["a k=1"]),
    ],
)
def test_no_two_arms_have_one_name(arms: str, labels: dict[str, str], kept: dict[str, str], refused: list[str]) -> None:
    found, lines = PresentationSettings(labels=labels).applied(list(arms), Place(None))
    assert found.labels == kept
    assert [line.split(": ")[1].removeprefix("labels.") for line in lines] == refused
    assert all("is the name of two arms" in line for line in lines)


def test_the_colour_of_a_name_in_full_decides() -> None:
    settings = PresentationSettings(colours={"a k=1": "#000001", "a": "#000002"})
    found, _ = settings.applied(["a k=1", "a k=2"], Place(None))
    assert found.colours == {"a k=1": "#000001", "a k=2": "#000002"}


@pytest.mark.parametrize("block", ["teal", "[smdim]", "3"])
def test_a_presentation_that_is_no_mapping_is_one_line(planned: Path, tmp_path: Path, block: str) -> None:
    path = tmp_path / "toy.yaml"
    path.write_text(f"{STUDY}presentation: {block}\n")
    with pytest.raises(
        UserError, match=r"^\S+toy.yaml:6: presentation: is no mapping of keys; allowed: arms, order, .*$"
    ):
        read_presentation(planned, path)
    (planned / "study.json").write_text('{"study": "toy"}')
    with pytest.raises(UserError, match=r"^\S+study.json: study: is no mapping of keys"):
        read_presentation(planned)
    assert presentation_of(planned).labels == ()


def test_an_arm_with_a_sign_of_equality_in_its_name_has_a_label(tmp_path: Path) -> None:
    arm = "smdim steps=8"
    cells = [{"kind": "quality", "labels": {"arm": arm}}]
    (tmp_path / "study.json").write_text(json.dumps({"study": {"name": "toy"}, "cells": cells}))
    how, refused = read_presentation(tmp_path, None, [f"labels.{arm}=Eight steps", f"colours.{arm} = teal"])
    assert (how.labels, how.colours, refused) == (((arm, "Eight steps"),), ((arm, "#008080"),), [])


def test_cited_tables_are_those_of_the_recorded_presentation(frame: pd.DataFrame, planned: Path) -> None:
    content = json.loads((planned / "study.json").read_text())
    content["study"]["presentation"] = {"columns": ["oa_mean"], "caption": "Ours.", "numbers": "1234,5"}
    (planned / "study.json").write_text(json.dumps(content))
    summary = next(table for table in all_tables(frame, planned) if table.name == "summary")
    assert (summary.columns[1:2], summary.caption) == (("OA mean",), "Ours.")
    assert "0,8" in summary.rows[0][1].text and "." not in summary.rows[0][1].text


def test_a_presented_frame_is_taken_as_it_is(frame: pd.DataFrame) -> None:
    assert as_frame(frame) is frame and as_frame(raw(frame)) is not frame
