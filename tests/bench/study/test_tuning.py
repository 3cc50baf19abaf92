"""Sweeps: what is chosen, what is tried beyond an edge, what is shared; and what a study file may ask for."""

import math
from pathlib import Path

import pytest

from bench.errors import UserError
from bench.study.content import StudyFile
from bench.study.grid import load_study
from bench.study.tuning import Point, Tried, beyond, choose, extensions, neighbours, point_words, shared_point

LR = "train.learning_rate"


def tried(values: dict[float, tuple[float, ...]]) -> list[Tried]:
    return [
        Tried({LR: value}, bits, "" if all(map(math.isfinite, bits)) else "diverged") for value, bits in values.items()
    ]


def anything(point: Point) -> Point | None:
    return point


def test_the_lowest_mean_over_seeds_is_chosen_and_its_lead_has_an_error() -> None:
    choice = choose(tried({1.0: (4.0, 4.2), 2.0: (3.9, 4.1), 4.0: (4.5, 4.6)}))
    assert choice.best is not None and choice.best.point == {LR: 2.0}
    assert choice.edges == {}
    assert (round(choice.gap, 6), round(choice.gap_error, 6)) == (0.1, 0.0)
    assert choice.why == "chosen by 0.100 bits, se 0.000"


def test_a_lead_within_its_error_is_a_flat_optimum() -> None:
    choice = choose(tried({1.0: (4.03, 3.994), 2.0: (4.0, 4.0)}))  # differences 0.030 and -0.006: mean 0.012, se 0.018
    assert choice.why == "chosen by 0.012 bits, se 0.018: flat optimum"
    assert choose(tried({1.0: (4.1,), 2.0: (4.0,)})).why == "chosen by 0.100 bits, one seed: no standard error"


def test_of_equal_points_the_smaller_is_chosen() -> None:
    choice = choose(tried({4.0: (4.0,), 2.0: (4.0,), 1.0: (5.0,)}))
    assert choice.best is not None and choice.best.point == {LR: 2.0}


def test_a_diverged_seed_keeps_its_point_from_being_chosen() -> None:
    choice = choose(tried({1.0: (3.0, math.inf), 2.0: (4.0, 4.0), 4.0: (5.0, 5.0)}))
    assert choice.best is not None and choice.best.point == {LR: 2.0} and choice.edges == {}
    nothing = choose(tried({1.0: (math.inf,), 2.0: (math.inf,)}))
    assert nothing.best is None and nothing.why == "nothing to choose from: diverged"


@pytest.mark.parametrize(
    ("values", "side", "next_one"),
    [
        ((5e-4, 1e-3, 2e-3), 1, 4e-3),
        ((1.0, 3.0, 9.0), -1, 1 / 3),
        ((0.0, 0.1, 0.3), 1, 0.5),
        ((1.0, 2.0, 10.0), 1, 18.0),
    ],
)
def test_the_value_beyond_an_edge_follows_the_grid(values: tuple[float, ...], side: int, next_one: float) -> None:
    assert beyond(values, side) == pytest.approx(next_one)


def test_an_optimum_at_the_edge_is_extended_and_one_inside_is_not() -> None:
    at_edge = choose(tried({0.001: (5.0,), 0.002: (4.0,)}))
    assert at_edge.edges == {LR: 1}
    assert extensions(at_edge, anything) == [{LR: 0.004}]
    assert extensions(at_edge, lambda point: None) == []  # the setting refuses it: flagged, not extended
    assert extensions(choose(tried({1.0: (5.0,), 2.0: (4.0,), 4.0: (5.0,)})), anything) == []


def test_whole_numbers_stay_whole_and_words_have_no_edge() -> None:
    batch = choose([Tried({"train.batch": size}, (float(size),)) for size in (8, 16)])
    assert extensions(batch, anything) == [{"train.batch": 4}]
    words = choose([Tried({"diffusion.loss": name}, (bits,)) for name, bits in (("a", 1.0), ("b", 2.0))])
    assert words.edges == {} and extensions(words, anything) == [] and neighbours(words) == []


def test_two_settings_are_extended_one_at_a_time() -> None:
    grid = [
        Tried({LR: lr, "train.ema": ema}, (bits,))
        for lr, ema, bits in ((1.0, 0.1, 4.0), (1.0, 0.2, 5.0), (2.0, 0.1, 6.0), (2.0, 0.2, 7.0))
    ]
    assert extensions(choose(grid), anything) == [{LR: 0.5, "train.ema": 0.1}, {LR: 1.0, "train.ema": 0.05}]
    assert neighbours(choose(grid)) == [{LR: 2.0, "train.ema": 0.1}, {LR: 1.0, "train.ema": 0.2}]


def test_the_shared_point_has_the_lowest_mean_over_arms_of_those_all_tried() -> None:
    first = choose(tried({1.0: (4.0,), 2.0: (4.1,), 4.0: (4.6,)}))
    second = choose(tried({1.0: (5.4,), 2.0: (5.0,), 4.0: (4.9,), 8.0: (1.0,)}))  # 8 was tried by this arm alone
    assert shared_point([first, second]) == {LR: 2.0}
    without = choose(tried({1.0: (math.inf,), 2.0: (math.inf,), 4.0: (math.inf,)}))
    assert shared_point([first, second, without]) == {LR: 2.0}  # an arm without any figure does not count
    level = choose(tried({1.0: (4.0,), 2.0: (5.0,)})), choose(tried({1.0: (5.0,), 2.0: (4.0,)}))
    assert shared_point(level) == {LR: 1.0}  # of equal ones the smaller
    apart = choose(tried({1.0: (4.0,), 2.0: (math.inf,)})), choose(tried({1.0: (math.inf,), 2.0: (4.0,)}))
    assert shared_point(apart) is None


def test_points_in_words() -> None:
    assert point_words({LR: 5e-4, "train.batch": 8}) == "lr 0.0005, batch 8"


FILE = """\
name: tiny
question: which rate
baseline: {train: {steps: 10}}
axes:
  arm: [smdim, transformer, {name: own, arm: mamba, train: {learning_rate: 0.5}}]
  train.batch: [4]
tune: TUNE
seeds: [0, 1]
measure: {quality: {}}
"""


def study(folder: Path, tune: str):
    path = folder / "tiny.yaml"
    path.write_text(FILE.replace("TUNE", tune))
    return load_study(path)


def test_values_are_read_as_the_setting_reads_them_and_an_arms_own_stands(tmp_path: Path) -> None:
    found = study(tmp_path, "{train.learning_rate: [4e-3, 1e-3], seeds: [7], share: 0.5}")
    grids = [found.grid_of(member)[LR] for member in found.combinations()]
    assert grids == [[0.001, 0.004], [0.001, 0.004], [0.5]]
    assert [found.at(member, {LR: 0.25}).train.learning_rate for member in found.combinations()] == [0.25] * 3
    again = StudyFile.model_validate(found.content.model_dump(mode="json"))  # as `retry` reads study.json
    assert again.tune == found.content.tune


@pytest.mark.parametrize(
    ("tune", "words"),
    [
        ("{train.learning_rate: [0.1]}", "one value leaves nothing to choose; give two or more"),
        ("{train.learning_rat: [1, 2]}", "did you mean 'train.learning_rate'? allowed: diffusion.block"),
        ("{tokenizer.preset: [1, 2]}", "is not a setting that can be tuned"),
        ("{train.learning_rate: [1, -2]}", "tune.train.learning_rate: input should be greater than 0 (given: -2)"),
        ("{train.learning_rate: [1, 1.0]}", "lists a value twice"),
        ("{train.learning_rate: 5}", "input should be a valid list"),
        ("{train.learning_rate: [1, 2], share: 0}", "tune.share: input should be greater than 0"),
        ("{train.learning_rate: [1, 2], share: 1.5}", "tune.share: input should be less than or equal to 1"),
        ("{train.learning_rate: [1, 2], seeds: [1, 5]}", "tune.seeds: 1 is of the study too"),
        ("{seeds: [5]}", "names no setting"),
        ("{train.steps: [10, 20]}", "is the budget, of which a sweep takes a share"),
        ("{train.batch: [2, 4]}", "varies on an axis already"),
    ],
)
def test_a_wrong_sweep_is_one_line_with_what_is_allowed(tmp_path: Path, tune: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        study(tmp_path, tune)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_the_shipped_sweeps_leave_the_study_its_own_seeds() -> None:
    for name in ("quickstart_rates", "tune_pop909"):
        content = load_study(name).content
        assert content.tune is not None and not set(content.tune.seeds) & set(content.seeds)


def test_values_that_are_mappings_are_chosen_from() -> None:
    points = [{"diffusion.powers": {"Pitch": 1.0}}, {"diffusion.powers": {"Pitch": 0.5}}]
    choice = choose([Tried(points[0], (2.0,)), Tried(points[1], (1.9,))])
    assert choice.best is not None and choice.best.point == points[1] and choice.at(points[0]) is choice.tried[0]
