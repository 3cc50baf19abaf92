"""Answers of listeners: files that the page of a listening test saved, read and checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.errors import UserError, quoted
from bench.listen.design import Trial
from bench.listen.key import Key, answer_paths, read_content
from bench.listen.samples import REAL
from metrics.statistics.ratings import chance_of_guessing

Rating = Annotated[int, Field(ge=1, le=5, strict=True)]
SIGNIFICANT = 0.05


class Answer(BaseModel):
    """One trial: the preferred side, or a rating of each side, 1 (bad) to 5 (excellent)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    left: Annotated[int, Field(ge=0, strict=True)]
    right: Annotated[int, Field(ge=0, strict=True)]
    answer: Literal["left", "right"] | tuple[Rating, Rating]
    seconds: float = 0.0

    @property
    def trial(self) -> Trial:
        """Numbers of the samples on the left and on the right."""
        return self.left, self.right

    @property
    def preferred(self) -> int | None:
        """The sample that was preferred or rated higher; None for equal ratings."""
        if isinstance(self.answer, str):
            return self.left if self.answer == "left" else self.right
        if self.answer[0] == self.answer[1]:
            return None
        return self.left if self.answer[0] > self.answer[1] else self.right


class Answers(BaseModel):
    """Content of a file of answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1]
    test: str
    listener: Annotated[str, Field(min_length=1)]
    plan: Annotated[int, Field(ge=0, strict=True)]
    started: str = ""
    finished: bool = False
    answers: Annotated[list[Answer], Field(min_length=1)]


@dataclass(frozen=True)
class Listener:
    """A listener's answers, and how many of the checks were right: real music preferred to shuffled, or rated above."""

    name: str
    answers: tuple[Answer, ...]
    right: int
    checks: int

    @property
    def guess_chance(self) -> float:
        """Chance of as many right checks or more by guessing, exact binomial."""
        return chance_of_guessing(self.right, self.checks)

    @property
    def flagged(self) -> bool:
        """Whether the checks do not show more than guessing, at 5 %."""
        return self.guess_chance > SIGNIFICANT


def read_answers(folder: Path, key: Key) -> tuple[list[Listener], list[str]]:
    """Listeners with usable answers, by name, and a line for each file that is not used, with the reason.

    Of two files of one listener the one with more answers counts. Raises UserError where no file can be used.
    """
    paths = answer_paths(folder)
    read: dict[Path, Answers] = {}
    lines = []
    for path in paths:
        try:
            read[path] = _checked(path, key)
        except UserError as error:
            lines.append(f"{_named(path, folder)}: not used: {error}")
    chosen: dict[str, Path] = {}
    for path in sorted(read, key=lambda path: (-len(read[path].answers), path)):
        name = _code(read[path].listener)
        if name not in chosen:
            chosen[name] = path
            continue
        kept = chosen[name]
        words = "a copy of" if read[path].answers == read[kept].answers else f"listener {quoted(name)} stands too in"
        lines.append(f"{_named(path, folder)}: not used: {words} {_named(kept, folder)}")
    if not chosen:
        more = f"; {lines[0]}" if lines else ""
        raise UserError(f"--collect {folder}: none of {len(paths)} files of answers can be used{more}")
    return [_listener(read[path], key) for path in sorted(chosen.values())], lines


def _named(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _code(listener: str) -> str:
    return " ".join(listener.split()).casefold()


def _checked(path: Path, key: Key) -> Answers:
    try:
        found = read_content(path, Answers)
    except OSError as error:
        raise UserError(error.strerror or "cannot be read") from error
    except UserError as error:
        raise UserError(f"damaged: {error}") from error
    if found.test != key.test:
        raise UserError(f"answers of another test, {quoted(found.test)}")
    plan = key.plans[found.plan] if found.plan < len(key.plans) else []
    if [answer.trial for answer in found.answers] != plan[: len(found.answers)]:
        raise UserError("damaged: other trials than those of its plan")
    form = str if key.kind == "pairs" else tuple
    if not all(isinstance(answer.answer, form) for answer in found.answers):
        raise UserError(f"damaged: no answers of a test of {key.kind}")
    return found


def _listener(answers: Answers, key: Key) -> Listener:
    right = _right(answers.answers, key)
    return Listener(" ".join(answers.listener.split()), tuple(answers.answers), sum(right), len(right))


def _right(answers: Iterable[Answer], key: Key) -> list[bool]:
    """Of each check whether real music was preferred."""
    checks = [answer for answer in answers if key.is_check(answer.trial)]
    return [one.preferred is not None and key.samples[one.preferred].system == REAL for one in checks]
