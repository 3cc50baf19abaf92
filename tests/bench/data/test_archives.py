"""Archives of unknown origin: what is unpacked, and what is refused."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from bench.data import archives
from bench.data.archives import ArchiveError, unpack


def make_tar(path: Path, *members: tuple[str, bytes], mode: str = "w:xz") -> Path:
    with tarfile.open(path, mode) as bundle:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            bundle.addfile(info, io.BytesIO(data))
    return path


def make_zip(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in members:
            bundle.writestr(name, data)
    return path


MAKERS = {"tar": make_tar, "zip": make_zip}


@pytest.mark.parametrize("kind", MAKERS)
def test_wanted_files_are_written(tmp_path: Path, kind: str) -> None:
    archive = MAKERS[kind](tmp_path / "archive", ("set/a.mid", b"one"), ("set/deep/b.mid", b"two"), ("set/c.wav", b"3"))
    out = tmp_path / "out"
    written = unpack(archive, out, lambda path: path.suffix == ".mid")
    assert written == [out / "set/a.mid", out / "set/deep/b.mid"]
    assert (out / "set/deep/b.mid").read_bytes() == b"two"
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == ["a.mid", "b.mid"]


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("name", ["../out.mid", "a/../../out.mid", "/tmp/out.mid", "C:/out.mid", "..\\out.mid"])
def test_no_path_leaves_the_folder(tmp_path: Path, kind: str, name: str) -> None:
    archive = MAKERS[kind](tmp_path / "archive", ("good.mid", b"x"), (name, b"evil"))
    with pytest.raises(ArchiveError, match="unsafe path"):
        unpack(archive, tmp_path / "inner" / "out")
    assert [path.name for path in tmp_path.rglob("*out.mid")] == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "archive", "w") as bundle:
        info = tarfile.TarInfo("link.mid")
        info.type, info.linkname = kind, "/etc/passwd"
        bundle.addfile(info)
    with pytest.raises(ArchiveError, match=r"link or device: 'link\.mid'"):
        unpack(tmp_path / "archive", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link.mid")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "archive", "w") as bundle:
        bundle.writestr(info, "/etc/passwd")
    with pytest.raises(ArchiveError, match="link or device"):
        unpack(tmp_path / "archive", tmp_path / "out")


@pytest.mark.parametrize("kind", MAKERS)
def test_size_and_count_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    bomb = MAKERS[kind](tmp_path / "bomb", ("zeros.mid", bytes(300_000)), ("more.mid", bytes(300_000)))
    monkeypatch.setattr(archives, "MAX_TOTAL_BYTES", 400_000)
    with pytest.raises(ArchiveError, match=r"more than is allowed \(at 'more\.mid'\)"):
        unpack(bomb, tmp_path / "a")
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 200_000)
    with pytest.raises(ArchiveError, match=r"more than is allowed \(at 'zeros\.mid'\)"):
        unpack(bomb, tmp_path / "b")
    many = MAKERS[kind](tmp_path / "many", *((f"{index}.mid", b"") for index in range(4)))
    monkeypatch.setattr(archives, "MAX_FILES", 3)
    with pytest.raises(ArchiveError, match="more than 3 files"):
        unpack(many, tmp_path / "c")


def test_a_tar_that_lists_too_much_is_refused_even_where_nothing_is_wanted(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    bomb = make_tar(tmp_path / "bomb", ("zeros.wav", bytes(300_000)))
    monkeypatch.setattr(archives, "MAX_LISTED_BYTES", 200_000)
    with pytest.raises(ArchiveError, match="more than is allowed"):
        unpack(bomb, tmp_path / "out", lambda path: False)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_damaged_archive_is_one_line(tmp_path: Path, kind: str) -> None:
    noise = bytes((index * 7919 + index * index * 31) % 256 for index in range(20_000))
    archive = MAKERS[kind](tmp_path / "set.archive", ("a.mid", noise))
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(ArchiveError) as caught:
        unpack(archive, tmp_path / "out")
    assert str(caught.value).startswith("set.archive ")
    assert "\n" not in str(caught.value)


def test_a_cut_tar_and_what_is_no_archive(tmp_path: Path) -> None:
    for mode in ("w:gz", "w:xz", "w:bz2"):
        archive = make_tar(tmp_path / "cut", ("a.mid", bytes(range(256)) * 90), mode=mode)
        archive.write_bytes(archive.read_bytes()[:-40])
        with pytest.raises(ArchiveError):
            unpack(archive, tmp_path / mode)
    (tmp_path / "page.zip").write_text("<html>not found</html>")
    with pytest.raises(ArchiveError, match=r"page\.zip is neither a zip nor a tar archive"):
        unpack(tmp_path / "page.zip", tmp_path / "out")


def test_a_damaged_name_in_a_zip_is_one_line(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "set.zip", ("b.mid", b"1"))
    data = bytearray(archive.read_bytes())
    for signature, flags, start in ((b"PK\3\4", 6, 30), (b"PK\1\2", 8, 46)):
        at = data.index(signature)
        data[at + flags + 1] |= 0x08  # the name is UTF-8
        data[at + start] = 0xFF
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"^set\.zip "):
        unpack(archive, tmp_path / "out")
