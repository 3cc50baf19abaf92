"""Files that are whole or absent."""

import ast
import os
import threading
from pathlib import Path

import pytest

from bench.files import read_json, write_atomically


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_atomically(pipe, "twelve bars\n")
    reader.join(10)
    assert read == ["twelve bars\n"]
    assert pipe.is_fifo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["pipe"]


def test_bytes_of_a_name_that_are_no_utf_8_are_written_as_numbers(tmp_path):
    write_atomically(tmp_path / "table.csv", "caf\udce9.mid,1\n")
    assert (tmp_path / "table.csv").read_bytes() == rb"caf\udce9.mid,1" + b"\n"


def test_a_file_is_replaced_whole_with_nothing_left_beside_it(tmp_path):
    target = tmp_path / "folder" / "table.csv"
    write_atomically(target, "old")
    write_atomically(target, b"new")
    assert target.read_bytes() == b"new"
    assert [entry.name for entry in target.parent.iterdir()] == ["table.csv"]


PRODUCT = ("architectures", "metrics", "bench", "tools")
ROOT = Path(__file__).parents[2]


def _reads_text_in_the_locale(call: ast.Call) -> bool:
    """Whether a call opens a text file or pipe without naming its encoding."""
    owner, _, name = ast.unparse(call.func).rpartition(".")
    given = {word.arg: word.value for word in call.keywords}
    if "encoding" in given:
        return False
    if name in ("read_text", "write_text"):
        return True
    if "text" in given or "universal_newlines" in given:
        return name in ("run", "Popen", "check_output")
    if name not in ("open", "fdopen") or (owner, name) in {("os", "open"), ("tarfile", "open")}:
        return False
    first = 1 if owner in ("", "os") else 0  # the file; of a path's `open` the mode is the first argument
    modes = [*call.args[first : first + 1], *(given[word] for word in ("mode",) if word in given)]
    return all(isinstance(mode, ast.Constant) and set(str(mode.value)) <= set("rwxat+") for mode in modes)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_json_with_a_number_that_is_not_finite_is_damaged(number, tmp_path):
    (tmp_path / "study.json").write_text('{"cells": [0.5, 1e300, ' + number + "]}")
    assert read_json(tmp_path / "study.json") is None
    (tmp_path / "study.json").write_text('{"cells": [0.5, 1e300, 7]}')
    assert read_json(tmp_path / "study.json") == {"cells": [0.5, 1e300, 7]}


def test_text_files_and_pipes_name_their_encoding():
    sources = {path: path.read_text(encoding="utf-8") for room in PRODUCT for path in (ROOT / room).rglob("*.py")}
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path, source in sorted(sources.items())
        if any(word in source for word in ("read_text(", "write_text(", "open(", "text="))
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and _reads_text_in_the_locale(call)
    ]
    assert found == []
    planted = (
        "path.read_text()",
        "open(1, 'w')",
        "open(path)",
        "open(path, mode='wt')",
        "path.open()",
        "path.open('a')",
        "path.open('x')",
        "path.open(mode='rt')",
        "os.fdopen(1)",
        "os.fdopen(1, 'w')",
        "subprocess.run(x, text=True)",
    )
    calls = [ast.parse(line, mode="eval").body for line in planted]
    assert all(isinstance(call, ast.Call) and _reads_text_in_the_locale(call) for call in calls)


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_file_has_the_rights_that_the_user_gives_new_files(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "key.json", "{}")
    finally:
        os.umask(before)
    assert (tmp_path / "key.json").stat().st_mode & 0o777 == 0o666 & ~mask
