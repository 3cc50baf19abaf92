"""The short form of the fuzzing in `make faults`: damaged studies, results, bundles and MIDI files."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "faults"))
import mutation


@pytest.mark.parametrize(
    ("reader", "inputs"),
    [
        (mutation.read_study, 60),
        (mutation.read_store, 60),
        (mutation.read_bundle, 60),
        (mutation.read_midi, 100),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_damaged_input_is_read_or_refused_in_one_line(reader: mutation.Reader, inputs: int, tmp_path: Path) -> None:
    found = mutation.fuzz(reader, inputs, seed=2, folder=tmp_path)
    assert found["refused"] + found["taken"] == inputs
    assert found["refused"] > 0
