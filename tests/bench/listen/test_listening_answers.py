"""Answers of listeners: what is used, what is flagged, and the tables that they give, by literals."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.errors import UserError
from bench.listen.answers import read_answers
from bench.listen.key import Key, find_key, write_key
from bench.listen.samples import REAL, SHUFFLED
from bench.listen.scores import Compared, scores
from bench.listen.tables import _verdict, listening_tables
from metrics.music.two_samples import KERNEL_DISTANCE
from metrics.statistics.intervals import Interval
from metrics.statistics.planning import MOST

SAMPLES = [(REAL, "r"), ("good", "g"), ("bad", "b"), (REAL, "c"), (SHUFFLED, "c")]
CHECK, TURNED = (3, 4), (4, 3)
PLAN = [
    (1, 2),
    (2, 0),
    (0, 1),
    (1, 2),
    (2, 1),
    (0, 2),
    (1, 0),
    (2, 1),
    (1, 2),
    (0, 1),
    CHECK,
    TURNED,
    CHECK,
    TURNED,
    CHECK,
]
WORTH = {REAL: 3, "good": 2, "bad": 1, SHUFFLED: 0}


def key_of(kind: str = "pairs", test: str = "t1") -> Key:
    samples = [{"system": system, "source": source} for system, source in SAMPLES]
    content = {"test": test, "kind": kind, "question": "?", "trials": 15, "seconds": 8.0}
    return Key(**content, systems=["good", "bad", REAL], samples=samples, plans=[PLAN], setting=("demo", 64, "", None))


def content(listener: str, wrong=(), **changed: object) -> dict:
    """Answers that prefer the better system, but for the trials of these numbers."""
    answers = []
    for number, (left, right) in enumerate(PLAN):
        better = WORTH[SAMPLES[left][0]] > WORTH[SAMPLES[right][0]]
        answers.append({"left": left, "right": right, "answer": "left" if better != (number in wrong) else "right"})
    return {"format": 1, "test": "t1", "listener": listener, "plan": 0, "answers": answers} | changed


def ratings(listener: str, shift: int = 0) -> dict:
    found = content(listener, test="t2")
    for answer in found["answers"]:
        answer["answer"] = [min(WORTH[SAMPLES[answer[side]][0]] + 1 + shift, 5) for side in ("left", "right")]
    return found


@pytest.fixture
def folder(tmp_path: Path):
    """Writes files of answers into a folder."""

    def write(**files: object) -> Path:
        target = tmp_path / "answers"
        target.mkdir(exist_ok=True)
        for name, found in files.items():
            (target / f"{name}.json").write_text(found if isinstance(found, str) else json.dumps(found))
        return target

    return write


def test_what_is_not_used_is_one_line_each(folder):
    swapped = content("s")
    swapped["answers"][0] |= {"left": 2, "right": 1}
    graded = content("g")
    graded["answers"][0]["answer"] = [3, 9]
    target = folder(
        a=content("Anna"),
        b=content("anna ", wrong=(0,)),
        c=content("ANNA"),
        cut='{"format": 1,',
        graded=graded,
        list="[]",
        other=content("o", test="t9"),
        part=content("part", answers=content("part")["answers"][:3]),
        rated=ratings("r") | {"test": "t1"},
        swapped=swapped,
    )
    listeners, lines = read_answers(target, key_of())
    assert [(one.name, len(one.answers)) for one in listeners] == [("Anna", 15), ("part", 3)]
    assert [line.split(": not used: ")[0] for line in lines] == [
        *("cut.json", "graded.json", "list.json", "other.json", "rated.json", "swapped.json", "b.json", "c.json"),
    ]
    reasons = [line.split(": not used: ")[1] for line in lines]
    assert reasons[0].startswith("damaged: ") and reasons[1].startswith("damaged: answers.0.answer")
    assert reasons[3:] == [
        "answers of another test, 't9'",
        "damaged: no answers of a test of pairs",
        "damaged: other trials than those of its plan",
        "listener 'anna' stands too in a.json",
        "a copy of a.json",
    ]
    assert all("\n" not in line for line in lines)


def test_nothing_to_use_is_one_error(folder, tmp_path):
    with pytest.raises(UserError, match="none of 1 files of answers can be used; other"):
        read_answers(folder(other=content("o", test="t9")), key_of())
    with pytest.raises(UserError, match="no such folder"):
        read_answers(tmp_path / "gone", key_of())


@pytest.mark.parametrize(("wrong", "flagged"), [((), False), ((14,), True), ((10, 12), True)])
def test_a_listener_is_flagged_by_the_exact_binomial(folder, wrong, flagged):
    # five of five by guessing: 1 / 32; four of five: 6 / 32
    (listener,), _ = read_answers(folder(a=content("a", wrong=wrong)), key_of())
    assert (listener.right, listener.checks, listener.flagged) == (5 - len(wrong), 5, flagged)


def test_equal_ratings_of_a_check_are_not_right(folder):
    flat = ratings("a")
    for answer in flat["answers"]:
        answer["answer"] = [3, 3]
    (listener,), _ = read_answers(folder(a=flat), key_of("ratings", "t2"))
    assert (listener.right, listener.flagged) == (0, True)


def test_strengths_and_verdicts_of_pairs(folder):
    listeners, _ = read_answers(folder(**{f"l{n}": content(f"l{n}", wrong=(n,)) for n in range(8)}), key_of())
    found = scores(listeners, key_of())
    assert (found.answers, found.listeners) == (80, 8)
    assert found.systems[2].value > found.systems[0].value > found.systems[1].value
    # 36 of 40; less by the model, since real music won 22 of 24 against the good and but 14 of 16 against the bad one
    assert 0.8 < found.pairs[0].value.value < 0.9
    # pairs of answers of two listeners that agree, by hand: 572 of 700, 86 of 112 and 212 of 252
    assert found.agreement == pytest.approx(2 * 870 / 1064 - 1)
    assert not found.pairs[0].decided  # one sample of each system shows nothing of the systems
    assert found.pairs[0].needed == MOST  # nor does it to more listeners


def test_mean_ratings_are_paired_by_listener(folder):
    target = folder(**{f"l{n}": ratings(f"l{n}", shift=n % 2) for n in range(6)})
    listeners, _ = read_answers(target, key_of("ratings", "t2"))
    found = scores(listeners, key_of("ratings", "t2"))
    assert [one.value for one in found.systems] == [3.5, 2.5, 4.5]
    assert found.pairs[0].value.value == 1
    assert found.pairs[0].p == pytest.approx(2 / 64) and found.pairs[0].p_holm == pytest.approx(6 / 64)


@pytest.mark.parametrize("kind", ["pairs", "ratings"])
def test_one_listener_decides_nothing(folder, kind):
    found = content("a") if kind == "pairs" else ratings("a")
    key = key_of(kind, found["test"])
    listeners, _ = read_answers(folder(a=found), key)
    _, pairs, _ = listening_tables(listeners, key, None)
    assert {row[5].text.split(" (")[0] for row in pairs.rows} == {"open"}
    assert "10,000" not in pairs.to_csv()


def test_a_flagged_listener_is_kept_and_its_effect_shown(folder):
    files = {f"l{n}": content(f"l{n}") for n in range(4)} | {"g": content("guess", wrong=range(1, 15, 2))}
    listeners, _ = read_answers(folder(**files), key_of())
    systems, _, people = listening_tables(listeners, key_of(), None)
    assert systems.columns[:3] == ("system", "strength (log odds)", "without flagged")
    assert "50 answers, listeners: 5," in systems.notes[0]
    assert people.entry("guess", "flag").text == "flagged" and people.entry("l1", "flag").text == ""
    assert people.notes[1] == "flagged at 5 %: 1 of 5, kept in the scores; --without-flagged leaves them out"
    without, _, _ = listening_tables(listeners, key_of(), None, without_flagged=True)
    assert "40 answers, listeners: 4," in without.notes[0]


def test_without_flagged_listeners_nothing_is_decided_where_all_are(folder):
    listeners, _ = read_answers(folder(g=content("guess", wrong=range(1, 15, 2))), key_of())
    with pytest.raises(UserError, match="every listener is flagged"):
        listening_tables(listeners, key_of(), None, without_flagged=True)


def test_ties_that_the_median_holds_turn_no_verdict_round():
    one = Compared(0, 1, Interval(0.0, -0.5, 0.5, 27), 2 / 128, 2 / 128, 30)
    assert _verdict(one, ("first", "second"), key_of("ratings")) == "open (30 listeners)"


def test_ratings_name_no_fewer_listeners_than_their_test_can_decide_with(folder):
    target = folder(**{f"l{n}": ratings(f"l{n}", shift=n % 2) for n in range(6)})
    found = scores(read_answers(target, key_of("ratings", "t2"))[0], key_of("ratings", "t2"))
    # three pairs by Holm: 2 / 2^n <= 0.05 / 3 from n = 7 on
    assert [one.needed >= 7 for one in found.pairs] == [True] * 3


def test_metrics_of_the_study_stand_beside(folder):
    from bench.report.rows.frame import as_frame

    shared = {"metric": KERNEL_DISTANCE, "unit": "1", "status": "done", "corpus": "demo", "length": 64}
    rows = [
        shared | {"kind": "quality", "arm": arm, "seed": 0, "cell_id": arm, "value": value}
        for arm, value in (("good", 0.1), ("bad", 0.3))
    ]
    frame = as_frame(pd.DataFrame(rows).assign(study="toy", version="study=1"))
    listeners, _ = read_answers(folder(a=content("a"), b=content("b")), key_of())
    table = listening_tables(listeners, key_of(), frame)[0]
    assert table.entry("good", "Kernel distance").value == 0.1
    assert table.entry(REAL, "Kernel distance").text == "n/a"


def test_the_key_is_found_by_the_test_that_most_files_answer(folder, tmp_path, monkeypatch):
    target = folder(a=content("a"), b=content("b"), c=ratings("c"))
    monkeypatch.chdir(target)
    with pytest.raises(UserError, match="there is none beside the answers"):
        find_key(None, target)
    write_key(tmp_path / "one.key.json", key_of())
    write_key(tmp_path / "two.key.json", key_of("ratings", "t2"))
    assert find_key(None, target).test == "t1"
    assert find_key(tmp_path / "two.key.json", target).test == "t2"


def test_folders_of_music_from_page_to_tables(demo_music, tmp_path, monkeypatch):
    monkeypatch.setenv("SMDIM_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    songs = sorted((demo_music / "lieder").glob("*.mid"))
    for name, paths in {"one": songs[:3], "two": songs[3:6], "real": songs[6:10]}.items():
        (tmp_path / name).mkdir()
        for path in paths:
            (tmp_path / name / path.name).write_bytes(path.read_bytes())
    words = ["listen", "one", "two", "--reference", "real", "-o", "test.html", "--trials", "15"]
    made = CliRunner().invoke(app, words)
    assert made.exit_code == 0, made.output
    assert "decided with chance 0.8 by" in made.output and "lied" not in Path("test.html").read_text().lower()
    key = find_key(Path("test.key.json"), tmp_path)
    answers = [{"left": left, "right": right, "answer": "left"} for left, right in key.plans[7]]
    Path("answers").mkdir()
    Path("answers/a.json").write_text(json.dumps(content("a", test=key.test, plan=7, answers=answers)))
    read = CliRunner().invoke(app, ["listen", "--collect", "answers", "-o", "tables.md"])
    assert read.exit_code == 0, read.output
    assert "## Listening test: pairs of systems" in Path("tables.md").read_text()
    for bad, message in (
        (["listen"], "allowed: STUDY -o test.html"),
        (["listen", "one", "-o", "x.html"], "no real music beside these; give --reference"),
        (["listen", "one", "-o", "x.html", "--kind", "x"], "allowed: pairs, ratings"),
    ):
        assert message in str(CliRunner().invoke(app, bad).exception)
