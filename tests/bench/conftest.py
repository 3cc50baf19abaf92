"""Pieces read in the process of the tests, small music made on the spot, and a study small enough to run whole in a
test."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

Note = tuple[float, float, int, int]  # onset and duration in quarter notes, pitch, velocity
WriteMidi = Callable[..., Path]

TINY = """\
name: tiny
question: does the thread from YAML to figures hold
baseline:
  arm: transformer
  corpus: demo/lieder
  length: 64
  model: {width: 64, stride: 4, layers: 6}
  diffusion: {steps: 64}
  train: {steps: 8, batch: 4, warmup_steps: 2, validations: 1, validation_windows: 4, final_validation_windows: 4,
    final_validation_draws: 2}
  sample: {pieces: 4, steps: 8}
axes:
  arm: [smdim, transformer]
match: params
seeds: [0]
measure:
  quality: {}
  efficiency: {lengths: [64, 128], rounds: 2, replicates: 1, calls_per_round: 2, threads: 1, time_cap_s: 1}
"""


@pytest.fixture(scope="module", autouse=True)
def reading_here() -> Iterator[None]:
    """Pieces are read in this process, since a reading process costs most of a second to start.

    Reading processes themselves are tested in `data/test_reading_processes.py`, and start in every run of a command.
    """
    from bench.data import corpus, music, near, tokenising
    from bench.data.worker import Answer, Job, do

    def read_all(
        jobs: Sequence[Job], *, progress: Callable[[int, int], None] | None = None, **_: object
    ) -> list[Answer]:
        answers = []
        for job in jobs:
            answers.append(do(job))
            if progress:
                progress(len(answers), len(jobs))
        return answers

    with pytest.MonkeyPatch.context() as patch:
        for module in (corpus, music, near, tokenising):
            patch.setattr(module, "read_all", read_all)
        yield


@pytest.fixture(scope="session")
def write_midi() -> WriteMidi:
    """Writes a MIDI file of tracks, each its notes, and returns its path; a tempo where one is given."""

    def write(
        path: Path, *tracks: Sequence[Note], tpq: int = 480, drums: Sequence[int] = (), tempo: float | None = None
    ) -> Path:
        import symusic

        score = symusic.Score(tpq)
        if tempo is not None:
            score.tempos.append(symusic.Tempo(0, qpm=tempo))
        for index, notes in enumerate(tracks):
            track = symusic.Track("", 0, index in drums)
            for onset, duration, pitch, velocity in notes:
                track.notes.append(symusic.Note(round(onset * tpq), round(duration * tpq), pitch, velocity))
            score.tracks.append(track)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(score.dumps_midi())
        return path

    return write


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are written without figures, which take most of the time."""
    monkeypatch.setattr("bench.report.pages.content.draw_all", lambda *_: ({}, []))


@pytest.fixture
def tiny_study(tmp_path: Path, dichterliebe: Path) -> Path:
    """Path of a study file with two arms, one seed, two lengths of cost."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.replace("demo/lieder", f"folder:{dichterliebe}"))
    return path
