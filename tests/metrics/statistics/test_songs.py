"""Seeds and songs both random: statsmodels' mixed model, the printed figures, and simulation where a component is 0."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from metrics.statistics.blocks import BlockModel
from metrics.statistics.differences import satterthwaite
from metrics.statistics.simultaneous import Family
from metrics.statistics.songs import SongModel, half_widths, song_freedom, song_totals, song_variances

# differences of two arms, 4 seeds by 8 songs
MIXED = np.array(
    [
        [0.36, 0.12, 0.40, 0.38, 0.70, -0.29, 0.75, 0.42],
        [0.38, 0.18, 0.89, 0.49, 0.48, -0.08, 1.02, 0.37],
        [0.22, 0.46, 0.96, 0.54, 0.68, 0.13, 1.22, 0.52],
        [0.19, 0.22, 0.30, -0.01, 0.47, -0.33, 0.86, -0.11],
    ]
)


def totals(rate_ASG, token_G):
    """Arms a, b, ... with these ratios by seed and song."""
    return {
        "abcdefghi"[a]: {
            s: {f"song{g}": (rate * token_G[g], token_G[g]) for g, rate in enumerate(row)} for s, row in enumerate(rows)
        }
        for a, rows in enumerate(rate_ASG)
    }


def test_statsmodels_mixed_model_where_all_components_are_positive():
    # statsmodels 0.15.0: mixedlm("d ~ 1", groups=1, vc_formula={"seed": "0+C(seed)", "song": "0+C(song)"}), REML:
    # estimate 0.4028125, standard error 0.1400187; components 0.024881 (seed), 0.101201 (song), 0.0235137
    model = SongModel.fit(totals(np.stack([np.zeros((4, 8)), MIXED]), np.full(8, 50.0)))
    found = model.against("a")["b"]
    assert found.value == pytest.approx(0.4028125)
    assert found.components.seed == pytest.approx(0.024881, rel=1e-3)
    assert found.components.song == pytest.approx(0.101201, rel=1e-3)
    assert found.components.residual == pytest.approx(0.0235137, rel=1e-3)
    # (MS_seed + MS_song) / (S G) keeps the MS_residual / (S G) that the exact formula takes off
    assert found.standard_error**2 - 0.0235137 / 32 == pytest.approx(0.1400187**2, rel=1e-4)
    by_seed, by_song = MIXED.mean(axis=1).var(ddof=1) / 4, MIXED.mean(axis=0).var(ddof=1) / 8
    freedom = (by_seed + by_song) ** 2 / (by_seed**2 / 3 + by_song**2 / 7)
    assert found.freedom == pytest.approx(freedom)
    assert found.interval.half_width == pytest.approx(stats.t.isf(0.025, freedom) * found.standard_error, rel=1e-6)
    assert found.seeds_alone == (pytest.approx(math.sqrt(by_seed)), 3.0)
    assert (found.seeds, found.songs) == (4, 8)


def test_the_estimate_is_the_difference_of_the_printed_ratios():
    generator = np.random.default_rng(1)
    tokens = np.array([100.0, 900.0, 30.0, 400.0])
    rates = generator.normal(3, 1, (2, 3, 4))
    printed = (rates @ tokens / tokens.sum()).mean(axis=1)  # sums over sums, mean over seeds
    model = SongModel.fit(totals(rates, tokens), scale=1 / math.log(2))
    assert model.means == pytest.approx({"a": printed[0] / math.log(2), "b": printed[1] / math.log(2)})
    assert model.against("a")["b"].value == pytest.approx((printed[1] - printed[0]) / math.log(2))


def test_the_part_of_the_seeds_is_the_block_model():
    generator = np.random.default_rng(2)
    tokens = np.array([100.0, 900.0, 300.0, 400.0, 250.0])
    rates = generator.normal(0, 1, (3, 3, 1)) + np.zeros((3, 3, 5))  # all songs alike: nothing is between songs
    song, block = (
        SongModel.fit(totals(rates, tokens)),
        BlockModel.fit({name: dict(enumerate(row[:, 0])) for name, row in zip("abc", rates, strict=True)}),
    )
    for pair, found in song.pairs().items():
        assert found.interval.low == pytest.approx(block.pairs()[pair].interval.low, rel=1e-5)
        assert found.freedom == pytest.approx(4)


def test_long_songs_count_as_fewer():
    assert song_freedom(np.full(25, 1 / 25)) == pytest.approx(24)
    assert song_freedom(np.array([0.5, 0.5, 0.0, 0.0])) == pytest.approx(1)


def test_satterthwaite_on_paper():
    assert satterthwaite((2.0, 2.0), (2, 6)) == pytest.approx(16 / (4 / 2 + 4 / 6))
    assert satterthwaite((0.0, 3.0), (2, 24)) == pytest.approx(24) and math.isinf(satterthwaite((0.0, 0.0), (2, 6)))


def test_songs_widen_the_interval_that_seeds_alone_give():
    generator = np.random.default_rng(3)
    rates = generator.normal(0, 0.01, (2, 3, 1)) + generator.normal(0, 1, (2, 1, 12)) + np.zeros((2, 3, 12))
    model = SongModel.fit(totals(rates, np.full(12, 100.0)))
    wide, narrow = model.against("a")["b"], model.block.against("a")["b"]
    assert wide.interval.half_width > 5 * narrow.interval.half_width and wide.paired == narrow.paired


def test_contrasts_have_songs_too():
    generator = np.random.default_rng(4)
    model = SongModel.fit(totals(generator.normal(0, 1, (3, 3, 6)), np.full(6, 10.0)))
    pairs, found = model.pairs(), model.contrast(["b"], ["a"])
    assert found.value == pytest.approx(-pairs["a", "b"].value)
    assert found.standard_error == pytest.approx(pairs["a", "b"].standard_error) and found.family.kind == "chosen"
    both = model.contrast(["b", "c"], ["a"])
    assert both.value == pytest.approx(-(pairs["a", "b"].value + pairs["a", "c"].value) / 2)


def test_songs_that_not_all_have_are_left_out():
    rates = np.random.default_rng(5).normal(0, 1, (2, 3, 4))
    given = totals(rates, np.full(4, 10.0))
    del given["b"][1]["song3"]
    given["a"][0]["song2"] = (math.nan, 10.0)
    model = SongModel.fit(given)
    assert model.songs == ("song0", "song1") and model.note == "2 songs left out that not every arm has at every seed"


def test_one_song_has_no_interval():
    found = SongModel.fit(totals(np.zeros((2, 3, 1)), [10.0])).against("a")["b"]
    assert found.interval.reason == "one song has no interval" and math.isnan(found.interval.low)
    assert found.value == 0.0 and math.isnan(found.p_value)


def test_nothing_in_common_is_refused():
    with pytest.raises(ValueError, match="no song that every arm has"):
        SongModel.fit({"a": {0: {"x": (1.0, 2.0)}}, "b": {0: {"y": (1.0, 2.0)}}})
    with pytest.raises(ValueError, match="no arm has songs"):
        SongModel.fit({})


def test_windows_are_summed_by_song():
    sums = song_totals(["x", "y", "x", "y"], [1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, math.nan])
    assert sums == {"x": (4.0, 40.0), "y": (2.0, 20.0)}


def test_songs_never_narrow_the_interval_of_seeds_alone():
    # two degrees between seeds: with a small variance between songs Satterthwaite's degrees rise from 2 to 5.7
    parts, family = (1.0, 0.7), Family("baseline", 2)
    assert satterthwaite(parts, (2, 24)) == pytest.approx(5.56, abs=0.01)
    assert half_widths(*parts, 2, 24, family, 0.95) == pytest.approx(stats.t.isf(0.025, 2))
    assert half_widths(1.0, 9.0, 2, 24, family, 0.95) > stats.t.isf(0.025, 2)


@pytest.mark.parametrize(("seed_sd", "song_sd"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
def test_false_calls_stay_rare_where_a_component_is_nothing(seed_sd, song_sd):
    generator, tables = np.random.default_rng(6), 20_000
    rate_NSG = generator.normal(0, math.sqrt(2), (tables, 3, 20))  # of the difference of two arms at three seeds
    rate_NSG += math.sqrt(2) * seed_sd * generator.standard_normal((tables, 3, 1))
    rate_NSG += math.sqrt(2) * song_sd * generator.standard_normal((tables, 1, 20))
    estimate = rate_NSG.mean(axis=(1, 2))
    of_seeds = rate_NSG.mean(axis=2).var(axis=1, ddof=1) / 3
    of_songs = song_variances(rate_NSG - estimate[:, None, None], np.full((1, 20), 1 / 20))[0] / 20
    half = half_widths(of_seeds, of_songs, 2, 19.0, Family("baseline", 2), 0.95)
    assert (np.abs(estimate) > half).mean() <= 0.054
    first = {"a": np.zeros((3, 20)), "b": rate_NSG[0]}  # the same arithmetic as the model's
    found = SongModel.fit(totals(np.stack(list(first.values())), np.full(20, 100.0))).against("a")["b"]
    assert (found.value, found.interval.half_width) == (pytest.approx(estimate[0]), pytest.approx(half[0]))


def test_windows_alone_as_replicates_would_make_false_calls():
    # the fault that the model is there for: a t test over windows takes one draw of seeds for the truth
    generator = np.random.default_rng(7)
    rates = generator.normal(0, 1, (500, 2, 3, 1)) + generator.normal(0, 0.5, (500, 2, 3, 64))
    differences = (rates[:, 1] - rates[:, 0]).mean(axis=1)
    wrong = np.abs(stats.ttest_1samp(differences, 0, axis=1).statistic) > Family("baseline", 2).critical(63)
    assert wrong.mean() > 0.7
    right = [
        SongModel.fit(totals(one, np.full(64, 100.0))).against("a")["b"].interval.excludes(0.0) for one in rates[:200]
    ]
    assert np.mean(right) <= 0.06
