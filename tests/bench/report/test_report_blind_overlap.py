"""A caveat where the overlap does not separate music from notes drawn at random."""

import pandas as pd
import pytest

from bench.report.pages.caveats import caveats


@pytest.mark.parametrize(("area", "warned"), [(0.81, True), (0.95, False)])
def test_a_floor_that_is_not_separated_is_named(area: float, warned: bool) -> None:
    rows = [
        {"kind": "reference", "arm": "real-vs-real", "metric": "oa_mean", "value": 0.71},
        {"kind": "reference", "arm": "unigram-tokens", "metric": "oa_mean", "value": 0.6, "auc": area},
        {"kind": "quality", "arm": "smdim", "metric": "oa_mean", "value": 0.78, "n": 16, "seed": 0},
    ]
    columns = ["kind", "arm", "metric", "value", "n", "seed", "kernel", "device", "session", "auc"]
    words = " ".join(caveats(pd.DataFrame(rows, columns=columns).assign(version="")))
    assert ("unigram-tokens (0.81)" in words) is warned
    assert ("cannot show here which arm makes music" in words) is warned
