"""Downloads from a server that breaks off, lies about size, serves a wrong file; and taking what the user has."""

import hashlib
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.data import download, fetching, load_corpus
from bench.data.adding import add_corpus
from bench.data.catalog import CORPORA
from bench.data.download import FetchError
from bench.data.fetching import compare_with_published, fetch_corpus, published_as
from bench.data.pieces import CorpusError
from bench.data.registry import Published, corpora_folder
from bench.errors import UserError

CONTENT = bytes(range(256)) * 400


class Server(ThreadingHTTPServer):
    """Serves `content`; each request takes the next behaviour from `plan`, the last one stays."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.plan: list[str] = ["good"]
        self.asked: list[str | None] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/archive.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.asked.append(self.headers.get("Range"))
        behaviour = server.plan.pop(0) if len(server.plan) > 1 else server.plan[0]
        begin = 0
        asked = self.headers.get("Range")
        if behaviour == "error":
            self.send_error(503)
            return
        if behaviour == "absent":
            self.send_error(404)
            return
        if asked and behaviour != "no ranges":
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
            if begin >= len(server.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(server.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            shown = begin + 7 if behaviour == "wrong range" else begin
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {shown}-{len(server.content) - 1}/{len(server.content)}")
        else:
            self.send_response(200)
        body = server.content[begin:]
        stated = len(body) + {"claims more": 5000, "claims less": -5000}.get(behaviour, 0)
        if behaviour != "no length":
            self.send_header("Content-Length", str(stated))
        self.send_header("ETag", '"one"')
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if behaviour == "breaks off" else body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE_S", 0.0)


def get(server: Server, folder: Path, **known: object) -> bytes:
    target = folder / "got"
    settings: dict[str, object] = {"sha256": hashlib.sha256(CONTENT).hexdigest()} | known
    fetch(server.address, target, **settings)
    return target.read_bytes()


def fetch(address: str, target: Path, **known: object) -> None:
    with download.downloaded(address, target, **known):  # type: ignore[arg-type]
        pass


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


@pytest.mark.parametrize("plan", [["good"], ["no length"], ["error", "error", "good"]])
def test_a_download_is_whole_and_leaves_one_file(server: Server, tmp_path: Path, plan: list[str]) -> None:
    server.plan = plan
    assert get(server, tmp_path) == CONTENT
    assert leftovers(tmp_path) == ["got"]


def test_a_download_goes_on_where_it_broke_off(server: Server, tmp_path: Path) -> None:
    server.plan = ["breaks off", "breaks off", "good"]
    seen: list[tuple[int, int | None]] = []
    assert get(server, tmp_path, progress=lambda done, total: seen.append((done, total))) == CONTENT
    half = len(CONTENT) // 2
    assert server.asked == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_later_call_goes_on_too(server: Server, tmp_path: Path) -> None:
    server.plan = ["breaks off", "error"]
    with pytest.raises(FetchError, match=f"broke off after {len(CONTENT) // 2} bytes .*goes on from there"):
        get(server, tmp_path)
    server.plan = ["good"]
    server.asked.clear()
    assert get(server, tmp_path) == CONTENT
    assert server.asked == [f"bytes={len(CONTENT) // 2}-"]


def test_a_server_without_ranges_or_with_wrong_ones_is_asked_anew(server: Server, tmp_path: Path) -> None:
    server.plan = ["breaks off", "no ranges"]
    assert get(server, tmp_path) == CONTENT
    (tmp_path / "got").unlink()
    server.plan = ["breaks off", "wrong range", "good"]
    assert get(server, tmp_path) == CONTENT


def test_claiming_more_than_there_is(server: Server, tmp_path: Path) -> None:
    server.plan = ["claims more"]
    assert get(server, tmp_path) == CONTENT  # the second try learns that all bytes are here; the checksum agrees
    (tmp_path / "got").unlink()
    server.plan = ["claims more", "no ranges"]
    server.content = CONTENT[:-1]
    with pytest.raises(FetchError, match="is not the published file: its sha256 is "):
        get(server, tmp_path)
    assert leftovers(tmp_path) == []


def test_claiming_less_than_there_is(server: Server, tmp_path: Path) -> None:
    server.plan = ["claims less"]
    with pytest.raises(FetchError, match="is not the published file"):
        get(server, tmp_path)
    assert leftovers(tmp_path) == []


def test_another_size_than_published_is_refused_at_once(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"has 102400 bytes, published are 99"):
        get(server, tmp_path, size_bytes=99)
    assert len(server.asked) == 1
    server.plan = ["no length"]
    with pytest.raises(FetchError, match="sends more than the 99 bytes"):
        get(server, tmp_path, size_bytes=99)
    assert leftovers(tmp_path) == []


def test_too_much_is_refused(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MAX_DOWNLOAD_BYTES", 1000)
    with pytest.raises(FetchError, match="102400 bytes, more than the 1000"):
        get(server, tmp_path)
    server.plan = ["no length"]
    with pytest.raises(FetchError, match="sends more than the 1000 bytes"):
        get(server, tmp_path)


def test_what_cannot_be_had_is_said_at_once(server: Server, tmp_path: Path) -> None:
    server.plan = ["absent"]
    with pytest.raises(FetchError, match="cannot be had: HTTP 404"):
        get(server, tmp_path)
    assert len(server.asked) == 1
    with pytest.raises(FetchError, match="only http and https"):
        fetch("file:///etc/passwd", tmp_path / "got")
    with pytest.raises(FetchError, match=r"^http://\[bad is no address: "):
        fetch("http://[bad", tmp_path / "got")


def test_bytes_of_another_address_are_not_gone_on_with(server: Server, tmp_path: Path) -> None:
    server.plan = ["breaks off", "error"]
    with pytest.raises(FetchError):
        get(server, tmp_path)
    server.plan = ["good"]
    server.asked.clear()
    target, other = tmp_path / "got", server.address.replace("archive", "mirror")
    fetch(other, target, sha256=hashlib.sha256(CONTENT).hexdigest())
    assert server.asked == [None]


def song_archive(folder: Path, write_midi, songs: range = range(1, 4)) -> Path:  # type: ignore[no-untyped-def]
    archive = folder / "POP909-Dataset-d83e6.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        for number in songs:
            song = write_midi(
                folder / f"{number}.mid", [(beat, 1.0, 60 + number, 64) for beat in range(4)]
            ).read_bytes()
            name = f"{number:03d}"
            bundle.writestr(f"POP909-Dataset-d83e6/POP909/{name}/{name}.mid", song)
            bundle.writestr(f"POP909-Dataset-d83e6/POP909/{name}/versions/{name}-v1.mid", song)
            bundle.writestr(f"POP909-Dataset-d83e6/POP909/{name}/beat_midi.txt", "0.1 1.0")
        bundle.writestr("POP909-Dataset-d83e6/LICENSE", "MIT")
    return archive


def test_a_corpus_is_fetched_checked_and_added(server: Server, tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    server.content = song_archive(tmp_path, write_midi).read_bytes()
    good = Published(server.address, hashlib.sha256(server.content).hexdigest(), len(server.content))
    added = fetch_corpus("pop909", published=good)
    assert (added.pieces, added.folder) == (3, corpora_folder() / "pop909")
    assert [piece.id for piece in load_corpus("pop909").pieces] == ["001/001.mid", "002/002.mid", "003/003.mid"]
    assert sorted(path.name for path in added.folder.rglob("*") if path.is_file()) == [
        "001.mid",
        "002.mid",
        "003.mid",
        "LICENSE",
    ]
    assert leftovers(corpora_folder() / "downloads") == []


def test_a_wrong_file_leaves_the_corpus_that_was_there(server: Server, tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    add_corpus("pop909", song_archive(tmp_path, write_midi))
    server.content = b"<html>please log in</html>"
    with pytest.raises(UserError, match="neither a zip nor a tar"):
        fetch_corpus("pop909", published=Published(server.address, None, None))
    server.content = song_archive(tmp_path, write_midi, range(1, 3)).read_bytes()
    with pytest.raises(FetchError, match="gave 2 pieces that are not the published ones"):
        fetch_corpus("pop909", published=published_as("pop909", server.address))
    assert len(load_corpus("pop909").pieces) == 3
    assert leftovers(corpora_folder()) == ["downloads", "pop909"]
    assert "not all, the published ones" in compare_with_published(load_corpus("pop909"))


def test_only_what_is_published_can_be_fetched() -> None:
    assert {name for name, entry in CORPORA.items() if entry.published} == {"pop909", "maestro"}
    for name in ("demo", "essen-han", "lakh"):
        with pytest.raises(CorpusError, match=r"cannot be fetched.*only maestro, pop909 can"):
            fetch_corpus(name)


def test_adding_from_a_folder_or_an_archive_gives_the_same(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    archive = song_archive(tmp_path, write_midi)
    with zipfile.ZipFile(archive) as bundle:
        bundle.extractall(tmp_path / "unpacked")
    seen: list[tuple[int, int]] = []
    add_corpus("pop909", tmp_path / "unpacked", progress=lambda done, total: seen.append((done, total)))
    from_folder = load_corpus("pop909")
    add_corpus("pop909", archive)
    assert load_corpus("pop909").fingerprint == from_folder.fingerprint
    assert seen == [(done, 4) for done in range(1, 5)]


def test_a_part_of_maestro_can_be_added(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    origin = tmp_path / "maestro-v3.0.0"
    write_midi(origin / "2004" / "a.midi", [(0.0, 1.0, 60, 64)])
    (origin / "maestro-v3.0.0.csv").write_text(
        "canonical_composer,canonical_title,split,year,midi_filename,audio_filename,duration\n"
        "Bach,Fuga,train,2004,2004/a.midi,2004/a.wav,1.0\nBach,Gigue,test,2004,2004/b.midi,2004/b.wav,1.0\n"
    )
    added = add_corpus("maestro", tmp_path)
    assert (added.pieces, added.without_file) == (1, 1)
    assert [(piece.id, piece.split) for piece in load_corpus("maestro").pieces] == [("2004/a.midi", "train")]


def test_what_cannot_be_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CorpusError, match=r"'demo' cannot be added.*demo is shipped"):
        add_corpus("demo", tmp_path)
    with pytest.raises(CorpusError, match=r"'mine' cannot be added.*folder:PATH"):
        add_corpus("mine", tmp_path)
    with pytest.raises(CorpusError, match="no such file or folder"):
        add_corpus("pop909", tmp_path / "none.zip")
    with pytest.raises(CorpusError, match=r"no maestro under .*: its layout is maestro-v\*\.csv"):
        add_corpus("maestro", tmp_path)
    assert not (corpora_folder() / "maestro").exists()


def test_a_table_that_points_outside_takes_nothing_from_there(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    write_midi(tmp_path / "secret.midi", [(0.0, 1.0, 60, 64)])
    origin = tmp_path / "set"
    write_midi(origin / "2004" / "a.midi", [(0.0, 1.0, 62, 64)])
    (origin / "maestro-v3.0.0.csv").write_text(
        "canonical_composer,canonical_title,split,year,midi_filename\n"
        "x,x,train,2004,2004/a.midi\nx,x,train,2004,../secret.midi\n"
    )
    assert add_corpus("maestro", origin).pieces == 1
    assert corpora_folder().joinpath("maestro", "2004", "a.midi").is_file()


def test_nothing_of_the_folder_around_a_corpus_takes_the_place_of_its_own_files(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    origin = tmp_path / "maestro-v3.0.0"
    write_midi(origin / "2004" / "a.midi", [(0.0, 1.0, 60, 64)])
    header = "canonical_composer,canonical_title,split,year,midi_filename,audio_filename,duration\n"
    (origin / "maestro-v3.0.0.csv").write_text(f"{header}Bach,Fuga,train,2004,2004/a.midi,2004/a.wav,1.0\n")
    (origin / "LICENSE").write_text("of the corpus")
    for name in ("maestro-v3.0.0.csv", "LICENSE", "bank.csv", "README.md"):
        (tmp_path / name).write_text(header)
    added = add_corpus("maestro", tmp_path)
    assert (added.folder / "LICENSE").read_text() == "of the corpus" and added.pieces == 1
    assert leftovers(added.folder) == ["2004", "LICENSE", "maestro-v3.0.0.csv"]
    assert len(load_corpus("maestro").pieces) == 1


def test_no_second_process_fetches_while_the_first_adds(
    server: Server, tmp_path: Path, write_midi, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    server.content = song_archive(tmp_path, write_midi).read_bytes()
    published, add, refused = Published(server.address, None, None), fetching.add_corpus, list[str]()

    def slow(*given: object, **more: object) -> object:
        monkeypatch.setattr(fetching, "add_corpus", add)
        with pytest.raises(FetchError) as other:
            fetch_corpus("pop909", published=published)
        refused.append(str(other.value))
        return add(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(fetching, "add_corpus", slow)
    assert fetch_corpus("pop909", published=published).pieces == 3
    assert refused == ["another process is fetching pop909.archive; wait for it"]
