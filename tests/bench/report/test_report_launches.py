"""Steps of a GPU that wait for launches: reports read the time of their replay as CUDA graphs."""

from __future__ import annotations

import pandas as pd
import pytest

from bench.report.claims.measured import Evidence, measure
from bench.report.claims.paper import Quantity
from bench.report.pages.answers import answers
from bench.report.rows.summaries import Summaries, cost_summaries
from bench.report.tables.summary import study_summary


@pytest.fixture
def on_gpu(frame: pd.DataFrame) -> pd.DataFrame:
    """The study with a graph of each step, in a tenth of the time."""
    steps = frame[(frame["metric"] == "step_latency") & frame["value"].notna()]
    graphs = steps.assign(metric="step_latency_graph", **{name: steps[name] / 10 for name in ("value", "low", "high")})
    return pd.concat([frame, graphs], ignore_index=True)


def heading_and_words(frame: pd.DataFrame) -> tuple[str, str]:
    table = study_summary(frame)
    (heading,) = [one for one in table.columns if one.startswith("step")]
    return heading, " ".join(table.notes)


def test_the_summary_shows_graphs_and_states_what_launches_take(on_gpu: pd.DataFrame, frame: pd.DataFrame) -> None:
    heading, words = heading_and_words(on_gpu)
    assert heading == "step as graph [ms]" and "called plainly it takes 10.0 to 10.0 times as long" in words
    heading, words = heading_and_words(frame)
    assert heading == "step [ms]" and "plainly" not in words


def test_where_an_arm_has_no_graph_all_are_shown_plainly(on_gpu: pd.DataFrame) -> None:
    lacking = on_gpu[~((on_gpu["metric"] == "step_latency_graph") & (on_gpu["arm"] == "mamba"))]
    assert heading_and_words(lacking)[0] == "step [ms]"


def test_the_answer_is_on_one_time_of_a_step(on_gpu: pd.DataFrame, frame: pd.DataFrame) -> None:
    cost = answers(on_gpu, "transformer")[0].words
    assert "time of a step as a CUDA graph: " in cost and cost.count("time of a step") == 1
    assert "CUDA graph" not in answers(frame, "transformer")[0].words


def test_a_claim_on_the_time_of_a_step_reads_the_graph(on_gpu: pd.DataFrame, frame: pd.DataFrame) -> None:
    slower_graphs = on_gpu.copy()  # twice as long at each doubling of the length
    graphs = slower_graphs["metric"] == "step_latency_graph"
    slower_graphs.loc[graphs, "value"] = slower_graphs.loc[graphs, "length"].astype(float) ** 2
    asked = Quantity(kind="exponent", metric="step_latency", arm="smdim")
    (found,) = measure(asked, Evidence(cost_summaries(slower_graphs), Summaries(), Summaries()))
    assert found.value == pytest.approx(2) and found.where.endswith("as a CUDA graph")
    (found,) = measure(asked, Evidence(cost_summaries(frame), Summaries(), Summaries()))
    assert found.value == pytest.approx(1) and "graph" not in found.where
