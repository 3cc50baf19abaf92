"""Likelihoods of several kinds: which are compared, and which stand apart."""

from __future__ import annotations

import pandas as pd
from axes_of_names import on_sampler_axes
from compared_arms import bits_of, fixed, verdicts

from bench.report.analysis.comparisons import compared
from bench.report.tables.comparisons import rank_tables
from bench.report.tables.quality import quality_tables
from bench.report.tables.summary import study_summary
from metrics.headlines import PRIMARY


def test_exact_likelihoods_and_bounds_are_not_ranked_together():
    frame = fixed((4.0, 4.2, 4.1), (3.01, 3.2, 3.1), (4.5, 4.69, 4.6), (4.0, 4.21, 4.1))
    bits = frame["metric"] == PRIMARY[0]
    frame.loc[bits, "definition"] = "count-form ELBO of the test side, float32 v2"
    assert verdicts(frame)["smdim"] == "better" and bits_of(frame).best == "smdim"
    frame.loc[bits & (frame["arm"] == "smdim"), "definition"] = "exact -log2 p by the chain rule of the test side v2"
    reason = "not compared: figures of several kinds (exact, bound); bound ones are"
    assert verdicts(frame)["smdim"] == f"open: {reason}"
    bounds = set(frame.loc[bits, "arm"]) - {"smdim"}
    assert bits_of(frame).best == "" and set(bits_of(frame).means) == bounds
    (ranks,) = rank_tables(frame)
    ranked = [row[0].text.split(":")[0] for row in ranks.rows if "bits/token" in row[0].text]
    assert set(ranked) == bounds and ranks.notes[0].endswith(f": {reason}.")
    rows = {row[0].text: row for row in quality_tables(frame)[0].rows}
    assert not any(entry.best for row in rows.values() for entry in row)
    assert rows["smdim"][1].mark == "exact" and {rows[arm][1].mark for arm in bounds} == {"bound"}
    summary = {row[0].text: row for row in study_summary(frame).rows}
    assert summary["smdim"][1].mark == "exact" and {summary[arm][1].mark for arm in bounds} == {"bound"}
    rest = sorted(bounds)[0]  # a second exact figure: these are compared, and the bounds are left out
    words = "exact law of 2 tokens a call by blocks of 4: -log2 p of the test side v1"
    frame.loc[bits & frame["arm"].isin(("smdim", rest)), "definition"] = words
    assert set(bits_of(frame).means) == {"smdim", rest}
    frame.loc[bits & (frame["arm"] == rest) & (frame["seed"] == 0), "definition"] = "importance estimate v1"
    assert rest not in bits_of(frame).means
    frame.loc[bits, "definition"] = "exact law of 2 tokens a call by blocks of 4: -log2 p of the test side v1"
    assert verdicts(frame)["smdim"] == "better"


def test_likelihoods_under_samplers_are_compared_where_samplers_vary():
    rows = [
        {"cell_id": f"{name}-{seed}", "kind": "quality", "arm": f"AF sampler={name}", "sampler": name, "seed": seed,
         "metric": "sampler_bits_per_token", "value": value + seed / 50, "definition": f"{kind}: -log2 p v1"}
        for name, value, kind in (("autoregressive", 3.0, "exact"), ("block", 3.4, "exact law"))
        for seed in range(3)
    ]  # fmt: skip
    (found,) = compared(on_sampler_axes(pd.DataFrame(rows)))
    (one,) = found.against("AF sampler=autoregressive")
    assert found.quantity.name == "sampler_bits_per_token" and one.verdict.word == "worse"
    rows = [row | ({"definition": "importance estimate v1"} if row["sampler"] == "block" else {}) for row in rows]
    (found,) = compared(on_sampler_axes(pd.DataFrame(rows)))
    words = found.against("AF sampler=autoregressive")[0].words
    assert words == "open: not compared: figures of several kinds (exact, importance estimate); exact ones are"
