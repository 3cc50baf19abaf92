"""`make faults`: five thousand damaged inputs for each reader."""

from pathlib import Path

import mutation
import pytest

pytestmark = pytest.mark.slow
INPUTS = 5_000
READERS = [mutation.read_study, mutation.read_store, mutation.read_bundle, mutation.read_midi]


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_five_thousand_damaged_inputs(reader: mutation.Reader, tmp_path: Path) -> None:
    found = mutation.fuzz(reader, INPUTS, seed=1, folder=tmp_path)
    print(f"\n{reader.__name__}: {INPUTS} inputs, {found['refused']} refused in one line, {found['taken']} read")
    assert found["refused"] + found["taken"] == INPUTS
    assert found["refused"] > INPUTS // 20
