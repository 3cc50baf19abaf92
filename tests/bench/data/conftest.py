"""Small music made on the spot, a cache of its own for every test, and the demo lieder tokenised once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

Note = tuple[float, float, int, int]  # onset and duration in quarter notes, pitch, velocity
WriteMidi = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SMDIM_BENCH_CACHE", str(folder))
    return folder


@pytest.fixture
def reading_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are read in this process, since a reading process costs most of a second to start."""
    from bench.data import corpus, music, near, tokenising
    from bench.data.worker import Answer, Job, do

    def read_all(jobs: Sequence[Job], **_: object) -> list[Answer]:
        return [do(job) for job in jobs]

    for module in (corpus, music, near, tokenising):
        monkeypatch.setattr(module, "read_all", read_all)


@pytest.fixture(scope="session")
def write_midi() -> WriteMidi:
    def write(path: Path, *tracks: Sequence[Note], tpq: int = 480, drums: Sequence[int] = ()) -> Path:
        import symusic

        score = symusic.Score(tpq)
        for index, notes in enumerate(tracks):
            track = symusic.Track("", 0, index in drums)
            for onset, duration, pitch, velocity in notes:
                track.notes.append(symusic.Note(round(onset * tpq), round(duration * tpq), pitch, velocity))
            score.tracks.append(track)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(score.dumps_midi())
        return path

    return write


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session")
def lieder(shared_folder: Path):  # type: ignore[no-untyped-def]
    """The demo lieder as tokens, made once a session."""
    from bench.data import load_corpus, tokenize

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMDIM_BENCH_CACHE", str(shared_folder / "cache"))
        return tokenize(load_corpus("demo", subset="lieder"))


@pytest.fixture(scope="session")
def scales(shared_folder: Path, write_midi: WriteMidi):  # type: ignore[no-untyped-def]
    """Ten pieces of 8 to 17 bars with four quarter notes each, piece i a scale from pitch 50 + i; as tokens."""
    from bench.data import load_corpus, tokenize

    for index in range(10):
        notes = [(beat, 1.0, 50 + index + beat % 8, 64) for beat in range(4 * (8 + index))]
        write_midi(shared_folder / "scales" / f"{index}.mid", notes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMDIM_BENCH_CACHE", str(shared_folder / "cache"))
        return tokenize(load_corpus(f"folder:{shared_folder / 'scales'}"))
