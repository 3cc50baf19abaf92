"""Settings that refuse what cannot be used; learning rate, average, groups, budget against their formulas."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from architectures.backbone import Backbone
from architectures.building import shapes_only
from architectures.catalog import CATALOG, resolve
from bench.training import TrainingError, TrainSettings, train_settings
from bench.training.optimiser import AveragedWeights, learning_rate, parameter_groups
from bench.training.progress import Budget, budget_of


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 5, "seconds": 3}, "budget: steps, seconds given; allowed: exactly one of steps, seconds, flops"),
        ({}, "budget: none given"),
        ({"steps": 0}, r"train.steps: 0: Input should be greater than or equal to 1"),
        ({"seconds": 0}, r"train.seconds: 0: Input should be greater than 0"),
        ({"flops": -1}, "train.flops: -1"),
        ({"steps": 5, "leraning_rate": 1}, "train.leraning_rate: no such setting; allowed: steps, seconds"),
        ({"steps": 5, "batch": 6, "accumulation": 4}, "accumulation: 4 parts do not divide a batch of 6"),
        ({"steps": 5, "validation_draws": 3}, "must be even"),
        ({"steps": 5, "precision": "float8"}, "train.precision: 'float8': Input should be"),
        ({"steps": 5, "ema": 1.0}, "train.ema: 1.0: Input should be less than 1"),
        ({"steps": 5, "ema_steps": 6}, "ema_steps: 6 is over the budget of 5 steps"),
    ],
)
def test_settings_that_cannot_be_used(values: dict, message: str) -> None:
    with pytest.raises(TrainingError, match=message) as caught:
        train_settings(values)
    assert len(str(caught.value).splitlines()) == 1


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in TrainSettings.model_fields.values())


def test_learning_rate_warms_up_and_falls_as_a_cosine() -> None:
    settings = TrainSettings(steps=1000, learning_rate=1.0, warmup_steps=10, final_learning_rate=0.1)
    assert learning_rate(settings, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(settings, 4, 0.0) == pytest.approx(0.5)
    assert learning_rate(settings, 500, 0.5) == pytest.approx(0.55)
    assert learning_rate(settings, 999, 1.0) == pytest.approx(0.1)
    constant = TrainSettings(steps=1000, learning_rate=2.0, warmup_steps=0, schedule="constant")
    assert learning_rate(constant, 0, 0.0) == learning_rate(constant, 999, 1.0) == 2.0


def test_warm_up_takes_no_more_than_a_tenth_of_the_budget() -> None:
    settings = TrainSettings(steps=100, learning_rate=1.0, warmup_steps=10_000, schedule="constant")
    assert learning_rate(settings, 5, 0.05) == pytest.approx(0.5)
    assert learning_rate(settings, 10, 0.1) == 1.0


def test_average_warms_up_by_one_and_n_over_ten_and_n() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 10.0)
    average = AveragedWeights(module, decay=0.15)
    nn.init.constant_(module.weight, 20.0)
    average.update()  # decay 1/10
    assert average.average["weight"].item() == pytest.approx(19.0)
    nn.init.constant_(module.weight, 0.0)
    average.update()  # decay min(0.15, 2/11)
    assert average.average["weight"].item() == pytest.approx(19.0 * 0.15)
    with average.in_place():
        assert module.weight.item() == pytest.approx(2.85) and average.average["weight"].item() == 0.0
    assert module.weight.item() == 0.0
    average.copy_to_module()
    assert module.weight.item() == pytest.approx(2.85)


def test_decay_reaches_matrices_alone() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.norm, self.mix = nn.Embedding(4, 4), nn.LayerNorm(4), nn.Linear(4, 4)
            self.kernel, self.A_log = nn.Conv1d(4, 4, 3), nn.Parameter(torch.zeros(4, 2))
            self.A_log._no_weight_decay = True

    module = Block()
    names = {id(value): name for name, value in module.named_parameters()}
    decayed, plain = parameter_groups(module, 0.3)
    assert {names[id(value)] for value in decayed["params"]} == {"mix.weight", "kernel.weight"}
    assert decayed["weight_decay"] == 0.3 and plain["weight_decay"] == 0.0
    assert len(plain["params"]) + 2 == len(list(module.parameters()))


UNDECAYED = (  # of every arm of the catalog: norms, biases, embeddings, positions, state-space parameters, skips
    "norm.weight", "norm.bias", ".bias", "embedding.weight", ".position", ".A_log", ".D", "delta_bias", "norm_weight",
    ".skip",
)  # fmt: skip


@pytest.mark.parametrize("arm", [*CATALOG, "A(learned)F"])
def test_every_arm_decays_all_but_what_its_name_says(arm: str) -> None:
    with shapes_only():
        backbone = Backbone(resolve(arm, 40, positions="learned", width=16, head_width=8, depth=2))
    names = {id(value): name for name, value in backbone.named_parameters()}
    decayed, plain = ({names[id(value)] for value in group["params"]} for group in parameter_groups(backbone, 0.1))
    assert plain == {name for name in names.values() if name.endswith(UNDECAYED)}
    assert "compress.position" in plain and decayed | plain == set(names.values())


def test_budgets() -> None:
    backbone = nn.Linear(2, 2)
    assert budget_of(TrainSettings(steps=7), backbone, 16) == Budget(7, None)
    assert budget_of(TrainSettings(seconds=7), backbone, 16) == Budget(None, 7)
    assert Budget(10, None).fraction(5, 99.0) == 0.5 and Budget(None, 8.0).fraction(1000, 2.0) == 0.25
    with pytest.raises(TrainingError, match="does not count its FLOPs"):
        budget_of(TrainSettings(flops=1e6), backbone, 16)
    backbone.flops = lambda length: SimpleNamespace(total=100.0 * length)
    # 3 passes x batch 8 x 1,600 FLOPs = 38,400 a step
    assert budget_of(TrainSettings(flops=1e6), backbone, 16) == Budget(26, None)
    assert budget_of(TrainSettings(flops=1), backbone, 16) == Budget(1, None)
