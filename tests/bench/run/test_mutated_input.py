"""The short form of the fuzzing in `make faults`: a few damaged inputs of each reader."""

from pathlib import Path

import pytest
from abc_input import read_abc
from bundle_input import read_bundle
from midi_input import read_midi
from mutation import Reader, fuzz
from study_input import read_study
from table_input import read_table


@pytest.mark.parametrize(
    ("reader", "inputs"),
    [(read_midi, 100), (read_abc, 40), (read_study, 60), (read_bundle, 40), (read_table, 20)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_damaged_input_is_read_or_refused_in_one_line(reader: Reader, inputs: int, tmp_path: Path) -> None:
    found = fuzz(reader, range(inputs), seed=2, folder=tmp_path)
    assert found["refused"] + found["taken"] == inputs
    assert found["refused"] > 0 and found["taken"] > 0
