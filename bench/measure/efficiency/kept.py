"""Whole replicates of a timing session on disk: after an interruption the same session goes on behind them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from bench.errors import first_line
from bench.files import canonical_hash, write_atomically
from bench.measure.efficiency.group import Group
from bench.measure.efficiency.record import Record
from bench.measure.efficiency.throttling import Repeats

FILE = "replicates.json"
"""Its name in the folder of the session's first cell."""
VOLATILE = ("load_1_min", "gpu")
"""What `describe_environment` says of a moment, not of a machine."""
SPENT = ("spent_s", "starts_s", "last_start_s", "last_round_s")
PLANNED = ("sample_s", "samples", "not_planned")
"""What a session holds by length."""


class KeptSession(Protocol):
    """A session, which also has the numbers SPENT and the mappings PLANNED."""

    group: Group
    repeats: Repeats


class KeptReplicates:
    """The file of a session's whole replicates. They are those of the cells with these ids, which name the settings and
    the machine, in this environment; a file of others is not read, and overwritten."""

    def __init__(self, path: Path, cell_ids: Sequence[str], environment: Mapping[str, Any]) -> None:
        self.path = path
        same = {name: value for name, value in environment.items() if name not in VOLATILE}
        self.key = canonical_hash([list(cell_ids), same])

    def keep(self, session: KeptSession) -> None:
        """Write all replicates so far. Where that fails (no space), the progress says so and the session goes on."""
        repeats = session.repeats
        content = {
            "key": self.key,
            "replicates": session.group.replicate + 1,
            "arms": [_content(arm.record) for arm in session.group.arms],
            "spent": {name: getattr(session, name) for name in SPENT},
            "planned": {name: list(getattr(session, name).items()) for name in PLANNED},
            "first_s": repeats.first_s,
            "repeats_s": repeats.repeats_s,
            "given_up": list(repeats.given_up),
            "probes_s": list(repeats.probes_s.items()),
        }
        try:
            write_atomically(self.path, json.dumps(content))
        except OSError as error:
            for arm in session.group.arms:
                session.group.show(arm, f"replicates not kept: {first_line(error)}")

    def take_over(self, session: KeptSession) -> int:
        """Give a session that has not begun the replicates kept, and return their number; 0 where there are none."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0
        if not isinstance(content, dict) or content.get("key") != self.key:
            return 0
        for arm, record in zip(session.group.arms, content["arms"], strict=True):
            arm.record = _record(record)
        for name in SPENT:
            setattr(session, name, content["spent"][name])
        for name in PLANNED:
            setattr(session, name, dict(content["planned"][name]))
        repeats = session.repeats
        repeats.first_s, repeats.repeats_s = content["first_s"], content["repeats_s"]
        repeats.given_up = {(cell_id, (kind, length)) for cell_id, (kind, length) in content["given_up"]}
        repeats.probes_s = dict(content["probes_s"])
        session.group.replicate = content["replicates"] - 1
        return int(content["replicates"])


def _content(record: Record) -> dict[str, Any]:
    """A record as JSON can hold it, without the messages on progress."""
    kept = {event: by_key for event, by_key in record.messages.items() if event != "progress"}
    return {
        "messages": [one for by_key in kept.values() for messages in by_key.values() for one in messages],
        "stopped": list(record.stopped.items()),
        "death": record.death,
        "notes": record.notes,
        "repeated": list(record.repeated.items()),
        "full_speed_probe_s": record.full_speed_probe_s,
    }


def _record(content: Mapping[str, Any]) -> Record:
    """The record that `_content` wrote."""
    record = Record(
        stopped={(kind, length): words for (kind, length), words in content["stopped"]},
        death=tuple(content["death"]) if content["death"] else None,
        notes=content["notes"],
        repeated=Counter({(kind, length): count for (kind, length), count in content["repeated"]}),
        full_speed_probe_s=content["full_speed_probe_s"],
    )
    for message in content["messages"]:
        record.take(message)
    return record
