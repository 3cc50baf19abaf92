"""Settings of the trainer that all arms share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from bench.errors import quoted
from bench.training.errors import TrainingError
from bench.training.tracking import UNTRACKED, Tracker

BUDGETS = ("steps", "seconds", "flops")
Decay = Annotated[float, Field(ge=0, lt=1)]


def _tracker(value: object) -> object:
    """The tracker's name for what earlier versions wrote: whether TensorBoard's events are written."""
    return ("tensorboard" if value else UNTRACKED) if isinstance(value, bool) else value


class PartialTrainSettings(BaseModel):
    """Settings of the one trainer of all arms, checked one by one: those of a study's baseline, which axes complete."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    steps: int | None = Field(None, ge=1, description="budget in optimiser steps: arms compared at equal data")
    seconds: float | None = Field(
        None, gt=0, description="budget in seconds of training, validation not counted: arms compared at equal time"
    )
    flops: float | None = Field(
        None, gt=0, description="budget in FLOPs, 3 forward passes a step: arms compared at equal compute"
    )
    batch: int = Field(8, ge=1, description="sequences a step over all processes; decides the noise, not the speed")
    accumulation: int = Field(1, ge=1, description="parts a process computes its share of the batch in, to save memory")
    processes: int = Field(
        1,
        ge=1,
        exclude_if=lambda count: count == 1,
        description="processes a study's cell trains in, under torchrun: each takes its share of a batch, and a GPU",
    )
    learning_rate: float = Field(1e-3, gt=0, description="AdamW's largest step; SCHmUBERT 5e-4 at 512 wide")
    betas: tuple[Decay, Decay] = Field(
        (0.9, 0.99), strict=False, description="AdamW's decays; 0.99 forgets fast enough for short runs"
    )
    weight_decay: float = Field(0.01, ge=0, description="AdamW's; not on norms, biases, embeddings, positions, SSM's")
    warmup_steps: int = Field(
        100, ge=0, description="steps of linear warm-up, at most a tenth of the budget; SCHmUBERT 10,000"
    )
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="learning rate after warm-up, over the budget"
    )
    final_learning_rate: float = Field(0.05, ge=0, le=1, description="share of learning_rate left at the end of cosine")
    clip: float = Field(1.0, gt=0, description="largest gradient norm; a rare long step would undo many")
    ema: float = Field(
        0.995,
        ge=0,
        lt=1,
        description="decay an update of the averaged weights that are evaluated; SCHmUBERT's 0.995 is every 10 steps, "
        "about 0.9995 a step",
    )
    ema_steps: int = Field(
        1,
        ge=1,
        exclude_if=lambda steps: steps == 1,
        description="steps between updates of the averaged weights; SCHmUBERT 10",
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="of matrix products; bfloat16 on a recent GPU, or a CPU with AVX512_BF16 or AMX"
    )
    evaluation_precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        exclude_if=lambda precision: precision == "float32",
        description="of the calls that bits/token come from, whatever the precision of the training; bfloat16 for "
        "kernels that take nothing else",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one")
    compile: bool = Field(False, description="torch.compile; minutes at the start, needs a compiler")
    activation_checkpointing: bool = Field(False, description="recompute blocks in the backward pass to save memory")
    crops: Literal["bar", "any", "windows"] = Field(
        "bar", description="where a training sequence begins: at a random bar, at any token, or on the fixed windows"
    )
    transpose_semitones: int = Field(
        0, ge=0, le=24, description="each sequence moved by up to this many, in the piano's range"
    )
    regularisers: str = Field(
        "none",
        exclude_if=lambda words: words == "none",
        description="soft constraints in the loss: pitch=WEIGHT, chord=K:WEIGHT, joined by +; see "
        "bench.diffusion.regularisers",
    )
    validations: int = Field(
        8, ge=0, description="points of the learning curve, spread over the budget, the last one at its end"
    )
    validation_windows: int | None = Field(16, ge=1, description="windows of each point, always the same; none: all")
    validation_draws: int = Field(2, ge=2, description="masks a window of each point, always the same; even")
    final_validation_windows: int | None = Field(
        128,
        ge=1,
        description="windows of each evaluation after training, evenly spread: of the validation side, which choices "
        "are made on, and of the test side, which tables compare; none: all (hundreds in a large corpus)",
    )
    final_validation_draws: int = Field(8, ge=2, description="masks a window of the evaluations after training; even")
    keep: Literal["best", "last"] = Field(
        "best",
        description="averaged weights that are evaluated: of the best point of the learning curve, or of its end. They "
        "are the same while the curve falls; best keeps an arm that overfits from being reported past its best. All "
        "points are on one grid of the validation side, so that few suffice; a tie goes to the earlier one",
    )
    patience: int | None = Field(None, ge=1, description="stop after this many validations without a better one")
    log_steps: int = Field(10, ge=1, description="steps a line of the learning curve is the mean of")
    checkpoint_steps: int | None = Field(None, ge=1, description="steps between checkpoints")
    checkpoint_seconds: float | None = Field(120.0, gt=0, description="seconds between checkpoints, whichever is first")
    track: Annotated[Tracker, BeforeValidator(_tracker)] = Field(
        UNTRACKED,
        description="also write the learning curve to this tracker, whose package must be installed (extra `track` for "
        "TensorBoard), offline; decides nothing and is part of no cell's id. `true`: tensorboard",
    )


class TrainSettings(PartialTrainSettings):
    """Settings of the one trainer of all arms, with exactly one budget (steps, seconds or flops)."""

    @model_validator(mode="after")
    def _checked(self) -> TrainSettings:
        given = [name for name in BUDGETS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"budget: {', '.join(given) or 'none'} given; allowed: exactly one of {', '.join(BUDGETS)}"
            )
        if self.validation_draws % 2 or self.final_validation_draws % 2:
            raise ValueError("validation_draws and final_validation_draws must be even")
        if self.regularisers != "none":
            from bench.diffusion.regularisers import RegulariserChoice  # imports torch

            RegulariserChoice.parse(self.regularisers)
        if self.steps is not None and self.ema_steps > self.steps:
            raise ValueError(f"ema_steps: {self.ema_steps} is over the budget of {self.steps} steps: no average")
        if self.batch % self.accumulation:
            raise ValueError(f"accumulation: {self.accumulation} parts do not divide a batch of {self.batch}")
        parts = self.processes * self.accumulation
        if self.batch % parts:
            raise ValueError(
                f"processes: a batch of {self.batch} cannot be split over {self.processes} processes x "
                f"{self.accumulation} parts; allowed: a batch that is a multiple of {parts}"
            )
        return self

    def shared_out(self, share: float) -> TrainSettings:
        """These settings with a share of the budget, at least one step."""
        name = next(name for name in BUDGETS if getattr(self, name) is not None)
        part = getattr(self, name) * share
        return self.model_copy(update={name: max(1, round(part)) if name == "steps" else part})

    def deciding(self) -> dict[str, Any]:
        """The settings that decide the trained weights: a resume must find the same. The processes decide their last
        bits only (sums in another order), so that a run may go on in another number of them."""
        free = {"checkpoint_steps", "checkpoint_seconds", "track", "log_steps", "processes"}
        return {name: value for name, value in self.model_dump(mode="json").items() if name not in free}


def train_settings(values: dict[str, Any]) -> TrainSettings:
    """TrainSettings from plain values; raises a TrainingError of one line for the first setting that is wrong."""
    try:
        return TrainSettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise TrainingError(
                f"train.{where}: no such setting; allowed: {', '.join(TrainSettings.model_fields)}"
            ) from None
        words = first["msg"].removeprefix("Value error, ")
        raise TrainingError(
            f"train.{where}: {quoted(first['input'])}: {words}" if where else f"train: {words}"
        ) from None
