"""Matching: arms of equal parameters or equal FLOPs, what was changed, and refusals."""

from __future__ import annotations

import math

import pytest

from architectures import CATALOG, BackboneConfig, build_config, count_parameters, resolve
from architectures.matching import MatchingError, match

SIZE = {"width": 128, "layers": 6}
ARMS = {name: resolve(name, 100, **SIZE) for name in ("smdim", "transformer", "mamba", "afm", "mamba2", "hyena")}


@pytest.mark.parametrize(("by", "length"), [("params", None), ("flops", 2048)])
def test_arms_come_within_a_percent_of_the_reference(by, length):
    matched = match(ARMS, by=by, reference="smdim", length=length)
    goal = matched["smdim"].parameters if by == "params" else matched["smdim"].flops
    for arm in matched.values():
        built = build_config(arm.config)
        value = count_parameters(built) if by == "params" else built.flops(2048).total
        assert abs(value / goal - 1) <= 0.01
        assert value / goal - 1 == pytest.approx(arm.mismatch)
    assert matched["smdim"].config == ARMS["smdim"] and matched["smdim"].changed == ""


def test_only_sizes_move_and_the_changes_are_told():
    matched = match(ARMS, reference="smdim")
    for name, arm in matched.items():
        before, after = ARMS[name], arm.config
        assert BackboneConfig(**{**after.to_dict(), "width": before.width, "hidden": before.hidden}) == before
        assert ("width" in arm.changed) == (after.width != before.width)
        assert ("feed-forward" in arm.changed) == (after.hidden != before.hidden)
    assert matched["afm"].changed == "" and math.isnan(matched["afm"].flops)


def test_every_catalog_arm_can_be_matched_to_smdim():
    arms = {name: resolve(name, 200, width=128) for name in CATALOG}
    matched = match(arms, reference="smdim", tolerance=0.01)
    assert max(abs(arm.mismatch) for arm in matched.values()) <= 0.01


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"by": "flops", "reference": "smdim"}, "needs a length"),
        ({"reference": "other"}, "no reference arm 'other'; arms: smdim"),
        ({"by": "size", "reference": "smdim"}, "allowed: params, flops"),
    ],
)
def test_what_cannot_be_matched_is_refused(request_, says):
    with pytest.raises(MatchingError, match=says):
        match({"smdim": ARMS["smdim"]}, **request_)


def test_an_attention_only_arm_has_no_fine_knob_and_says_so():
    with pytest.raises(MatchingError, match=r"arm attention cannot reach .* parameters within 1.00%; nearest is"):
        match({"attention": resolve("A*12", 100), "small": resolve("F", 100, width=2)}, reference="small")
