"""Files that are whole or absent."""

import os
import threading

from bench.files import write_atomically


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
