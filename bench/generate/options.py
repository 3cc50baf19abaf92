"""How tokens are drawn: the choices of a request."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from bench.diffusion.constraints import ConstraintChoice
from bench.diffusion.samplers import SAMPLERS
from bench.diffusion.sampling_step import PRECISIONS
from bench.generate.errors import GenerateError


@dataclass(frozen=True)
class DrawOptions:
    """`steps` of the sampler for a full row; `batch` rows at once; `precision` of matrix products."""

    sampler: str = "cached"
    steps: int = 128
    temperature: float = 1.0
    top_p: float = 1.0
    constraint: ConstraintChoice = field(default_factory=ConstraintChoice)
    seed: int = 0
    batch: int = 16
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise GenerateError(f"--sampler {self.sampler!r}: not known; allowed: {', '.join(SAMPLERS)}")
        if self.steps < 1:
            raise GenerateError(f"--steps {self.steps}: allowed: 1 or more")
        if not self.temperature >= 0:
            raise GenerateError(f"--temperature {self.temperature}: allowed: 0 (the best token) or more")
        if not 0 < self.top_p <= 1:
            raise GenerateError(f"--top-p {self.top_p}: allowed: more than 0, at most 1 (all tokens)")
        if self.precision not in PRECISIONS:
            raise GenerateError(f"--precision {self.precision!r}: not known; allowed: {', '.join(PRECISIONS)}")
        if self.batch < 1:
            raise GenerateError(f"--batch {self.batch}: allowed: 1 or more")

    def record(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self) | {"constraint": self.constraint.words()}
