"""The content of a study file: its baseline, axes, arms, seeds and what it measures."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_serializer, field_validator, model_validator

from bench.data.settings import TokenizerSettings
from bench.data.splits import all_folds, parse_fold
from bench.study import MOST_SEED
from bench.study.presentation import PresentationSettings
from bench.study.settings import (
    ArmModelSettings,
    DiffusionSettings,
    KernelSettings,
    Limits,
    Measure,
    ModelSettings,
    SampleSettings,
    Settings,
    VisibleName,
    given,
)
from bench.training.settings import PartialTrainSettings, TrainSettings

Seed = Annotated[int, Field(ge=0, le=MOST_SEED, strict=True)]
SETTING_GROUPS = ("model", "tokenizer", "diffusion", "train", "sample", "kernels")
PLAIN_AXES = ("arm", "corpus", "length", "splits")


class Match(Settings):
    """Arms made equal in size by their width."""

    by: Literal["params", "flops"] = Field("params", description="what is made equal")
    reference: str | None = Field(None, description="arm whose size the others take; default: the baseline arm")
    length: int | None = Field(None, ge=1, description="tokens at which FLOPs are counted (by: flops)")
    tolerance: float = Field(0.01, gt=0, le=0.5, description="largest relative mismatch accepted")


TUNED_KINDS: dict[str, type[BaseModel]] = {
    "train": TrainSettings, "diffusion": DiffusionSettings, "model": ModelSettings
}  # fmt: skip
"""Groups of settings that a sweep may vary: those that decide validation bits/token and no tokens."""


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) != len(seeds):
        raise ValueError("seeds must be distinct")
    return seeds


Seeds = Annotated[tuple[Seed, ...], Field(strict=False, min_length=1), AfterValidator(_distinct)]


class Tune(Settings):
    """A sweep before the study's own cells: each arm runs at the values that give it the lowest validation bits/token.
    Its other keys are dotted settings with their values; several make a grid."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "additionalProperties": False,
            "patternProperties": {rf"^({'|'.join(TUNED_KINDS)})\.": {"type": "array", "minItems": 2}},
        },
    )
    __pydantic_extra__: dict[str, list[Any]] = Field(init=False)

    seeds: Seeds = Field((100, 101), description="seeds of the sweep, none of the study's own")
    share: float = Field(0.25, gt=0, le=1, description="share of the training budget, with its own schedule to the end")
    shared: bool = Field(True, description="also train every arm at the one value that is best for all of them")

    @property
    def grid(self) -> dict[str, list[Any]]:
        """Dotted setting -> its values."""
        return dict(self.__pydantic_extra__)

    @model_validator(mode="after")
    def _something_to_choose(self) -> Tune:
        if not self.grid:
            raise ValueError("names no setting; give one with its values, as in train.learning_rate: [1.0e-3, 2.0e-3]")
        for name, values in self.grid.items():
            if len(values) < 2:
                words = "one value leaves nothing to choose" if values else "no values"
                raise ValueError(f"{name}: {words}; give two or more, or set it in the baseline")
        return self


class ArmChoice(Settings):
    """An arm on the arm axis: a catalog name, a registered denoiser or a pattern, with a label and sizes of its own
    where wanted; or the music of another system, whose quality is measured beside the others."""

    name: VisibleName = Field(description="label in tables and figures")
    arm: str = Field("", description="catalog name, registered denoiser or block pattern")
    midi: str | None = Field(None, description="instead of `arm`: a folder of MIDI files that another system made")
    pieces: int | None = Field(
        None,
        ge=2,
        exclude_if=lambda one: one is None,
        description="files of `midi` that are measured, spread evenly over their names; default: all",
    )
    model: ArmModelSettings = Field(ArmModelSettings(), description="sizes that this arm alone has")
    train: PartialTrainSettings | Literal["none"] = Field(
        PartialTrainSettings(),
        exclude_if=lambda one: one == PartialTrainSettings(),
        description="training of this arm alone, over the baseline's and the axes'; none: measured without training",
    )
    checkpoint: str | None = Field(
        None,
        exclude_if=lambda one: one is None,
        description="weights (.safetensors, or the folder of a `train` run), from the folder of the study's file",
    )
    kernels: KernelSettings = Field(
        KernelSettings(), exclude_if=lambda one: not one.asked(), description="kernels of this arm alone"
    )
    length: int | None = Field(None, ge=1, description="tokens it is trained at, whatever the study's length")
    sample_lengths: tuple[int, ...] = Field(
        (),
        strict=False,
        description="lengths at which it plays, each against real music of that length; empty: where it was trained",
    )

    _as_given = field_serializer("model")(given)

    @field_serializer("train")
    def _train_as_given(self, train: PartialTrainSettings | Literal["none"]) -> Any:
        return train if isinstance(train, str) else given(train)

    @field_validator("train", mode="before")
    @classmethod
    def _settings_or_none(cls, train: Any) -> Any:
        if isinstance(train, str) and train != "none":
            raise ValueError("must be settings of the trainer, or none")
        return train

    @model_validator(mode="after")
    def _arm_or_midi(self) -> ArmChoice:
        if bool(self.arm) == bool(self.midi):
            raise ValueError("give either `arm`, a catalog name or pattern, or `midi`, a folder")
        trained = self.train == "none" or given(self.train)
        if self.midi and (given(self.model) or trained or self.length or self.sample_lengths or self.kernels.asked()):
            raise ValueError("an arm of MIDI files has no model, train, kernels, length or sample_lengths")
        if (self.checkpoint is None) != (self.train != "none"):
            raise ValueError("`checkpoint`, a file of weights, and `train: none` are given together")
        if self.pieces and not self.midi:
            raise ValueError("`pieces` is of an arm of MIDI files; a trained arm's stand in sample.pieces")
        if self.midi and self.checkpoint:
            raise ValueError("an arm of MIDI files has no checkpoint")
        return self


class Baseline(Settings):
    """The settings of every cell, except where an axis sets another value."""

    arm: str = Field("transformer", description="catalog name, registered denoiser or block pattern")
    corpus: str = Field("demo", description="corpus, corpus/subset (demo/lieder) or folder:PATH; #track=NAME")
    length: int = Field(512, ge=1, description="tokens a window and a generated piece")
    model: ModelSettings = ModelSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    diffusion: DiffusionSettings = DiffusionSettings()
    train: PartialTrainSettings = PartialTrainSettings()
    sample: SampleSettings = SampleSettings()
    kernels: KernelSettings = Field(
        KernelSettings(), exclude_if=lambda one: not one.asked(), description="kernels asked for, of every arm"
    )

    _as_given = field_serializer("model", "tokenizer", "train")(given)


def _as_written(schema: dict[str, Any]) -> None:
    """Complete the JSON schema for a file before its includes are merged."""
    names = {"type": "string"}
    schema["properties"]["include"] = {
        "anyOf": [names, {"type": "array", "items": names}],
        "description": "files whose content this one adds to; names are read from the folder of this file",
    }
    schema.pop("required", None)  # an included file may say it


class StudyFile(Settings):
    """The content of a study file."""

    model_config = ConfigDict(json_schema_extra=_as_written)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="folder under results/")
    question: str = Field(description="what the study asks, in a sentence")
    baseline: Baseline = Baseline()
    axes: dict[str, list[Any]] = Field(
        default_factory=dict,
        description="dotted setting -> its values; splits -> a number of folds, each the test side once; a name of "
        "your own -> named choices of several settings, {name: NAME, group.setting: value, ...}",
    )
    exclude: tuple[dict[str, Any], ...] = Field(
        (), strict=False, description="combinations of axis values to leave out; a list of values means any of them"
    )
    match: Match | None = None
    tune: Tune | None = Field(
        None, exclude_if=lambda one: one is None, description="each arm at its own best values, from a sweep before"
    )
    tuned_in: str | None = Field(
        None,
        exclude_if=lambda one: one is None,
        description="study whose sweep chose what arms or baseline state under `train`; the report names it",
    )
    seeds: Seeds = Field((0,), description="each seeds weights, data order, noise and sampling")
    measure: Measure
    matters: dict[str, Any] = Field(
        default_factory=dict,
        exclude_if=lambda stated: not stated,
        json_schema_extra={
            "additionalProperties": {
                "anyOf": [
                    {"type": "number", "exclusiveMinimum": 0},
                    {"type": "string", "pattern": r"^\s*[0-9.eE+-]+\s*%\s*$"},
                ]
            }
        },
        description="quantity -> the smallest difference that matters, as a number in its unit or as a percentage; "
        "changes verdicts alone, and no cell",
    )
    limits: Limits = Limits()
    presentation: PresentationSettings = Field(
        PresentationSettings(),
        exclude_if=lambda one: one == PresentationSettings(),
        description="how reports show the study: arms, order, labels, colours, panels; no part of any cell",
    )
    plugins: tuple[str, ...] = Field((), strict=False, description="modules that register further mixers and denoisers")

    @field_validator("axes", mode="before", json_schema_input_type=dict[str, list[Any] | int])
    @classmethod
    def _splits_as_folds(cls, axes: Any) -> Any:
        """Every fold in place of the number of folds."""
        folds = axes.get("splits") if isinstance(axes, dict) else None
        if isinstance(folds, int) and not isinstance(folds, bool):
            return axes | {"splits": all_folds(folds)}
        for fold in folds if isinstance(folds, list) else []:
            parse_fold(str(fold))
        return axes

    @field_validator("match", mode="before", json_schema_input_type=Match | Literal["params", "flops"] | None)
    @classmethod
    def _match_by_word(cls, value: Any) -> Any:
        return {"by": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _tuned_apart(self) -> StudyFile:
        if self.tune and not self.measure.quality:
            raise ValueError("tune chooses by validation bits/token: add measure.quality: {}")
        both = sorted(set(self.seeds) & set(self.tune.seeds)) if self.tune else []
        if both:
            words = ", ".join(map(str, both))
            raise ValueError(f"tune.seeds: {words} is of the study too, whose values would be chosen on its own seeds")
        return self
