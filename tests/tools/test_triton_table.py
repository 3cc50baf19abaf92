"""The table of the compiled Triton scan: how a listing is counted and what is called a rise. No Triton is needed."""

from __future__ import annotations

import pytest
from triton_compiled import executed
from triton_table import AIMS, missed, rises

NESTED = """
        /*0000*/                   MOV R1, c[0x0][0x28] ;     /* 0x00000a0000017a02 */
        /*0010*/              @!P0 LDG.E.128 R4, [R2.64] ;
        /*0020*/                   FADD R5, R5, R4 ;
        /*0030*/                   FFMA R5, R5, R4, R5 ;
        /*0040*/               @P1 BRA 0x30 ;
        /*0050*/               @P2 BRA 0x10 ;
        /*0060*/                   EXIT ;
        /*0070*/                   BRA 0x70;
        /*0080*/                   NOP;
"""
"""1 instruction before two loops, 3 in the outer alone, 2 in both, 2 after them (the branch to itself that ends a
listing is one)."""


def test_instructions_count_as_often_as_their_loops_run():
    assert executed(NESTED, [10, 4]) == 1 + 10 * 3 + 10 * 4 * 2 + 2


@pytest.mark.parametrize("trips", [[], [10], [10, 4, 2]])
def test_a_listing_with_other_loops_than_expected_is_refused(trips):
    with pytest.raises(ValueError, match=r"loops at depths \[1, 2\], expected one at each of"):
        executed(NESTED, trips)


def row(label: str, direction: str = "forward", **changed: str) -> dict[str, str]:
    return {
        "capability": "90", "pass": label, "kernel": "outputs", "type": "bfloat16", "N": "16", "direction": direction,
        "layout": "time", "registers": "64", "spills": "0", "shared": "0", "instructions": "20.00",
    } | changed  # fmt: skip


def good() -> list[dict[str, str]]:
    return [row(label, direction) for label in AIMS for direction in ("forward", "reversed")]


def test_equal_or_lower_figures_are_no_rise():
    lower = [one | {"instructions": "19.00"} for one in good()]
    assert rises(good(), good()) == [] and rises(lower, good()) == [] and missed(good()) == []


@pytest.mark.parametrize(
    ("name", "value"), [("registers", "65"), ("spills", "2"), ("shared", "16"), ("instructions", "20.01")]
)
def test_a_figure_that_rises_is_named(name, value):
    now = good()
    now[0] |= {name: value}
    before = now[0] | {name: row("forward")[name]}
    assert rises(now, good()) == [
        f"90 forward outputs bfloat16 16 forward time: {name} {value}, committed {before[name]}"
    ]


def test_a_row_of_one_table_alone_is_named():
    assert rises(good()[1:], good()) == ["90 forward outputs bfloat16 16 forward time: in one table alone"]


def test_missed_aims_are_named():
    now = [row("forward", instructions="25.10"), row("forward", "reversed", instructions="32.70"), *good()[2:]]
    assert missed(now) == [
        "forward: 25.1 instructions for each channel and step, aim 25",
        "forward, reversed: 1.30 times the other direction, aim 1.3",
    ]
    assert missed([*good(), row("forward", N="32", spills="4")]) == ["outputs: spills in 1 rows up to N 32"]
    assert missed([*good(), row("forward", N="64", spills="4")]) == []
