"""Sides of the split: fractions, copies together, official sides kept."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data import load_corpus
from bench.data.pieces import CorpusError
from bench.data.splits import fold_split, group_copies, hash_split, keep_copies_together, parse_fold

NAMES = st.lists(st.text("abcdef0123456789", min_size=1, max_size=6), unique=True, min_size=3, max_size=60)


def test_forty_pieces_make_32_4_4() -> None:
    sides = hash_split([f"piece {index}" for index in range(40)])
    assert Counter(sides.values()) == {"train": 32, "validation": 4, "test": 4}


def test_three_pieces_are_one_on_each_side_and_two_are_all_train() -> None:
    assert Counter(hash_split(["a", "b", "c"]).values()) == {"train": 1, "validation": 1, "test": 1}
    assert set(hash_split(["a", "b"]).values()) == {"train"}


@given(NAMES)
def test_every_piece_has_a_side_whatever_the_order(names: list[str]) -> None:
    sides = hash_split(names)
    assert set(sides) == set(names)
    assert set(sides.values()) == {"train", "validation", "test"}
    assert hash_split(reversed(names)) == sides
    held_out = Counter(sides.values())["test"]
    assert held_out == max(1, round(0.1 * len(names)))


@given(NAMES, st.text("xyz", min_size=7, max_size=9))
def test_one_more_piece_moves_at_most_three_others(names: list[str], new: str) -> None:
    before, after = hash_split(names), hash_split([*names, new])
    assert sum(before[name] != after[name] for name in names) <= 3


def test_strata_are_split_alike_alone_and_together() -> None:
    lieder = [f"lieder/{index}" for index in range(20)]
    irish = [f"irish/{index}" for index in range(10)]
    strata = {name: name.split("/")[0] for name in lieder + irish}
    whole = hash_split(lieder + irish, strata)
    alone = hash_split(lieder, strata)
    assert {name: whole[name] for name in lieder} == alone
    assert Counter(whole[name] for name in irish) == {"train": 8, "validation": 1, "test": 1}


def test_copies_form_groups_through_chains() -> None:
    groups = group_copies({"a": ["1", "x"], "b": ["2", "y"], "c": ["2", "x"], "d": ["4", "z"]})
    assert groups == {"a": "a", "b": "a", "c": "a", "d": "d"}


def test_official_copies_go_to_the_held_out_side() -> None:
    official = {"a": "train", "b": "test", "c": "train", "d": "validation"}
    groups = {"a": "a", "b": "a", "c": "c", "d": "c"}
    assert keep_copies_together(official, groups) == {"a": "test", "b": "test", "c": "validation", "d": "validation"}


def test_every_group_is_test_in_one_fold_and_validation_in_the_one_before() -> None:
    groups = [f"song/{index}" for index in range(23)]
    sides = [fold_split(groups, index, 5) for index in range(5)]
    for group in groups:
        own = [side[group] for side in sides]
        assert sorted(own) == ["test", "train", "train", "train", "validation"]
        assert own[own.index("test") - 1] == "validation"
    assert sorted(Counter(side.values())["test"] for side in sides) == [4, 4, 5, 5, 5]
    more = fold_split([*groups, "song/new"], 0, 5)
    assert sum(more[group] != sides[0][group] for group in groups) <= 5


def test_folds_deal_each_stratum_by_itself() -> None:
    strata = {name: name[0] for name in [f"a{i}" for i in range(20)] + [f"b{i}" for i in range(10)]}
    whole = fold_split(strata, 2, 5, strata)
    assert {name: side for name, side in whole.items() if name[0] == "a"} == fold_split(
        [name for name in strata if name[0] == "a"], 2, 5
    )
    assert Counter(side for name, side in whole.items() if name[0] == "b") == {"train": 6, "validation": 2, "test": 2}


@pytest.mark.parametrize("words", ["5of5", "0of2", "0", "of5", "-1of5", "1of", "aofb"])
def test_words_that_are_no_fold(words: str) -> None:
    with pytest.raises(ValueError, match="is no fold: allowed: INDEXofFOLDS as in 0of5, from 3 folds on"):
        parse_fold(words)


def test_a_fold_of_a_corpus_by_name(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    for index in range(10):
        write_midi(tmp_path / "a@b" / f"{index}.mid", [(beat, 1.0, 50 + index + beat % 3, 64) for beat in range(8)])
    folds = [load_corpus(f"folder:{tmp_path}/a@b@{index}of5") for index in range(5)]
    assert [len(corpus.of_split("test")) for corpus in folds] == [2] * 5
    assert len({piece.id for corpus in folds for piece in corpus.of_split("test")}) == 10
    assert folds[2].label == f"folder:{tmp_path}/a@b@2of5" and folds[2].split_rule.startswith("fold 2 of 5 (from 0)")
    assert len({corpus.fingerprint for corpus in folds}) == 5
    with pytest.raises(CorpusError, match="20 folds need as many different pieces, and there are 10"):
        load_corpus(f"folder:{tmp_path}/a@b@0of20")
    with pytest.raises(CorpusError, match="'7of5' is no fold"):
        load_corpus("demo/lieder@7of5")
