"""A caveat where the overlap of notes drawn at random is as high as that of music."""

import pandas as pd
import pytest

from bench.report.pages.caveats import caveats


@pytest.mark.parametrize(("floor", "warned"), [(0.81, True), (0.60, False)])
def test_a_random_floor_above_the_ceiling_is_said(floor: float, warned: bool) -> None:
    rows = [
        {"kind": "reference", "arm": "real-vs-real", "metric": "oa_mean", "value": 0.71},
        {"kind": "reference", "arm": "unigram-tokens", "metric": "oa_mean", "value": floor},
        {"kind": "quality", "arm": "smdim", "metric": "oa_mean", "value": 0.78, "n": 16, "seed": 0},
    ]
    columns = ["kind", "arm", "metric", "value", "n", "seed", "kernel", "device", "session"]
    words = " ".join(caveats(pd.DataFrame(rows, columns=columns)))
    assert ("cannot show here which arm makes music" in words) is warned
