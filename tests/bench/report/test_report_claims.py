"""Claims: what counts as the same finding, verdicts at the edges, and words for what cannot be compared."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest

from bench.errors import UserError
from bench.report.analysis.growth import cost_exponent
from bench.report.claims.paper import claims_hash, load_paper, shipped_claims
from bench.report.claims.verdict import fixed_before, judge, save_verdicts, verdict_words
from bench.report.rows.summaries import cost_summaries
from metrics.statistics.differences import Components
from metrics.statistics.planning import needed
from metrics.statistics.simultaneous import Family

TEMPLATE = """
name: made-up
title: A paper
source: nowhere
not_known: everything
claims:
  - id: cheaper
    text: Cheaper.
    source: nowhere
    quantity: {{kind: {kind}, metric: {metric}, arm: smdim, {rest}}}
    accept: {accept}
    why: as an example
"""


@pytest.fixture
def verdict(tmp_path, frame):
    """Judges one made-up claim against the made-up study."""

    def of(kind: str, metric: str, rest: str, accept: str, table: pd.DataFrame = frame):
        path = tmp_path / "paper.yaml"
        path.write_text(TEMPLATE.format(kind=kind, metric=metric, rest=rest, accept=accept))
        (judged,) = judge(load_paper(str(path)), table)
        return judged

    return of


@pytest.mark.parametrize(
    ("accept", "expected"),
    [("[0.60, 0.80]", "reproduced"), ("[0.70, 0.80]", "inconclusive"), ("[0.8, 1.0]", "contradicted")],
)
def test_a_ratio_with_interval_against_the_accepted_one(verdict, accept, expected):
    # at 256 tokens smdim takes 14 ms, transformer 20, each with 2 % to each side: 0.7 from 0.6725 to 0.7286
    judged = verdict("ratio", "step_latency", "baseline: transformer, length: 256", accept)
    assert judged.verdict == expected
    assert (judged.measured.low, judged.measured.high) == pytest.approx((0.7 * 0.98 / 1.02, 0.7 * 1.02 / 0.98))
    assert judged.measured.cell_ids == ("efficiency-smdim", "efficiency-transformer")


def test_counted_figures_are_exact(verdict):
    judged = verdict("ratio", "forward_gflops", "baseline: transformer, length: 256", "[0.65, 0.75]")
    assert judged.verdict == "reproduced" and judged.measured.low == judged.measured.high == pytest.approx(0.7)


def test_above_a_bound_does_not_hold_the_bound_itself(verdict):
    def judged(accept: str):
        return verdict("ratio", "forward_gflops", "baseline: transformer, length: 256", accept)

    exact = judged("[0, 1]").measured.value
    found = [judged(accept).verdict for accept in (f"[{exact!r}, .inf]", f"[-.inf, {exact!r}]", f"[{exact!r}, 1]")]
    assert found == ["contradicted", "contradicted", "reproduced"]


def test_what_was_measured_once_is_inconclusive(verdict, frame):
    frame.loc[frame["metric"] == "peak_memory_inference", ["low", "high"]] = math.nan
    judged = verdict("ratio", "peak_memory_inference", "baseline: transformer, length: 256", "[0.6, 0.8]")
    assert verdict_words(judged) == "inconclusive (no interval)"


def test_different_kernels_are_not_compared(verdict, frame):
    rows = (frame["kind"] == "efficiency") & (frame["arm"] == "smdim")
    frame.loc[rows, "kernel"] = "scan=numba sdpa=flash"
    judged = verdict("ratio", "step_latency", "baseline: transformer, length: 256", "[0.6, 0.8]")
    assert verdict_words(judged) == "not comparable: kernels differ (sdpa: flash, math)"


@pytest.mark.parametrize("replicates", [3, 1])
def test_replicates_taken_in_turns_give_the_interval_and_one_process_none(tmp_path, frame, replicates):
    from bench.report.claims.measured import Evidence, measure
    from bench.report.claims.paper import Quantity

    rounds = {"smdim": [[7.0, 7.0], [8.0, 8.0], [9.0, 9.0]], "transformer": [[14.0], [16.0], [18.0]]}
    for arm, timed in rounds.items():
        raw = [call for one in timed for call in one]
        row = {"metric": "step_latency", "length": 256, "raw": raw, "round_sizes": [len(one) for one in timed]}
        row |= {"replicate_sizes": [3 // replicates] * replicates}
        cell = tmp_path / f"efficiency-{arm}"
        cell.mkdir()
        (cell / "measurements.jsonl").write_text(json.dumps(row) + "\n")
    from bench.report.rows.summaries import Summaries

    evidence = Evidence(cost_summaries(frame), Summaries(), Summaries(), tmp_path)
    quantity = Quantity(kind="ratio", metric="step_latency", arm="smdim", baseline="transformer", length=256)
    (found,) = measure(quantity, evidence)
    # every replicate has the ratio 0.5 although the machine slowed down by 9/7
    ends = (0.5, 0.5) if replicates == 3 else (math.nan, math.nan)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, *ends), nan_ok=True)
    assert ("3 replicates in turns; faster" if replicates == 3 else "one process per arm") in found.note


def test_exponent_of_a_power_law_counted_timed_and_without_rounds(frame, tmp_path):
    summaries = cost_summaries(frame)
    counted, words = cost_exponent(summaries.where(metric="forward_gflops", arm="transformer"), None)
    assert (counted.value, counted.low, counted.high) == pytest.approx((1.4, 1.4, 1.4)) and words == "counted, so exact"
    timed = summaries.where(metric="step_latency", arm="transformer")
    assert cost_exponent(timed, None)[1] == "no raw rounds, so no interval"
    rows = []
    for length in (256, 512, 1024, 2048):
        raw = [length / 256.0, (length / 256.0) ** 2]  # exponent 1 in the first round, 2 in the second
        rows.append({"metric": "step_latency", "length": length, "raw": raw, "round_sizes": [1, 1]})
    (tmp_path / "efficiency-transformer").mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "efficiency-transformer" / "measurements.jsonl").write_text(lines)
    interval, words = cost_exponent(timed, tmp_path)
    assert (interval.value, interval.high) == pytest.approx((1.5, 1.5 + 12.7062 * 0.5)) and words == "2 rounds"


def more_seeds(frame: pd.DataFrame, seeds: int = 2) -> pd.DataFrame:
    """The frame with further seeds of the same figures, a little apart."""
    quality = frame[frame["kind"] == "quality"]
    shifts = [(1 + seed // 2) * 1e-3 * (-1) ** seed for seed in range(2, 2 + seeds)]
    more = []
    for seed, shift in zip(range(2, 2 + seeds), shifts, strict=True):
        rows = quality[quality["seed"] == seed % 2]
        more.append(rows.assign(seed=seed, value=rows["value"] + shift, cell_id=rows["cell_id"] + f"-{seed}"))
    return pd.concat([frame, *more], ignore_index=True)


def test_lead_needs_every_rival_and_two_seeds_decide_nothing(verdict, frame):
    # OA 0.78 and 0.80 against transformer 0.80, 0.82 (lead -0.02 on both seeds) and mamba 0.70, 0.76 (0.08, 0.04)
    judged = verdict("lead", "oa_mean", "against: all", "[0, .inf]")
    assert judged.measured.value == pytest.approx(-0.02)
    assert judged.measured.note.startswith("smallest lead, over transformer")
    assert judged.verdict == "inconclusive" and "would decide" in verdict_words(judged)
    more = more_seeds(frame[frame["arm"] != "mamba"], 4)
    assert verdict("lead", "oa_mean", "against: all", "[0, .inf]", more).verdict == "contradicted"
    assert verdict("lead", "oa_mean", "against: all", "[-0.1, .inf]", more).verdict == "reproduced"


def test_two_seeds_contradict_nothing_however_clear(verdict, frame):
    rows = (frame["arm"] == "smdim") & (frame["metric"] == "oa_mean")
    frame.loc[rows, "value"] = [0.1, 0.1002]
    only = frame[frame["arm"].isin(["smdim", "transformer"])].copy()
    only.loc[(only["arm"] == "transformer") & (only["metric"] == "oa_mean"), "value"] = [0.9, 0.9001]
    judged = verdict("lead", "oa_mean", "against: all", "[0, .inf]", only)
    assert judged.measured.high < -0.7 and judged.verdict == "inconclusive"
    assert verdict("lead", "oa_mean", "against: all", "[0, .inf]", more_seeds(only, 1)).verdict == "contradicted"


def test_lead_within_the_noise_is_inconclusive_with_a_number_of_seeds(verdict, frame):
    bits = {("smdim", 0): 3.9, ("smdim", 1): 3.7, ("transformer", 0): 4.0, ("transformer", 1): 3.9}
    for (arm, seed), value in bits.items():
        chosen = (frame["arm"] == arm) & (frame["seed"] == seed) & (frame["metric"] == "bits_per_token")
        frame.loc[chosen, "value"] = value
    only = frame[frame["arm"].isin(["smdim", "transformer"])]
    judged = verdict("lead", "bits_per_token", "against: all", "[0, .inf]", only)
    # leads 0.1 and 0.2: mean 0.15, sd 0.0707, the paired t interval at one degree of freedom
    assert judged.measured.low == pytest.approx(0.15 - 12.7062 * 0.05, abs=1e-5)
    components = Components(0.005)
    wanted = needed(0.15, None, components, Family("baseline", 2), 2)
    assert judged.verdict == "inconclusive" and judged.needed == wanted and 4 <= wanted.seeds <= 6
    assert f"{wanted.seeds} seeds would decide" in verdict_words(judged)


def test_one_seed_of_a_claim_has_no_interval(verdict, frame):
    one = frame[frame["seed"].isna() | (frame["seed"] == 0)]
    judged = verdict("level", "oa_mean", "length: 512", "[0, 1]", one)
    assert verdict_words(judged) == "inconclusive (one seed has no interval; at least 3 seeds)"


def test_orders_are_arms_with_the_same_mixers(verdict):
    judged = verdict("lead", "bits_per_token", "against: orders", "[0, .inf]")
    assert judged.measured.note == "smallest lead, over fam, of those over fam"


def test_the_same_backbone_under_another_name_is_no_rival(verdict, frame):
    again = frame[(frame["kind"] == "quality") & (frame["arm"] == "smdim")].copy()
    again = again.assign(arm="smdim-2048", value=again["value"] + 0.5)
    judged = verdict("lead", "oa_mean", "against: all", "[0, .inf]", pd.concat([frame, again]))
    assert "smdim-2048" not in judged.measured.note


def test_one_model_at_all_lengths_is_judged_apart_from_models_trained_at_each(two_lengths):
    music = two_lengths[(two_lengths["arm"] == "smdim") & (two_lengths["kind"] == "quality")].copy()
    music.loc[music["length"] == 2048, "value"] += 0.06
    one = music.assign(arm="smdim-2048")
    table = more_seeds(pd.concat([two_lengths, one]))
    judged = {found.claim.id: found for found in judge(load_paper("smdim"), table)}
    assert judged["oa-flat"].measured.value == pytest.approx(-0.1) and judged["oa-flat"].verdict == "contradicted"
    assert judged["oa-flat-one-model"].measured.value == pytest.approx(-0.04)
    assert judged["oa-flat-one-model"].verdict == "reproduced"


def test_excess_over_real_music(verdict):
    judged = verdict("excess", "oa_mean", "over: real-vs-real", "[0, .inf]")
    # 0.78 and 0.80 less 0.9: -0.11, with 0.127 to each side over seeds and -0.02, +0.03 of the reference itself
    assert judged.measured.value == pytest.approx(-0.11)
    assert judged.measured.low == pytest.approx(-0.11 - 0.127062 - 0.02, abs=1e-5)
    assert judged.measured.high == pytest.approx(-0.11 + 0.127062 + 0.03, abs=1e-5)
    assert judged.verdict == "inconclusive" and judged.measured.beside == pytest.approx(0.03)


@pytest.mark.parametrize(("apart", "decided"), [(0.0, True), (0.105, True), (0.12, False)])
def test_seeds_that_would_decide_an_excess_leave_the_spread_of_real_music_as_it_is(frame, tmp_path, apart, decided):
    ceiling = (frame["arm"] == "real-vs-real") & (frame["metric"] == "oa_mean")
    frame.loc[ceiling, "low"] = frame.loc[ceiling, "value"] - apart
    path = tmp_path / "paper.yaml"
    path.write_text(TEMPLATE.format(kind="excess", metric="oa_mean", rest="over: real-vs-real", accept="[0, .inf]"))
    (judged,) = judge(load_paper(str(path)), frame)  # -0.11 over two seeds
    assert judged.verdict == "inconclusive" and (judged.needed is not None) == decided
    assert ("no number of seeds would decide" in verdict_words(judged)) == (not decided)
    if judged.needed:
        assert judged.needed.seeds >= 3 and (apart == 0) == (judged.needed.seeds < 10)


def test_music_of_an_arm_that_learned_no_more_than_the_grammar_judges_nothing(verdict, frame):
    rows = (frame["arm"] == "smdim") & (frame["metric"] == "bits_per_token")
    frame.loc[rows, "value"] += 1
    judged = verdict("lead", "oa_mean", "against: all", "[0, .inf]")
    assert verdict_words(judged) == "not comparable: smdim learned no more than the grammar here"
    bits = verdict("lead", "bits_per_token", "against: orders", "[0, .inf]", more_seeds(frame))
    assert bits.verdict == "contradicted"


@pytest.mark.parametrize(
    ("kind", "metric", "rest", "words"),
    [
        ("change", "oa_mean", "length: 2048", "smdim was not measured at 2048 tokens"),
        ("level", "drift_chords", "length: 2048", "the study has no drift_chords"),
        ("ratio", "step_latency", "baseline: gru, length: 256", "what it is compared with was not measured"),
        ("exponent", "oa_mean", "length: 512", "measured at fewer than 3 lengths"),
    ],
)
def test_what_is_missing_is_named(verdict, kind, metric, rest, words):
    assert verdict_words(verdict(kind, metric, rest, "[0, 1]")) == f"not comparable: {words}"


def test_each_variant_of_an_arm_is_judged_beside_its_like(verdict, frame, tmp_path):
    plain = verdict("ratio", "forward_gflops", "baseline: transformer, length: 256", "[0, 1]")
    of_arms = frame["kind"] != "reference"

    def variant(words: str, factor: float) -> pd.DataFrame:
        rows = frame[of_arms].assign(arm=frame["arm"] + words, cell_id=frame["cell_id"] + words)
        costlier = (rows["metric"] == "forward_gflops") & rows["arm"].str.startswith("smdim ")
        return rows.assign(value=rows["value"].where(~costlier, rows["value"] * factor))

    both = pd.concat([frame[~of_arms], variant(" T=4", 1), variant(" T=16", 3)], ignore_index=True)
    judged = judge(load_paper(str(tmp_path / "paper.yaml")), both)
    assert [one.measured.where.partition(",")[0] for one in judged] == ["T=4", "T=16"]
    value = plain.measured.value
    assert [one.measured.value for one in judged] == pytest.approx([value, 3 * value])
    assert [one.verdict for one in judged] == [plain.verdict, "contradicted"] == ["reproduced", "contradicted"]
    assert judged[1].measured.cell_ids == tuple(f"{cell} T=16" for cell in plain.measured.cell_ids)
    named = judge(load_paper(str(tmp_path / "paper.yaml")), pd.concat([both, frame[of_arms]], ignore_index=True))
    assert [(one.measured.where, one.measured.value) for one in named] == [(plain.measured.where, value)]


def test_change_between_the_shortest_length_and_another(verdict, frame):
    longer = frame[(frame["kind"] == "quality") & (frame["metric"] == "oa_mean")].assign(length=2048)
    longer["value"] -= 0.02
    judged = verdict("change", "oa_mean", "length: 2048", "[-0.05, 0.05]", more_seeds(pd.concat([frame, longer])))
    assert judged.measured.value == pytest.approx(-0.02) and judged.verdict == "reproduced"
    assert "real against real 512: 0.900" in judged.measured.note


def test_hash_follows_quantity_and_acceptance_only(tmp_path):
    path = tmp_path / "paper.yaml"
    texts = [
        TEMPLATE.format(kind="level", metric="oa_mean", rest="length: 512", accept=accept).replace("Cheaper.", words)
        for accept, words in (("[0, 1]", "Cheaper."), ("[0, 1]", "Better."), ("[0, 2]", "Cheaper."))
    ]
    hashes = []
    for text in texts:
        path.write_text(text)
        hashes.append(claims_hash(load_paper(str(path))))
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_shipped_paper_states_what_is_not_known_and_is_judged_in_full(frame, tmp_path):
    paper = load_paper("smdim")
    assert all("not known to us" in figure.setting for figure in paper.figures)
    judged = judge(paper, frame)
    assert {one.claim.id for one in judged} == {claim.id for claim in paper.claims}
    saved = json.loads(save_verdicts(tmp_path, paper, judged).read_text())
    assert saved["hash"] == claims_hash(paper) and len(saved["claims"]) == len(judged)


def test_whether_the_acceptance_was_fixed_before_the_run(tmp_path):
    paper = load_paper("smdim")
    assert "not recorded" in fixed_before(tmp_path, paper)
    (tmp_path / "study.json").write_text(json.dumps({"claims": shipped_claims()}))
    assert "those recorded before the run" in fixed_before(tmp_path, paper)
    fewer = paper.model_copy(update={"claims": paper.claims[:-1]})
    (tmp_path / "study.json").write_text(json.dumps({"claims": {"smdim": claims_hash(fewer)}}))
    assert "but for claims added since: oa-flat-one-model." in fixed_before(tmp_path, paper)
    (tmp_path / "study.json").write_text(json.dumps({"claims": {"smdim": "0" * 16}}))
    assert "changed after" in fixed_before(tmp_path, paper)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("kind: level", "kind: area"), "quantity.kind"),
        (("accept: [0, 1]", "accept: [1, 0]"), "accept: accept must be \\[low, high\\] with low < high"),
        (("kind: level", "kind: excess"), "a quantity of kind excess needs the key over"),
        (("why: as", "because: of\n    why: as"), "because: unknown key"),
    ],
)
def test_a_wrong_paper_is_refused_by_file_and_key(tmp_path, change, words):
    path = tmp_path / "paper.yaml"
    path.write_text(
        TEMPLATE.format(kind="level", metric="oa_mean", rest="length: 512", accept="[0, 1]").replace(*change)
    )
    with pytest.raises(UserError, match=words) as error:
        load_paper(str(path))
    assert str(error.value).startswith(f"{path}:")


def test_an_unknown_paper_names_those_there_are():
    with pytest.raises(UserError, match="there are diffumamba, smdim"):
        load_paper("mozart")
