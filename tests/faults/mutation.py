"""Damaged input by the thousand: whatever is read, the answer is a result or one line, never a traceback or a hang.

Each reader (`*_input.py`) draws an input, has the product read it, writes what was read again and compares. An input is
a function of the seed and its number alone, so a failure is repeated by `FAULTS_SEED=... FAULTS_INPUT=... make faults`.
"""

from __future__ import annotations

import copy
import faulthandler
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

from bench.data.reading import UnreadableError
from bench.errors import UserError
from metrics import NotesError
from metrics.music.abc import AbcError
from metrics.music.midi import MidiError

LONGEST_S = 10
"""Computing time of one input; where the processor is shared it takes longer."""
REFUSALS = (UserError, UnreadableError, NotesError, MidiError, AbcError)
GIVEN, RESULTS = "given", "results"
"""Folders of a reader: its input, and the only one in which the product may write."""
PIECES_OF_TEXT = (
    b"null", b"[]", b"{}", b"-1", b"1e999", b"nan", b".nan", b"0", b"true", b'""', b"&a", b"*a", b"!!python/object:x",
    b"../../x", b"\xff\xfe", b"\0", b"99999999999999999999", b"\n", b"- ", b": ",
    b"<<", b"include: x.yaml\n", b"2026-11-22",
)  # fmt: skip
WORDS = (
    "", " ", "NA", "nan", "NaN", "null", "None", "~", "true", "yes", "no", "0", "007", "1e3", "1.0", "-", "1:30",
    "inf",
    ".inf", "2026-11-22", "[ours]", "$x$", "a,b", 'a"b', "'", "a\nb", "a\rb", "a\r\nb", " a ", "\ta", "=1+1", "#",
    "%d",
    "{}", "\\", "\x7f", "\u2028", "\ufeff", "\u00e9", "e\u0301", "\u65e5\u672c", "\U0001f3b5", "\ud83d", "x" * 300,
    "&a", "*a", "<<", "!!str", "a: b", "- a", "../../x", "/", ".", "..", "C:\\x", "CON",
)  # fmt: skip
"""Texts that some reader of tables, YAML, JSON or paths takes for something else."""
NUMBERS = (
    0, 1, -1, 2, 3, 127, 128, 255, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 10**23, 0.5, -0.0, 1e-3, 1e300,
    5e-324,
    float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
Reader = Callable[[random.Random, Path], bool]
"""Draws an input and reads it in a folder with GIVEN and RESULTS; False: what was read was refused as a part."""


def mutated(data: bytes, draw: random.Random, pieces: Iterable[bytes] = PIECES_OF_TEXT) -> bytes:
    """`data` with one to eight bytes or spans changed, dropped, doubled, moved or replaced."""
    value, known = bytearray(data), tuple(pieces)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 8))):
        at = draw.randrange(len(value) + 1)
        end = min(len(value), at + draw.choice((1, 1, 2, 4, 16, 256)))
        kind = draw.randrange(7)
        if kind == 0 and at < len(value):
            value[at] = draw.randrange(256)
        elif kind == 1 and at < len(value):
            value[at] ^= 1 << draw.randrange(8)
        elif kind == 2:
            del value[at:end]
        elif kind == 3:
            value[at:at] = value[at:end]
        elif kind == 4:
            value[at:end] = draw.choice(known)
        elif kind == 5 and draw.random() < 0.3:
            del value[at:]
        else:
            value[at:at] = draw.choice(known)
    return bytes(value)


def some_value(draw: random.Random, depth: int = 0) -> object:
    """A value that JSON or YAML can hold, mostly one that means trouble."""
    kind = draw.randrange(8 if depth < 3 else 6)
    if kind < 3:
        return draw.choice(WORDS)
    if kind < 5:
        return draw.choice(NUMBERS)
    if kind == 5:
        return draw.choice((None, True, False))
    if kind == 6:
        return [some_value(draw, depth + 1) for _ in range(draw.randrange(4))]
    return {draw.choice(WORDS): some_value(draw, depth + 1) for _ in range(draw.randrange(3))}


def change_within(value: object, draw: random.Random, make: Callable[[random.Random], object] = some_value) -> object:
    """A nested value with one part changed, dropped, doubled or put where another stands."""
    holders: list[dict | list] = []

    def collect(one: object) -> None:
        if isinstance(one, dict | list) and one:
            holders.append(one)
            for part in one.values() if isinstance(one, dict) else one:
                collect(part)

    collect(value)
    if not holders:
        return make(draw)
    holder = draw.choice(holders)
    key = draw.choice(list(holder) if isinstance(holder, dict) else list(range(len(holder))))
    kind = draw.randrange(6)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif kind == 1:
        holder[draw.choice(WORDS)] = holder[key]
    elif kind == 2:
        other = draw.choice(holders)
        chosen = draw.choice(list(other.values() if isinstance(other, dict) else other) or [None])
        holder[key] = copy.deepcopy(chosen)  # no circle
    else:
        holder[key] = make(draw)
    return value


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything below `folder` but what is below GIVEN and RESULTS, with sizes and times of change."""
    found = {}
    for place, folders, names in os.walk(folder):
        for name in (*names, *folders):
            path = os.path.join(place, name)  # noqa: PTH118  a thousand times a second
            stat = os.lstat(path)
            found[path] = (0, 0) if name in (GIVEN, RESULTS, "room", "deep") else (stat.st_size, stat.st_mtime_ns)
        folders[:] = [name for name in folders if name not in (GIVEN, RESULTS)]
    return found


def fuzz(reader: Reader, numbers: Iterable[int], seed: int, folder: Path) -> Counter[str]:
    """Feed a reader; how many inputs were taken and how many refused with one line. Anything else is raised.

    `folder` is watched: the reader works in `deep/room` below it, and nothing may change outside its two folders.
    """

    def too_long(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no answer within {LONGEST_S} s")

    room = folder / "deep" / "room"
    for name in (GIVEN, RESULTS):
        (room / name).mkdir(parents=True, exist_ok=True)
    (room / "kept.txt").write_text("kept")
    watched = state_of(folder)
    before = signal.signal(signal.SIGPROF, too_long)
    found: Counter[str] = Counter()
    at = os.open(folder.with_suffix(".number"), os.O_CREAT | os.O_WRONLY)
    try:
        for number in numbers:
            os.pwrite(at, b"%12d" % number, 0)  # for a crash of the process
            faulthandler.dump_traceback_later(12 * LONGEST_S, exit=True)  # waits without end, code that is no Python
            signal.setitimer(signal.ITIMER_PROF, LONGEST_S)
            started = time.process_time()
            try:
                taken = reader(random.Random(f"{seed} {number}"), room)
                assert (now := state_of(folder)) == watched, f"written outside: {set(now) ^ set(watched)}"
                assert time.process_time() - started < LONGEST_S, "too long"
            except REFUSALS as refusal:
                assert len(str(refusal).splitlines()) == 1, f"input {number} of seed {seed}: not one line: {refusal!r}"
                assert state_of(folder) == watched, f"input {number} of seed {seed}: written outside"
                taken = False
            except Exception as error:
                words = f"{reader.__name__}, FAULTS_SEED={seed} FAULTS_INPUT={number}: {error!r}"
                raise AssertionError(words[:2000]) from error
            found["taken" if taken else "refused"] += 1
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGPROF, before)
        os.close(at)
    return found


def fuzz_apart(reader: Reader, numbers: range, seed: int, folder: Path) -> Counter[str]:
    """`fuzz` in a folder of its own, for several processes at once, without what converters print."""
    os.fsync = lambda handle: None  # no power fails here
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    own = folder / f"{numbers.start}"
    own.mkdir()
    return fuzz(reader, numbers, seed, own)
