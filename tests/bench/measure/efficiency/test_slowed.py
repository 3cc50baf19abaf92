"""Rounds on a slowed CPU: left out of the times of all arms, or of none."""

from __future__ import annotations

import pytest

from bench.measure.efficiency.record import Record
from bench.measure.efficiency.throttling import keep_slowed


def numbers_left_out(*states):
    """Rounds left out of each arm; its replicates are a string of rounds each: f at full speed, s slowed."""
    records = []
    for replicates in states:
        record = Record(full_speed_probe_s=1.0)
        for number, rounds in enumerate(replicates.split()):
            for state in rounds:
                probe_s = {"f": 1.05, "s": 1.4}[state]
                message = {"event": "samples", "kind": "step", "length": 16, "replicate": number}
                record.take(message | {"samples_s": [probe_s], "probes_s": [1.0, probe_s]})
        records.append(record)
    keep_slowed(records)
    return [len(record.left_out("step", 16)) for record in records]


@pytest.mark.parametrize(
    ("states", "left_out"),
    [
        (("fs fs sf", "ff sf ss"), [3, 3]),  # two replicates each without the slowed rounds
        (("fs fs sf", "ss sf ss"), [0, 0]),  # one: no arm without them
        (("ff ff ff", "ss ss ss"), [0, 0]),
        (("fs", "sf"), [1, 1]),  # where there is one replicate, one is enough
        (("fs", "ss"), [0, 0]),
        (("fs sf fs", "sf"), [3, 1]),  # the second arm died in its second replicate
    ],
)
def test_slowed_rounds_are_left_out_of_all_arms_or_of_none(states, left_out):
    assert numbers_left_out(*states) == left_out


def test_slowed_rounds_at_another_length_are_left_out_all_the_same():
    record = Record(full_speed_probe_s=1.0)
    for length, probes in ((16, (1.4, 1.4)), (32, (1.0, 1.4))):
        for probe_s in probes:
            message = {"event": "samples", "kind": "step", "length": length, "samples_s": [probe_s]}
            record.take(message | {"probes_s": [probe_s, probe_s]})
    keep_slowed([record])
    assert [len(record.left_out("step", length)) for length in (16, 32)] == [0, 1]
