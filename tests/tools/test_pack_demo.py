"""The archives of the demo corpus: made again byte for byte, titles from the tracks."""

import csv
import tarfile
from pathlib import Path

import pack_demo


def make_music(folder: Path) -> Path:
    for name in ("irish/b.mid", "irish/a.mid", "lieder/c.mid", "LICENSES/CC0.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    (folder / "index.csv").write_text(
        "file,title,track_names\nirish/b.mid,bReel,B (reel) \nirish/a.mid,aJig,A (jig)\nlieder/c.mid,Lied,Voice+Piano\n"
    )
    return folder


def test_equal_files_give_equal_archives_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        pack_demo.write_demo(make_music(tmp_path / f"{name}-music"), tmp_path / name)
    assert (tmp_path / "one" / "irish.tar.xz").read_bytes() == (tmp_path / "two" / "irish.tar.xz").read_bytes()
    with tarfile.open(tmp_path / "one" / "irish.tar.xz") as archive:
        assert archive.getnames() == ["a.mid", "b.mid"]
        stream = archive.extractfile("b.mid")
        assert stream is not None and stream.read() == b"irish/b.mid"
    assert (tmp_path / "one" / "LICENSES" / "CC0.txt").is_file()


def test_an_irish_tune_is_titled_by_its_track(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    pack_demo.write_demo(make_music(tmp_path / "music"), tmp_path / "demo")
    with (tmp_path / "demo" / "index.csv").open(newline="", encoding="utf-8") as stream:
        assert [row["title"] for row in csv.DictReader(stream)] == ["B (reel)", "A (jig)", "Lied"]
