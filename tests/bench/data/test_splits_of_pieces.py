"""Sides of the split: fractions, copies together, official sides kept."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bench.data.splits import group_copies, hash_split, keep_copies_together

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
