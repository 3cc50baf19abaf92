"""The arms of a plan that its report will compare."""

from __future__ import annotations

from typing import Any

import pytest

from bench.report.analysis.prospects import arms_compared
from bench.report.rows.study import baseline_among
from bench.study.grid import Cell


def test_arms_that_share_a_network_are_one_of_the_arms_compared() -> None:
    def one(arm: str, length: int, seed: int, network: str, drawn: str, **more: Any) -> Cell:
        labels = {"arm": arm, "corpus": "c", "length": length, "seed": seed}
        settings = {"kind": "quality", "parts": {}, "model": network, "sample": {"constraints": drawn}, "seed": seed}
        return Cell("quality", labels, settings | more)

    both = {"sample_lengths": [64, 128]}
    cells = [
        arm
        for seed in (0, 1)
        for arm in (
            one("short", 64, seed, "n1", "none"),
            one("long", 128, seed, "n2", "none"),
            one("one", 128, seed, "n2", "none", **both),  # "long" under another name, which plays 64 tokens too
            one("constrained", 128, seed, "n2", "pitch"),
        )
    ]
    cells.append(Cell("reference", {"arm": "reference", "corpus": "c", "length": 64}, {"kind": "reference"}))
    cells.append(one("long", 128, 0, "n3", "none"))  # the same arm at another value of a sweep
    alone, together = ({"bits_per_token": bits, "kernel_distance": kernel} for bits, kernel in ((0, 0), (1, 2)))
    for baseline in ("short", "elsewhere"):  # the first where what is stated is no arm, as in a report
        assert arms_compared(cells, baseline) == {("c", 64): together, ("c", 128): alone}
    assert arms_compared(cells, "long") == {("c", 64): alone, ("c", 128): together}
    cells[-1] = one("elsewhere constraints=none", 64, 0, "n4", "none")
    assert arms_compared(cells, "elsewhere") == {
        ("c", 64): {"bits_per_token": 2, "kernel_distance": 3},
        ("c", 128): alone,
    }


@pytest.mark.parametrize(
    ("arms", "baseline"),
    [
        (["fam", "transformer", "smdim T=8", "smdim"], "smdim"),
        (["fam", "transformer", "smdim T=8", "smdim T=64"], "smdim T=8"),
        (["fam", "smdim-wide", "transformer"], "transformer"),
        (["fam", "smdim-wide"], "fam"),
        ([], ""),
    ],
)
def test_a_baseline_is_what_is_stated_or_its_first_variant_or_the_transformer(arms: list[str], baseline: str) -> None:
    assert baseline_among(arms, "smdim") == baseline
