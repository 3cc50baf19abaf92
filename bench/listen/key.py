"""Key of a listening test: the systems behind the numbered samples of its page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.errors import UserError, first_line
from bench.files import canonical_hash, read_json, to_json, write_atomically
from bench.listen.design import CHECK_SHARE, Trial, draw_plans
from bench.listen.samples import NO_SETTING, REAL, SHUFFLED, Systems, excerpt
from bench.report.rows.summaries import Group
from metrics.music.floors import shuffled_pieces
from metrics.music.notes import Notes

Kind = Literal["pairs", "ratings"]
QUESTIONS: dict[Kind, str] = {
    "pairs": "Which of the two is the better music?",
    "ratings": "How good is each of the two as music?",
}
SUFFIX = ".key.json"
Content = TypeVar("Content", bound=BaseModel)


class Sample(BaseModel):
    """A numbered sample: its system and the file it is from."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    system: str
    source: str


class Key(BaseModel):
    """Content of the key file.

    `samples` in the order of their numbers on the page; `setting`: corpus, length, sampler and steps of the arms of
    `study`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1] = 1
    test: str
    kind: Kind
    question: str
    study: str = ""
    setting: Group = NO_SETTING
    trials: int
    seconds: float
    systems: Annotated[list[str], Field(min_length=2)]
    samples: list[Sample]
    plans: Annotated[list[list[Trial]], Field(min_length=1)]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        numbers = {number for plan in self.plans for trial in plan for number in trial}
        if not numbers <= set(range(len(self.samples))):
            raise ValueError("plans name samples that are not listed")
        return self

    def is_check(self, trial: Trial) -> bool:
        """Whether a trial is real against shuffled music."""
        return {self.samples[number].system for number in trial} == {REAL, SHUFFLED}


@dataclass(frozen=True)
class ListeningTest:
    """A test: its key, and the pieces that its page plays, by number."""

    key: Key
    pieces: Sequence[Notes]


def make_test(
    systems: Systems, kind: Kind, *, question: str, trials: int, seconds: float, seed: int, study: str = ""
) -> ListeningTest:
    """A test of these excerpts. Their numbers are drawn from all their notes, so that neither order nor seed gives a
    system away; real excerpts of checks are others than those among the systems where there are enough."""
    hashes = {name: [piece.content_hash for piece in pieces] for name, pieces in systems.all.items()}
    content = canonical_hash([seed, kind, trials, seconds, hashes])
    generator = np.random.default_rng(int(content, 16))
    real = [systems.real[place] for place in generator.permutation(len(systems.real))]
    checks = min(max(len(real) // 2, 1), trials // CHECK_SHARE)
    mixed = zip(shuffled_pieces(real[:checks], seed=seed), real[:checks], strict=True)
    shuffled = [excerpt(replace(piece, tempo=own.tempo), seconds) for piece, own in mixed]
    groups = [*systems.generated.items(), (REAL, real[checks:]), (REAL, real[:checks]), (SHUFFLED, shuffled)]
    listed = [(Sample(system=name, source=piece.name), piece) for name, pieces in groups for piece in pieces]
    number = generator.permutation(len(listed))  # of each listed sample
    placed = [listed[place] for place in np.argsort(number)]
    edges = np.cumsum([0, *(len(pieces) for _, pieces in groups)])
    numbers = [number[start:stop].tolist() for start, stop in pairwise(edges)]
    plans = draw_plans(numbers[:-2], list(zip(*numbers[-2:], strict=True)), trials, generator)
    key = Key(
        test=canonical_hash([content, question, plans], 12),
        kind=kind,
        question=question,
        study=study,
        setting=systems.setting,
        trials=trials,
        seconds=seconds,
        systems=list(systems.all),
        samples=[sample for sample, _ in placed],
        plans=plans,
    )
    return ListeningTest(key, [piece for _, piece in placed])


def write_key(path: Path, key: Key) -> None:
    """Write the key file. Raises UserError where the key of another test stands there, which its answers need."""
    if path.is_file() and _test_of(path) != key.test:
        raise UserError(f"{path}: is the key of another test, whose answers need it; choose another name or remove it")
    write_atomically(path, to_json(key.model_dump()) + "\n")


def read_key(path: Path) -> Key:
    """A key from its file. Raises UserError for one that is missing, damaged or no key."""
    try:
        return read_content(path, Key)
    except OSError as error:
        raise UserError(f"{path}: no key can be read: {error.strerror}") from error
    except UserError as error:
        raise UserError(f"{path}: no key of a listening test: {error}") from error


def read_content(path: Path, model: type[Content]) -> Content:
    """A JSON file as a model. Raises OSError, and UserError that says in one line what is wrong with the content."""
    try:
        return model.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        fault = error.errors()[0]
        raise UserError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(first_line(error)) from error


def answer_paths(folder: Path) -> list[Path]:
    """Files below a folder that listeners saved, or that may be such. Raises UserError where there is no folder."""
    if not folder.is_dir():
        raise UserError(f"--collect {folder}: no such folder; allowed: one that holds the listeners' files")
    return [path for path in sorted(folder.rglob("*.json")) if not path.name.endswith(SUFFIX)]


def find_key(given: Path | None, answers: Path) -> Key:
    """The key given, else the one beside the answers' folder, in it or in the current one whose test most files answer.

    Raises UserError that names the keys there are where it is none or several.
    """
    if given is not None:
        return read_key(given)
    counts = Counter(map(_test_of, answer_paths(answers)))
    folders = dict.fromkeys(folder.resolve() for folder in (answers, answers.parent, Path()))
    paths = [path for folder in folders for path in sorted(folder.glob(f"*{SUFFIX}"))]
    answered = [counts[_test_of(path)] for path in paths]
    fitting = [path for path, count in zip(paths, answered, strict=True) if count and count == max(answered)]
    if len(fitting) != 1:
        known = f"there are {', '.join(path.name for path in paths)}" if paths else "there is none beside the answers"
        raise UserError(f"--key: give the test's *{SUFFIX}, which was written beside its page; {known}")
    return read_key(fitting[0])


def _test_of(path: Path) -> str:
    return str((read_json(path) or {}).get("test", path))
