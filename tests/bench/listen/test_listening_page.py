"""The page of a listening test: what it holds and hides, a third checks, sides and pairs in balance."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.errors import UserError
from bench.listen.design import check_trials, draw_plans
from bench.listen.key import make_test, read_key, write_key
from bench.listen.page import listening_page
from bench.listen.samples import REAL, SHUFFLED, Systems, excerpt, excerpted, study_pieces
from metrics.music.notes import Notes


def piece(name: str, lowest: int, tempo: float = 120.0) -> Notes:
    """Forty notes of half a beat, different for each name."""
    pitches = np.random.default_rng(sum(map(ord, name))).integers(0, 12, 40) + lowest
    return replace(Notes.from_arrays(np.arange(40) / 2, np.full(40, 0.5), pitches, name=name), tempo=tempo)


@pytest.fixture(scope="module")
def systems() -> Systems:
    arms = {arm: [piece(f"{arm}-{k}", low) for k in range(6)] for arm, low in (("smdim", 40), ("mamba", 52))}
    return excerpted(Systems(arms, [piece(f"song-{k}", 64) for k in range(10)]), 8.0, 48)


@pytest.fixture(scope="module")
def made(systems):
    return make_test(systems, "pairs", question="Which?", trials=24, seconds=8.0, seed=0)


def test_the_page_names_no_system_and_no_file(made):
    page = listening_page(made)
    for word in ("smdim", "mamba", "song", "real", "shuffled", made.key.samples[0].source):
        assert word not in page.lower()
    assert not re.findall(r"""(?:src|href)=["'](?!data:)|https?://|@import|url\(""", page)


def test_the_page_holds_the_notes_of_the_key_in_its_order(made, systems):
    pieces = json.loads(re.search(r'id="pieces">(.*?)</script>', listening_page(made))[1])
    assert len(pieces) == len(made.key.samples) == 6 + 6 + 10 + 5
    by_name = {one.name: one for pieces in systems.all.values() for one in pieces}
    for shown, sample in zip(pieces, made.key.samples, strict=True):
        if sample.system != SHUFFLED:
            assert [note[2] for note in shown["notes"]] == by_name[sample.source].pitch.tolist()
        assert {shown[name] for name in ("colour", "dark")} == {"transparent"}


def test_samples_are_in_no_order_of_systems(made):
    names = [sample.system for sample in made.key.samples]
    changes = sum(one != other for one, other in pairwise(names))
    assert changes > len(names) / 2  # of systems one after the other there would be four


def test_a_third_are_checks_of_a_real_piece_and_the_same_shuffled(made):
    samples = made.key.samples
    for plan in made.key.plans:
        checks = [trial for trial in plan if made.key.is_check(trial)]
        assert len(plan) == 24 and len(checks) == 8
        assert sum(samples[left].system == REAL for left, _ in checks) == 4
        assert all(samples[left].source == samples[right].source for left, right in checks)
        rest = [samples[one].system for trial in plan if trial not in checks for one in trial]
        assert SHUFFLED not in rest and set(rest) == {"smdim", "mamba", REAL}
    assert len({tuple(plan) for plan in made.key.plans}) == len(made.key.plans)


def test_both_sides_of_a_check_are_played_at_the_tempo_of_the_piece():
    slow = Systems({"smdim": [piece(f"a-{k}", 40) for k in range(6)]}, [piece(f"b-{k}", 64, 60.0) for k in range(6)])
    made = make_test(excerpted(slow, 8.0, 48), "pairs", question="?", trials=12, seconds=8.0, seed=0)
    pieces = json.loads(re.search(r'id="pieces">(.*?)</script>', listening_page(made))[1])
    checks = [trial for plan in made.key.plans for trial in plan if made.key.is_check(trial)]
    assert {pieces[number]["tempo"] for trial in checks for number in trial} == {60}


def test_pairs_and_sides_are_in_balance(made):
    sides = Counter(
        tuple(made.key.samples[one].system for one in trial)
        for plan in made.key.plans
        for trial in plan
        if not made.key.is_check(trial)
    )
    assert len(sides) == 6 and max(sides.values()) - min(sides.values()) <= 1


def test_a_plan_repeats_no_sample_where_there_are_enough():
    plans = draw_plans([range(20), range(20, 40)], [(40, 41)], 24, np.random.default_rng(0), plans=30)
    for plan in plans:
        used = [one for trial in plan for one in trial if one < 40]
        assert len(used) == len(set(used)) == 32


def test_the_same_music_gives_the_same_test_and_other_music_another(made, systems):
    words = {"question": "Which?", "trials": 24, "seconds": 8.0, "seed": 0}
    assert make_test(systems, "pairs", **words).key == made.key
    fewer = replace(systems, real=systems.real[:-1])
    assert make_test(fewer, "pairs", **words).key.test != made.key.test


@pytest.mark.parametrize("trials", [0, 12, 20, 123])
def test_numbers_of_trials_that_cannot_be(trials):
    with pytest.raises(UserError, match="multiples of 3 from 15 to 120"):
        check_trials(trials)


def test_an_excerpt_ends_after_its_seconds():
    late = replace(piece("a", 40, tempo=60.0), onset=np.arange(40) / 2 + 7, duration=np.full(40, 3.0), held=None)
    found = excerpt(late, 5.25)  # 5.25 beats
    assert found.onset.tolist() == [k / 2 for k in range(11)]
    assert found.end_beats == 5.25


def test_too_little_music_is_refused():
    with pytest.raises(UserError, match="real music: one piece"):
        excerpted(Systems({"a": [piece("a", 40)]}, [piece("b", 50)]), 8.0, 48)
    with pytest.raises(UserError, match="a: no piece with notes"):
        excerpted(Systems({"a": [Notes.from_arrays([], [], [])]}, [piece("b", 50)] * 2), 8.0, 48)


def test_the_key_of_another_test_is_not_written_over(made, systems, tmp_path):
    path = tmp_path / "test.key.json"
    write_key(path, made.key)
    write_key(path, made.key)
    assert read_key(path) == made.key
    other = make_test(systems, "ratings", question="How?", trials=24, seconds=8.0, seed=0)
    with pytest.raises(UserError, match="key of another test"):
        write_key(path, other.key)
    path.write_text('{"format": 1}')
    with pytest.raises(UserError, match="no key of a listening test: test: Field required"):
        read_key(path)


def test_samples_of_a_study_take_its_seeds_in_turns(tmp_path, write_midi):
    from bench.report.rows.frame import as_frame

    shared = {"metric": "oa_mean", "value": 0.5, "unit": "1", "status": "done", "corpus": "demo", "length": 64}
    quality = shared | {"kind": "quality", "sampler": "cached", "sample_steps": 8}
    rows = [quality | {"arm": "smdim", "seed": seed, "cell_id": f"smdim-{seed}"} for seed in (0, 1)]
    rows += [rows[0] | {"cell_id": "fewer", "sample_steps": 4}, rows[0] | {"cell_id": "none", "arm": "mamba"}]
    rows += [shared | {"kind": "reference", "arm": "real-vs-real", "cell_id": "reference"}]
    for cell, names in {"smdim-0": "ab", "smdim-1": "cd", "fewer": "e", "reference": "rs"}.items():
        for name in names:
            write_midi(tmp_path / cell / "samples" / f"{name}.mid", [(0.0, 1.0, 60, 80)], tempo=75)
    frame = as_frame(pd.DataFrame(rows).assign(study="toy", version="study=1"))
    found = study_pieces(frame, tmp_path, [], 3)
    assert [one.name for one in found.generated["smdim"]] == [
        "smdim-0/samples/a.mid",
        "smdim-1/samples/c.mid",
        "smdim-0/samples/b.mid",
    ]
    assert [one.tempo for one in (*found.real, *found.generated["smdim"])] == pytest.approx([75] * 5)
    assert len(found.real) == 2 and found.setting == ("demo", 64, "cached", 8)
    assert found.notes == (
        "of 2 settings: corpus demo, L = 64, cached sampler, T = 8",
        "mamba has no readable sample there and is left out",
    )
    with pytest.raises(UserError, match="the study has the arms smdim, mamba"):
        study_pieces(frame, tmp_path, ["x"], 3)
    with pytest.raises(UserError, match="no arm has samples"):
        study_pieces(frame, tmp_path, ["mamba"], 3)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    words = ["listen", "ours", "theirs", "--reference", "demo", "-o", str(tmp_path / "test.html")]
    outcome = CliRunner().invoke(app, [*words, "--results", str(tmp_path)])
    assert "no folder 'ours', and no results of 'ours'" in str(outcome.exception)


def test_a_question_stands_on_the_page_as_it_was_asked(systems):
    asked = "[TRIALS] or [MINUTES]? </p><script>"
    page = listening_page(make_test(systems, "pairs", question=asked, trials=24, seconds=8.0, seed=0))
    assert "[TRIALS] or [MINUTES]? &lt;/p&gt;&lt;script&gt;" in page
