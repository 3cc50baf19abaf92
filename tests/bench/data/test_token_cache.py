"""The cache of tokens: found again, rebuilt when damaged, never half-written."""

import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from bench.data import TokenCorpus, cache, load_corpus, tokenising, tokenize
from bench.data.cache import CacheError, publishing, read_array, read_json, write_array, write_json
from bench.data.pieces import CorpusError
from bench.data.worker import Answer


def copy_of_cache(scales: TokenCorpus, folder: Path) -> Path:
    kept = folder / scales.fingerprint
    kept.mkdir(parents=True)
    for path in scales.folder.iterdir():
        (kept / path.name).write_bytes(path.read_bytes())
    return kept


def no_reading(*_: object, **__: object) -> None:
    raise AssertionError("read again")


def test_tokens_are_found_again_without_reading(scales: TokenCorpus, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    copy_of_cache(scales, tmp_path)
    monkeypatch.setattr(tokenising, "read_all", no_reading)
    again = tokenize(scales.corpus, cache=tmp_path)
    assert again.all_tokens.tolist() == scales.all_tokens.tolist()
    assert isinstance(again.all_tokens, np.memmap)
    assert again.vocabulary == scales.vocabulary


@pytest.mark.parametrize("damage", ["truncate", "edit", "no hash", "meta", "no meta"])
def test_damage_is_seen(scales: TokenCorpus, tmp_path: Path, monkeypatch, damage: str) -> None:  # type: ignore[no-untyped-def]
    kept = copy_of_cache(scales, tmp_path)
    tokens, meta = kept / "tokens.npy", kept / "meta.json"
    if damage == "truncate":
        tokens.write_bytes(tokens.read_bytes()[:-2])
    elif damage == "edit":
        tokens.write_bytes(tokens.read_bytes()[:-1] + b"\7")
    elif damage == "no hash":
        (kept / "tokens.npy.sha256").unlink()
    elif damage == "meta":
        meta.write_text(meta.read_text().replace("Pitch_60", "Pitch_61", 1))
    else:
        meta.unlink()
    monkeypatch.setattr(tokenising, "read_all", no_reading)
    with pytest.raises(AssertionError, match="read again"):
        tokenize(scales.corpus, cache=tmp_path)


def test_a_damaged_entry_is_made_anew(scales: TokenCorpus, tmp_path: Path) -> None:
    kept = copy_of_cache(scales, tmp_path)
    (kept / "tokens.npy").write_bytes(b"")
    again = tokenize(scales.corpus, cache=tmp_path)
    assert again.all_tokens.tolist() == scales.all_tokens.tolist()
    assert [path.name for path in tmp_path.iterdir()] == [scales.fingerprint]


def test_no_space_is_one_line_and_leaves_nothing(scales: TokenCorpus, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("bench.files.os.fsync", full)
    monkeypatch.setattr(tokenising, "read_all", lambda jobs, **_: [ready_answer(scales, job.path.name) for job in jobs])
    with pytest.raises(CacheError) as caught:
        tokenize(scales.corpus, cache=tmp_path / "cache")
    assert str(caught.value).startswith("no space left in ")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def ready_answer(scales: TokenCorpus, name: str) -> object:
    place = next(index for index, piece in enumerate(scales.pieces_in_order) if piece.id == name)
    tokens = np.array(scales.all_tokens[scales.offsets[place] : scales.offsets[place + 1]])
    return Answer(tokens=tokens, vocabulary=scales.vocabulary)


def test_a_changed_file_is_another_entry(tmp_path: Path, write_midi) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "music"
    write_midi(folder / "a.mid", [(0.0, 1.0, 60, 64)])
    before = load_corpus(f"folder:{folder}")
    write_midi(folder / "a.mid", [(0.0, 1.0, 61, 64)])
    after = load_corpus(f"folder:{folder}")
    assert before.fingerprint != after.fingerprint
    assert before.pieces[0].content != after.pieces[0].content


def test_json_and_arrays_are_checked(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": [1, 2]})
    assert read_json(tmp_path / "a.json") == {"x": [1, 2]}
    (tmp_path / "a.json").write_text((tmp_path / "a.json").read_text().replace("2", "3"))
    assert read_json(tmp_path / "a.json") is None
    assert read_json(tmp_path / "none.json") is None
    write_array(tmp_path / "a.npy", np.arange(3))
    kept = read_array(tmp_path / "a.npy")
    assert kept is not None and kept.tolist() == [0, 1, 2]
    assert read_array(tmp_path / "none.npy") is None


def test_many_writers_leave_one_whole_folder(tmp_path: Path) -> None:
    target = tmp_path / "entry"
    problems: list[BaseException] = []

    def publish(value: int) -> None:
        try:
            for _ in range(20):
                with publishing(target) as fresh:
                    (fresh / "a").write_text(str(value))
                    (fresh / "b").write_text(str(value))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=publish, args=(value,)) for value in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert (target / "a").read_text() == (target / "b").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]


def test_a_failed_publication_keeps_the_old_folder(tmp_path: Path) -> None:
    with publishing(tmp_path / "entry") as fresh:
        (fresh / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt), publishing(tmp_path / "entry") as fresh:
        (fresh / "a").write_text("new")
        raise KeyboardInterrupt
    assert (tmp_path / "entry" / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]


def test_a_folder_is_there_until_another_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, remove, there = tmp_path / "kept", cache.shutil.rmtree, list[str]()
    kept.mkdir()
    (kept / "file").write_text("old")

    def watched(path: Path, **more: object) -> None:
        there.append((kept / "file").read_text())
        remove(path, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(cache.shutil, "rmtree", watched)
    with publishing(kept) as fresh:
        (fresh / "file").write_text("new")
    assert set(there) == {"new"}


def test_a_folder_is_put_back_where_no_other_can_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, rename, tried = tmp_path / "kept", Path.rename, list[Path]()
    kept.mkdir()
    (kept / "file").write_text("old")

    def interrupted(path: Path, target: Path) -> Path:
        if target == kept:
            tried.append(path)
            if len(tried) == 2:
                raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), publishing(kept):
        pass
    assert (kept / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_piece_that_could_not_be_read_this_time_is_not_left_out_for_ever(
    scales: TokenCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = tokenising.read_all

    def busy(*given: object, **more: object) -> list[Answer]:
        answers = read(*given, **more)  # type: ignore[arg-type]
        return [Answer(reason="reading took longer than 120 s", transient=True), *answers[1:]]

    monkeypatch.setattr(tokenising, "read_all", busy)
    with pytest.raises(CorpusError, match=r": reading took longer than 120 s; the same command tries again"):
        tokenize(scales.corpus, cache=tmp_path)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(tokenising, "read_all", read)
    assert tokenize(scales.corpus, cache=tmp_path).all_tokens.tolist() == scales.all_tokens.tolist()
