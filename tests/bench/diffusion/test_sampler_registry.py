"""The registry of samplers and what a study file offers of them are the same."""

from __future__ import annotations

from typing import Any

import pytest

from bench.diffusion import SAMPLERS, DiffusionError
from bench.diffusion.samplers.registry import Option, check_sampler, samplers_for
from bench.diffusion.schedule import MULTI_SCALE, SCHEDULES
from bench.study.settings import DiffusionSettings, SampleSettings

ABSORBING_SAMPLERS = [name for name in SAMPLERS if name not in ("block", "autoregressive")]
NOT_IN_STUDIES = {"per_call"}  # a study gives the number of steps instead
FIELDS: dict[str, dict[str, Any]] = SampleSettings.model_json_schema()["properties"]


def test_a_study_names_the_registered_samplers_and_schedules() -> None:
    assert sorted(FIELDS["sampler"]["enum"]) == sorted(SAMPLERS)
    schedules = DiffusionSettings.model_json_schema()["properties"]["schedule"]["enum"]
    assert schedules == [*SCHEDULES, MULTI_SCALE]
    assert {name for sampler in SAMPLERS.values() for name in sampler.schedules} == set(schedules)
    assert samplers_for(MULTI_SCALE) == ["ancestral", "cached"] and samplers_for("cosine") == ABSORBING_SAMPLERS


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_study_offers_the_options_of_a_sampler_with_its_limits(name: str) -> None:
    offered = {key for key, value in FIELDS.items() if name in value["description"].partition(" only: ")[0].split(", ")}
    assert offered == set(SAMPLERS[name].options) - NOT_IN_STUDIES
    for key in offered:
        option, (field, nothing) = SAMPLERS[name].options[key], FIELDS[key]["anyOf"]
        assert (
            nothing == {"type": "null"}
            and field["type"] == {int: "integer", float: "number", str: "string"}[option.kind]
        )
        assert (field.get("minimum"), field.get("maximum")) == (option.least, option.most)
        assert tuple(field.get("enum", ())) == option.choices
        assert option.default is None or str(option.default) in FIELDS[key]["description"].split("none: ")[1]


def test_each_objective_has_its_own_samplers() -> None:
    assert samplers_for("linear", "block") == ["block"] and samplers_for("linear", "autoregressive") == [
        "autoregressive"
    ]
    with pytest.raises(DiffusionError, match=r"'block' does not follow a process of objective absorbing; allowed: anc"):
        check_sampler("block")
    with pytest.raises(DiffusionError, match=r"'cached' does not follow a process of objective block; allowed: block$"):
        check_sampler("cached", objective="block")


def test_an_option_is_none_only_where_the_sampler_then_decides() -> None:
    Option(int, None, least=1).check("window", None)
    with pytest.raises(DiffusionError, match=r"eta: None is not allowed; allowed: 0 or more"):
        Option(float, 0.02, least=0, allowed="0 or more").check("eta", None)


def test_every_option_names_its_samplers() -> None:
    for name, sampler in SAMPLERS.items():
        check_sampler(name, sampler.options, objective=sampler.objectives[0])
    with pytest.raises(ValueError, match=r"eta: the sampler 'cached' has no such setting; allowed: with 'remask'"):
        check_sampler("cached", ["temperature", "eta"])
