"""A paper's published figures and claims, as its YAML under `bench/studies/papers/` holds them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from bench.errors import UserError, quoted
from bench.files import canonical_hash
from bench.study.yaml import Place, read_yaml, validate

PAPERS_FOLDER = Path(__file__).parents[2] / "studies" / "papers"
DEFAULT_PAPER = "smdim"


class Strict(BaseModel):
    """Refuses unknown keys and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Quantity(Strict):
    """What a claim is about, as something a result table can give.

    ratio: arm / baseline at a length. exponent: slope of log cost over log length. lead: how much better the arm is
    than every arm of `against`, seeds paired. change: the figure at `length` minus that at the shortest length.
    excess: the arm's figure minus that of the reference row `over`. level: the arm's figure itself.
    """

    kind: Literal["ratio", "exponent", "lead", "change", "excess", "level"]
    metric: str = Field(description="metric of the result table")
    arm: str = Field(description="arm the claim is about")
    baseline: str = Field("", description="arm of the denominator (ratio)")
    against: Literal["", "all", "orders"] = Field("", description="all other arms, or other orders of the same mixers")
    over: str = Field("", description="reference row that is subtracted (excess)")
    length: int | None = Field(None, ge=1, description="tokens; left out: every length")

    @model_validator(mode="after")
    def _has_its_other_side(self) -> Quantity:
        wanted = {"ratio": "baseline", "lead": "against", "excess": "over"}.get(self.kind)
        if wanted and not getattr(self, wanted):
            raise ValueError(f"a quantity of kind {self.kind} needs the key {wanted}")
        return self


class Claim(Strict):
    """A published claim, and the interval in which a measurement counts as the same finding."""

    id: str = Field(pattern=r"^[a-z0-9-]+$", description="short name")
    text: str = Field(description="the claim in a sentence")
    source: str = Field(description="where it is published")
    quantity: Quantity
    accept: tuple[float, float] = Field(description="lowest and highest value that agree with the claim")
    why: str = Field(description="how the words were read as an interval")

    @field_validator("accept")
    @classmethod
    def _ordered(cls, accept: tuple[float, float]) -> tuple[float, float]:
        if not accept[0] < accept[1]:
            raise ValueError("accept must be [low, high] with low < high")
        return accept


class PublishedFigure(Strict):
    """An absolute figure as published; it is shown beside measurements, never compared by a test."""

    what: str
    value: float
    unit: str
    source: str
    setting: str = Field(description="what is not known of how it was measured")
    metric: str = ""
    corpus: str = ""
    tokenizer: str = Field("", description="preset that a study must have for its figure to be shown beside this one")


class Finding(Strict):
    """Something known of the paper's data or code that the paper does not say, and how sure it is."""

    what: str
    text: str
    source: str
    sure: str = Field(description="known, or inferred and how strongly")


class Paper(Strict):
    """The content of a paper file."""

    name: str
    title: str
    source: str
    not_known: str = Field(description="settings behind the figures that are not known to us")
    figures: tuple[PublishedFigure, ...] = ()
    findings: tuple[Finding, ...] = ()
    claims: tuple[Claim, ...] = Field(min_length=1)


def finding_words(paper: Paper) -> list[str]:
    """A sentence on each thing that is known of the paper's data and code: text, how sure, source."""
    return [f"{one.what}: {one.text} ({one.sure}; {one.source})." for one in paper.findings]


def claims_hash(paper: Paper) -> str:
    """Identity of what was claimed and what would count: changes when a quantity or an acceptance interval does."""
    content = [
        {"id": claim.id, "quantity": claim.quantity.model_dump(), "accept": [_bound(value) for value in claim.accept]}
        for claim in paper.claims
    ]
    return canonical_hash(content)


def claims_recorded(paper: Paper, recorded: str) -> int:
    """How many of the paper's claims, counted from the first, a recorded hash holds; 0 where it is of none. New claims
    go to the end of a paper, so that a run from before them is seen to have recorded the others."""
    shorter = (paper.model_copy(update={"claims": paper.claims[:count]}) for count in range(1, len(paper.claims) + 1))
    return next((len(one.claims) for one in shorter if claims_hash(one) == recorded), 0)


def shipped_claims() -> dict[str, str]:
    """Name and claims hash of every shipped paper, as a run records them before it measures anything."""
    papers = (load_paper(path.stem) for path in sorted(PAPERS_FOLDER.glob("*.yaml")))
    return {paper.name: claims_hash(paper) for paper in papers}


def _bound(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def load_paper(name_or_path: str = DEFAULT_PAPER) -> Paper:
    """A paper by name (`smdim`) or by the path of its YAML. Raises UserError with file, line and key."""
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = PAPERS_FOLDER / f"{name_or_path}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in PAPERS_FOLDER.glob("*.yaml")))
        raise UserError(f"no paper {quoted(name_or_path)}: there are {known}, or give the path of a YAML file")
    content, lines = read_yaml(path)
    paper = validate(Paper, content, Place(path, lines))
    doubled = {claim.id for claim in paper.claims if sum(other.id == claim.id for other in paper.claims) > 1}
    if doubled:
        raise UserError(f"{path}: claim id {', '.join(sorted(doubled))} is given twice")
    return paper
