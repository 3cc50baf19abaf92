"""`make faults`: five thousand damaged inputs for each reader."""

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import mutation
import pytest

pytestmark = pytest.mark.slow
INPUTS = 5_000
PARTS = 20
READERS = [mutation.read_study, mutation.read_store, mutation.read_bundle, mutation.read_midi]


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_five_thousand_damaged_inputs(reader: mutation.Reader, tmp_path: Path) -> None:
    found: Counter[str] = Counter()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for part in pool.map(
            mutation.fuzz_apart, [reader] * PARTS, [INPUTS // PARTS] * PARTS, range(PARTS), [tmp_path] * PARTS
        ):
            found += part
    print(f"\n{reader.__name__}: {INPUTS} inputs, {found['refused']} refused in one line, {found['taken']} read")
    assert found["refused"] + found["taken"] == INPUTS
    assert found["refused"] > INPUTS // 20
