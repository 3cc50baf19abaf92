"""Files of a folder: links are followed once, what cannot be read is listed, any name is text."""

from __future__ import annotations

import os
from pathlib import Path

from metrics.music.files import read_folder
from metrics.music.folder import find_files, path_text


def test_linked_folders_are_read_once_and_loops_end(tmp_path: Path) -> None:
    music, folder = tmp_path / "music", tmp_path / "folder"
    (music / "deep").mkdir(parents=True)
    folder.mkdir()
    for path in (music / "a.mid", music / "deep" / "b.MID", music / "._a.mid", music / "c.txt"):
        path.touch()
    (folder / "x").symlink_to(music)
    (folder / "y").symlink_to(music)
    (music / "loop").symlink_to(folder)
    assert find_files(folder) == [folder / "x/a.mid", folder / "x/deep/b.MID"]


def test_what_cannot_be_read_is_listed(tmp_path: Path) -> None:
    (tmp_path / "gone.mid").symlink_to(tmp_path / "nothing")
    (tmp_path / "data").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.mid")
    assert find_files(tmp_path) == [tmp_path / "data", tmp_path / "gone.mid"]
    pieces, skipped = read_folder(tmp_path)
    assert not pieces and [path.name for path, _ in skipped] == ["data", "gone.mid"]
    assert all("No such file" in reason for _, reason in skipped)


def test_a_name_that_is_no_utf_8_is_text() -> None:
    name = path_text(Path(os.fsdecode(b"Fl\xf6te/\xe9.mid")))
    assert name == "Fl\\xf6te/\\xe9.mid"
    assert name.encode()
    assert path_text(Path("Übung/音.mid")) == "Übung/音.mid"
