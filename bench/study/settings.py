"""The groups of settings of a study, each setting with its default, its limits and a line of description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

SAMPLER_NAMES = (
    "ancestral", "cached", "first-hitting", "confidence", "remask", "semi-autoregressive", "block", "block-approximate",
    "autoregressive",
)  # fmt: skip


class Settings(BaseModel):
    """Settings that refuse unknown keys and do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


def visible_name(name: str) -> str:
    """The name of an arm. Raises ValueError for one without a visible character."""
    if not any(sign.isprintable() and not sign.isspace() for sign in name):
        raise ValueError("an arm needs a name with a visible character")
    return name


VisibleName = Annotated[str, AfterValidator(visible_name)]


def given(settings: BaseModel) -> dict[str, Any]:
    """The settings that were given, as JSON-able values; defaults are left out."""
    return settings.model_dump(mode="json", exclude_unset=True)


class ModelSettings(Settings):
    """Sizes of the backbone: those of `architectures.BackboneConfig`, and its depth. An arm of the catalog has defaults
    of its own, which stand where a size is not given."""

    width: int = Field(256, description="features a position between the stem's two ends; even")
    stride: int = Field(4, description="tokens a position stands for; 1: the stem shortens nothing")
    kernel: int | None = Field(None, description="width of the stem's convolutions in tokens; null: the stride")
    embedding_width: int | None = Field(None, description="features of a token before the stem; null: half the width")
    head_width: int = Field(32, description="features an attention head aims at")
    hidden: int | None = Field(None, description="inner features of a feed-forward mixer; null: its own default")
    state: int | None = Field(None, description="states a channel of a state-space mixer; null: its own default")
    expand: int | None = Field(None, description="inner width of a state-space mixer over width; null: its own default")
    norm: Literal["layer", "rms"] = Field("layer", description="normalisation before each mixer and at the end")
    positions: Literal["none", "learned"] = Field("none", description="learned: a trained vector a position")
    max_length: int = Field(2048, description="longest input in tokens that learned positions cover")
    dropout: float = Field(0.0, description="share of a mixer's output values zeroed in training")
    time_conditioning: bool = Field(False, description="scale and shift each norm by a function of the diffusion time")
    mask_id: int | None = Field(None, description="id of the mask token, for time conditioning")
    tied_head: bool = Field(False, description="the embedding's weights, scaled by 1 / E, as the output layer")
    checkpoint_blocks: bool = Field(False, description="recompute each mixer in the backward pass to save memory")
    depth: int | None = Field(None, ge=1, description="how often the pattern's block repeats; null: as in the catalog")
    layers: int | None = Field(None, ge=1, description="mixers in all, in place of depth")


class ArmModelSettings(ModelSettings):
    """Sizes of one arm: those of the backbone, or a registered denoiser's own, which are checked where it is built."""

    model_config = ConfigDict(extra="allow")


def process_words(objective: str, block: int | None) -> str:
    """A process in words: its objective, and the tokens of its blocks."""
    return f"{objective} {block}" if block else objective


class DiffusionSettings(Settings):
    """The corruption process and its loss."""

    objective: Literal["absorbing", "block", "autoregressive"] = Field(
        "absorbing",
        exclude_if=lambda name: name == "absorbing",
        description="absorbing: the whole sequence at once; block: blocks from left to right, absorbing within each; "
        "autoregressive: token by token. The latter two need loss mdlm, steps null, schedule linear",
    )
    block: int | None = Field(
        None, ge=1, exclude_if=lambda block: block is None, description="objective block only: tokens of a block"
    )
    steps: int | None = Field(
        512, ge=1, description="T, number of corruption steps (SCHmUBERT: the number of tokens); null: continuous time"
    )
    schedule: Literal["linear", "cosine", "geometric", "multi-scale"] = Field(
        "linear", description="masked share as a function of t/T; multi-scale: by token type and metrical level"
    )
    loss: str = Field("reweighted_elbo", description="training loss by name, see bench.diffusion")
    times: Literal["uniform", "low_discrepancy"] = Field(
        "low_discrepancy", description="times of a batch: independent, or one in each of B equal strata"
    )
    powers: dict[str, float] | None = Field(
        None, description="multi-scale only: token type -> w, masked share (t/T)^w; see bench.diffusion.token_powers"
    )

    @property
    def process(self) -> str:
        """The order in which tokens are drawn, in words; "" for any order on whole sequences."""
        return "" if self.objective == "absorbing" else process_words(self.objective, self.block)

    def deciding(self) -> dict[str, Any]:
        """The settings as a cell keeps them; what is not given is left out."""
        return self.model_dump(exclude={"powers"} if self.powers is None else set())


class SampleSettings(Settings):
    """How pieces are generated from a trained arm."""

    pieces: int = Field(16, ge=2, description="pieces a cell; OA needs at least 2, and n stands in every table")
    steps: int = Field(128, ge=1, description="denoising steps of the sampler, at most the length is useful")
    sampler: Literal[SAMPLER_NAMES] = Field(  # type: ignore[valid-type]
        "cached", description="cached has the law of ancestral and skips calls that reveal nothing"
    )
    temperature: float = Field(1.0, gt=0, description="divides the logits; 1 is the model's own distribution")
    top_p: float | None = Field(
        None, gt=0, le=1, description="share of probability whose most likely tokens may be drawn; none: all"
    )
    choice_temperature: float | None = Field(
        None, ge=0, description="confidence only: noise in the choice of what is kept; none: 4.5"
    )
    schedule: Literal["linear", "cosine", "geometric"] | None = Field(
        None, description="confidence only: masked share after each step; none: cosine"
    )
    remasking: Literal["cap", "rescale", "loop"] | None = Field(None, description="remask only: its rule; none: cap")
    eta: float | None = Field(
        None, ge=0, le=1, description="remask only: how often a token is hidden again; none: 0.02"
    )
    constraints: str | None = Field(
        None, description="grammar+pitch=percentile+chord=4 and the like, see bench.diffusion.constraints; none: none"
    )
    precision: Literal["float32", "bfloat16"] | None = Field(
        None, description="of matrix products while sampling; none: float32"
    )
    window: int | None = Field(
        None, ge=1, description="semi-autoregressive only: tokens the denoiser sees at once; none: all"
    )
    overlap: int | None = Field(
        None, ge=0, description="semi-autoregressive only: tokens a window shares with the one before; none: half"
    )

    inner: Literal["first-hitting", "ancestral", "cached", "confidence", "remask"] | None = Field(
        None, description="block, block-approximate only: sampler within a block; none: first-hitting"
    )
    reveal: int | None = Field(
        None,
        ge=1,
        description="block, block-approximate only: tokens revealed a call, by first-hitting; none: by steps",
    )
    block: int | None = Field(
        None, ge=1, description="block-approximate only: tokens of a block for a network that was trained on whole rows"
    )

    def deciding(self) -> dict[str, Any]:
        """The settings as a cell keeps them; what is not given is left out."""
        return self.model_dump(exclude_none=True)

    def options(self) -> dict[str, Any]:
        """The sampler's own options."""
        return self.model_dump(exclude_none=True, exclude={"pieces", "steps", "sampler", "constraints", "precision"})


class KernelSettings(Settings):
    """Which implementation computes each operator that has more than one; `doctor` lists what works here."""

    scan: Literal["auto", "reference", "torch", "numba", "mamba_ssm", "triton"] = Field(
        "auto", description="Mamba's selective scan"
    )
    attention: Literal["auto", "torch", "flash", "efficient", "cudnn", "math", "flash_attn"] = Field(
        "auto", description="attention: torch's implementations, or the package flash-attn; auto: as torch chooses"
    )
    convolution: Literal["auto", "torch", "numba", "causal_conv1d"] = Field(
        "auto", description="the short convolution of the Mamba mixers"
    )
    ssd: Literal["auto", "torch", "mamba_ssm"] = Field("auto", description="Mamba-2's state-space duality")

    @field_validator("scan", mode="before")
    @classmethod
    def _not_removed(cls, scan: Any) -> Any:
        """Name what to choose for a kernel of earlier versions."""
        if scan not in get_args(cls.model_fields["scan"].annotation):
            from architectures.scan.kernels import SCAN

            if words := SCAN.removed.get(str(scan)):
                raise ValueError(words)
        return scan

    def asked(self) -> dict[str, str]:
        """Operator -> kernel, without the automatic ones."""
        return {operator: name for operator, name in self.model_dump().items() if name != "auto"}


def kernel_environment(asked: Mapping[str, str]) -> dict[str, str]:
    """Environment variables that force kernels, by operator, in a process and its children."""
    return {f"SMDIM_BENCH_{operator.upper()}_KERNEL": name for operator, name in asked.items()}


class QualitySettings(Settings):
    """Resources of a quality cell."""

    threads: int = Field(1, ge=1, description="CPU threads of one cell; as many cells run at once as the cores allow")


class EfficiencySettings(Settings):
    """What an efficiency cell times: one process per arm, all lengths, arms taking turns."""

    lengths: tuple[int, ...] = Field(
        (256, 512, 1024, 2048), strict=False, min_length=1, description="sequence lengths in tokens"
    )
    rounds: int = Field(5, ge=1, description="turns of each arm, shared by the replicates")
    replicates: int = Field(
        3, ge=1, description="processes of each arm, one after the other; under 3 no time is called different"
    )
    calls_per_round: int = Field(4, ge=1, description="timed calls per arm, length and round")
    seconds_per_round: float = Field(
        0.0, ge=0, exclude_if=lambda seconds: not seconds, description="short calls are repeated for as long in a round"
    )
    sample_rounds: int = Field(
        1,
        ge=1,
        exclude_if=lambda rounds: rounds == 1,
        description="turns of each arm in a replicate in which whole samples are drawn, where the time cap leaves time",
    )
    relative_width: float = Field(
        0.02, gt=0, description="rounds end once the time of each process is known to this share of it"
    )
    time_cap_s: float = Field(150.0, gt=0, description="seconds of rounds after which no further one starts")
    threads: int = Field(2, ge=1, description="CPU threads while timing")
    batch: int = Field(1, ge=1, description="sequences per call")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", exclude_if=lambda name: name == "float32", description="of matrix products, in all that is timed"
    )
    graphs: bool = Field(
        False,
        exclude_if=lambda on: not on,
        description="samples replay each step as a CUDA graph, which is timed beside the plain step; GPU only",
    )
    energy: bool = Field(
        True, exclude_if=lambda on: on, description="joules of each call, where the device counts them; over 1 s each"
    )
    training: bool = Field(True, description="also time a training step and measure its memory")
    compile: bool = Field(False, description="also take the time of torch.compile (needs a C++ compiler; slow)")
    memory_budget_gib: float | None = Field(
        None, gt=0, description="search the largest batch and length that train within it, by real steps; none: do not"
    )
    prune: bool = Field(True, description="where memory ran out at a length, mark longer ones oom without trying")
    rank_kernels: Literal["apart", "together"] = Field(
        "apart", description="together: costs of slow fallback kernels are ranked against fused ones, marked *"
    )

    def deciding(self) -> dict[str, Any]:
        """The settings as a cell keeps them; what reports alone ask for decides no result."""
        return self.model_dump(mode="json", exclude={"rank_kernels"})

    @field_validator("lengths")
    @classmethod
    def _lengths_positive_and_distinct(cls, lengths: tuple[int, ...]) -> tuple[int, ...]:
        if min(lengths) < 1 or len(set(lengths)) != len(lengths):
            raise ValueError("lengths must be distinct whole numbers from 1")
        return lengths


class InfillingSettings(Settings):
    """Bars of test songs that are hidden and drawn anew by each trained arm, beside its free generation."""

    bars: int = Field(4, ge=1, description="consecutive bars hidden in each excerpt, at a place that is drawn")
    pieces: int = Field(16, ge=2, description="test songs, one excerpt of the study's length from each")


class Limits(Settings):
    """Time and memory at which a cell is ended as `timeout` or `oom`; not part of a cell's id."""

    time_s: float | None = Field(None, gt=0, description="seconds that a cell may run; none: no limit")
    memory_gib: float | None = Field(None, gt=0, description="GiB of main memory its process may hold; none: no limit")


class Measure(Settings):
    """Which kinds of cell the study has; leave one out and it is not measured."""

    quality: QualitySettings | None = None
    efficiency: EfficiencySettings | None = None
    infilling: InfillingSettings | None = Field(None, exclude_if=lambda one: one is None)

    @model_validator(mode="after")
    def _infilling_needs_quality(self) -> Measure:
        if self.infilling and not self.quality:
            raise ValueError("infilling is measured in quality cells: add quality: {}")
        return self
