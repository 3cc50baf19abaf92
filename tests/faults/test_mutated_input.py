"""`make faults`: twenty thousand damaged inputs for each reader, others on each run.

`FAULTS_SEED` repeats a run, with `FAULTS_INPUT` one input of it.
"""

import os
import random
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import pytest
from abc_input import read_abc
from bundle_input import read_bundle
from midi_input import read_midi
from mutation import Reader, fuzz, fuzz_apart
from study_input import read_study
from table_input import read_table

pytestmark = pytest.mark.slow
INPUTS = 20_000
PART = 1_000
SEED = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(2**32))
LEAST_TAKEN = 0.2
"""Share of the inputs that must be read, or the damage reaches no deeper than the first check."""


@pytest.mark.parametrize(
    "reader", [read_midi, read_abc, read_study, read_bundle, read_table], ids=lambda one: one.__name__
)
def test_twenty_thousand_damaged_inputs(reader: Reader, tmp_path: Path) -> None:
    print(f"\n{reader.__name__}: FAULTS_SEED={SEED}", flush=True)
    if one := os.environ.get("FAULTS_INPUT"):
        fuzz(reader, [int(one)], SEED, tmp_path / "one")
        return
    parts = [range(start, start + PART) for start in range(0, INPUTS, PART)]
    found: Counter[str] = Counter()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        try:
            for part in pool.map(
                fuzz_apart, [reader] * len(parts), parts, [SEED] * len(parts), [tmp_path] * len(parts)
            ):
                found += part
        except BrokenProcessPool as error:
            last = sorted(int(path.read_text()) for path in tmp_path.glob("*.number"))
            raise AssertionError(f"a process died at one of the inputs {last} of FAULTS_SEED={SEED}") from error
    print(f"{INPUTS} inputs: {found['refused']} refused in one line, {found['taken']} read", flush=True)
    assert found["refused"] + found["taken"] == INPUTS
    assert found["taken"] > LEAST_TAKEN * INPUTS
