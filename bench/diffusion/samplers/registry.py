"""The registry of samplers: each with its own options, the schedules it serves, and whether it needs a window.

Adding one costs a function and a registration, in a file that `bench.diffusion.samplers` imports:

    @register_sampler("remask", eta=Option(float, 0.02, least=0, most=1, allowed="0 to 1"))
    def remask(request: SampleRequest, *, eta: float) -> Sample: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from architectures.padding import padded_rows
from bench.diffusion.errors import DiffusionError
from bench.diffusion.objectives import ABSORBING
from bench.diffusion.samplers.calls import CallPlan
from bench.diffusion.samplers.request import Denoise, Sample, SampleRequest, evaluation_mode
from bench.diffusion.schedule import SCHEDULES
from bench.errors import quoted


@dataclass(frozen=True)
class Option:
    """A setting that one sampler alone has.

    A number lies in `least`..`most`, a word is one of `choices`; `allowed` says so in an error. None is accepted
    where it is the default: the sampler then decides.
    """

    kind: type
    default: float | str | None
    least: float | None = None
    most: float | None = None
    allowed: str = ""
    choices: tuple[str, ...] = ()

    def check(self, name: str, value: Any) -> None:
        """Raise DiffusionError unless the option may have this value."""
        if value is None and self.default is None:
            return
        if self.choices and value not in self.choices:
            raise DiffusionError(f"{name}: {quoted(value)} is not known; allowed: {', '.join(self.choices)}")
        fits = value is not None and (self.least is None or value >= self.least)
        if not fits or not (self.most is None or value <= self.most):
            raise DiffusionError(f"{name}: {value} is not allowed; allowed: {self.allowed}")


@dataclass(frozen=True, eq=False)
class Sampler:
    """A registered sampler.

    fill              `fill(request, **options) -> Sample`, every option given
    schedules         names of the schedules whose reverse process it follows
    objectives        what networks are trained for whose law it draws from, see `bench.diffusion.objectives`
    needs_window      it runs another sampler in windows, and takes the length of one as its option `window`
    instead_of_steps  option that stands in place of the number of steps
    calls             `calls(length, steps, trained_block, **options) -> CallPlan` of a row of MASK alone; None where it
                      is not predicted
    parts             `parts(length, trained_block, joint, **options)`: tokens that a network is given at once, where it
                      is not all of them; DiffusionError for options that do not go together, or with a constraint on
                      several positions (`joint`). None: all tokens, with any
    """

    name: str
    fill: Callable[..., Sample]
    options: Mapping[str, Option]
    schedules: tuple[str, ...] = SCHEDULES
    needs_window: bool = False
    instead_of_steps: str | None = None
    objectives: tuple[str, ...] = (ABSORBING,)
    calls: Callable[..., CallPlan] | None = None
    parts: Callable[..., int] | None = None

    def __call__(self, denoise: Denoise, tokens_BL: torch.Tensor, **settings: Any) -> Sample:
        """Fill every MASK of `tokens_BL`; `settings` are the sampler's own options and fields of SampleRequest."""
        own = self.own_options(settings)
        return self.run(SampleRequest(denoise, tokens_BL, **settings), **own)

    def own_options(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The sampler's own options among `settings`, taken out of them."""
        return {name: settings.pop(name) for name in self.options if name in settings}

    def run(self, request: SampleRequest, **options: Any) -> Sample:
        """Fill the rows of a request. Raises DiffusionError for options that cannot be used, and for a network of
        another objective."""
        if request.objective not in self.objectives:
            check_sampler(self.name, objective=request.objective)
        chosen = {name: options.pop(name, option.default) for name, option in self.options.items()}
        for name, option in self.options.items():
            option.check(name, chosen[name])
        with evaluation_mode(request.denoise), padded_rows(request.padded):
            sample = self.fill(request, **chosen, **options)
        return Sample(sample.tokens_BL.clone(), sample.nfe)

    def plan(self, length: int, steps: int | None, trained_block: int | None = None, **options: Any) -> CallPlan | None:
        """The network calls of a piece of `length` tokens drawn from MASK alone; None where they are not predicted."""
        if self.calls is None:
            return None
        chosen = {name: options.get(name, option.default) for name, option in self.options.items()}
        return self.calls(length, steps, trained_block, **chosen)

    def part(self, length: int, trained_block: int | None = None, *, joint: bool = False, **options: Any) -> int:
        """Tokens of a piece of `length` tokens that a network is given at once.

        Raises DiffusionError for options that do not go together, as a run does; `joint`: there is a constraint on
        several positions."""
        if self.parts is None:
            return length
        chosen = {name: options.get(name, option.default) for name, option in self.options.items()}
        return self.parts(length, trained_block, joint, **chosen)

    def steps_for(self, steps: int, masked: float) -> int:
        """The steps of rows of which a share `masked` in 0..1 is to be filled, where rows of MASK alone take `steps`:
        that share of them, at least 1. A sampler that works in windows divides its steps itself."""
        return steps if self.needs_window else max(1, round(steps * masked))


SAMPLERS: dict[str, Sampler] = {}


def register_sampler(
    name: str,
    *,
    schedules: tuple[str, ...] = SCHEDULES,
    needs_window: bool = False,
    instead_of_steps: str | None = None,
    objectives: tuple[str, ...] = (ABSORBING,),
    calls: Callable[..., CallPlan] | None = None,
    parts: Callable[..., int] | None = None,
    **options: Option,
) -> Callable[[Callable[..., Sample]], Sampler]:
    """Decorator that registers a function of a SampleRequest and of its own options under `name`; see Sampler."""

    def register(fill: Callable[..., Sample]) -> Sampler:
        SAMPLERS[name] = Sampler(
            name, fill, options, schedules, needs_window, instead_of_steps, objectives, calls, parts
        )
        return SAMPLERS[name]

    return register


def samplers_for(schedule: str, objective: str = ABSORBING) -> list[str]:
    """Names of the samplers that follow a process of this schedule and objective."""
    return [
        name for name, sampler in SAMPLERS.items() if schedule in sampler.schedules and objective in sampler.objectives
    ]


def call_plan(diffusion: Mapping[str, Any], sample: Mapping[str, Any], length: int) -> CallPlan | None:
    """The network calls of a piece of `length` tokens by the settings of a cell (its `diffusion` and `sample`); None
    where they are not predicted."""
    sampler = SAMPLERS[sample["sampler"]]
    options = {name: sample[name] for name in sampler.options if name in sample}
    return sampler.plan(length, sample["steps"], diffusion.get("block"), **options)


def check_sampler(
    name: str, options: Iterable[str] = (), *, schedule: str = SCHEDULES[0], objective: str = ABSORBING
) -> None:
    """Raise DiffusionError for a sampler that is unknown or of other schedules or objectives, or an option of another
    sampler."""
    served = samplers_for(schedule, objective)
    if name not in SAMPLERS:
        raise DiffusionError(f"sampler: {quoted(name)} is not known; allowed: {', '.join(served)}")
    if objective not in SAMPLERS[name].objectives:
        raise DiffusionError(
            f"sampler: {quoted(name)} does not follow a process of objective {objective}; allowed: {', '.join(served)}"
        )
    if name not in served:
        raise DiffusionError(
            f"sampler: {quoted(name)} does not follow a {schedule} schedule; allowed: {', '.join(served)}"
        )
    for option in options:
        owners = [repr(other) for other, sampler in SAMPLERS.items() if option in sampler.options]
        if owners and repr(name) not in owners:
            allowed = " or ".join(owners)
            raise DiffusionError(f"{option}: the sampler {quoted(name)} has no such setting; allowed: with {allowed}")
