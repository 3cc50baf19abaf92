"""Arms: order, looks that stay the same from study to study, and rotations of one cycle."""

from __future__ import annotations

import pandas as pd
import pytest

from bench.report.analysis.patterns import cycle_of, families, layers_of, rotation_note
from bench.report.rows.arms import LOOKS, arm_order, looks


@pytest.mark.parametrize(
    ("pattern", "cycle"),
    [
        ("MFA*8", "AMF*8"),
        ("FAM*8", "AMF*8"),
        ("AMF*8", "AMF*8"),
        ("MAF*8", "AFM*8"),
        ("M(bidirectional)F*6", "FM(bidirectional)*6"),
        ("M2FA*4", "AMMF*4"),
        ("(MF)2A*4", "AMFMF*4"),
        ("MFA", None),
        ("", None),
    ],
)
def test_cycle_of_a_pattern(pattern, cycle):
    assert cycle_of(pattern) == cycle


def test_rotations_are_named_and_others_are_not():
    note = rotation_note({"smdim": "MFA*8", "fam": "FAM*8", "maf": "MAF*8", "deep": "MFA*12"})
    assert "smdim (MFA*8), fam (FAM*8)" in note
    assert "maf" not in note and "deep" not in note
    assert rotation_note({"smdim": "MFA*8", "copy": "MFA*8"}) == ""


def test_an_arm_looks_the_same_in_every_study():
    few, many = looks(["smdim", "mamba"]), looks(["zeta", "mamba", "alpha", "smdim"])
    assert few["smdim"] == many["smdim"] and few["mamba"] == many["mamba"]
    assert len({look.colour for look in many.values()}) == 4
    assert len({look.marker for look in many.values()}) == 4


def test_two_dozen_arms_are_all_told_apart():
    shown = looks([f"arm-{number}" for number in range(24)])
    assert len({(look.colour, look.marker) for look in shown.values()}) == 24
    assert len({(look.colour, str(look.dashes)) for look in shown.values()}) == 24


def test_families_go_by_what_mixes_tokens():
    patterns = {"smdim": "MFA*2", "fam": "FAM*2", "amf": "AMF*2", "late": "(MF)2A2", "only": "AF*3", "none": "MF*3"}
    patterns |= {"conformer": "FACF*2", "both": "M(bidirectional)FA*2"}
    patterns |= {"own": "own stem: bert(depth=3)"}  # nothing says how a network without letters mixes tokens
    assert families([*patterns, "files"], patterns) == [
        ("orders of one block", ["smdim", "fam", "amf"]),
        ("attention mixed in", ["late", "both"]),
        ("without attention", ["none"]),
        ("attention only", ["only", "conformer"]),
        ("other networks", ["own", "files"]),
    ]
    many = {f"arm-{number}": "MF*3" for number in range(11)}
    assert [len(members) for _, members in families(many, many)] == [6, 5]


def test_more_arms_than_looks_still_all_have_one():
    names = [f"arm-{number}" for number in range(len(LOOKS) + 3)]
    assert set(looks(names)) == set(names)


def test_arms_stand_as_the_study_has_them_and_references_never():
    frame = pd.DataFrame(
        {"kind": ["quality", "quality", "reference", "quality"], "arm": ["b", "mamba", "grammar", "a"]}
    )
    assert arm_order(frame) == ["b", "mamba", "a"]


def test_layers_of_patterns_with_and_without_a_repeat():
    assert layers_of("MFA*2") == ("M", "F", "A", "M", "F", "A")
    assert layers_of("A2(MF)2") == ("A", "A", "M", "F", "M", "F")
    assert layers_of("") == ()
