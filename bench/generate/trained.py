"""A trained run opened for generation: its network, its tokens, its process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bench.data.settings import SPECIAL_TYPES
from bench.diffusion import SAMPLERS, token_powers
from bench.diffusion.constraints import TokenLanguage
from bench.diffusion.objectives import ABSORBING, AUTOREGRESSIVE, BLOCK
from bench.diffusion.samplers import Sampler, samplers_for
from bench.diffusion.schedule import MULTI_SCALE, Schedule
from bench.generate.errors import GenerateError

if TYPE_CHECKING:
    from architectures import Backbone, Denoiser
    from bench.data import TokenizerSettings


@dataclass(frozen=True, eq=False)
class TrainedRun:
    """What generation needs of a run folder. `length` is the number of tokens it was trained on."""

    folder: Path
    backbone: Backbone | Denoiser
    language: TokenLanguage
    tokenizer: TokenizerSettings
    settings: dict[str, Any]
    labels: dict[str, Any]
    step: int

    @property
    def device(self) -> torch.device:
        """Where the network lies, and so where music is drawn."""
        return next(self.backbone.parameters()).device

    @property
    def length(self) -> int:
        """Tokens of a training sequence: what the network sees at once."""
        return int(self.settings["length"])

    @property
    def block(self) -> int | None:
        """Tokens of a block of a run that was trained in blocks; None: trained on whole rows, or token by token."""
        block = self.settings["diffusion"].get("block")
        return None if block == self.length else block

    @property
    def objective(self) -> str:
        """What the network was trained for; one block as long as its rows is absorbing diffusion."""
        found = str(self.settings["diffusion"].get("objective", ABSORBING))
        return ABSORBING if found == BLOCK and self.block is None else found

    @property
    def usual_sampler(self) -> str:
        """The sampler where none is named."""
        return {BLOCK: "block", AUTOREGRESSIVE: "autoregressive"}.get(self.objective, "cached")

    def sampler(self, name: str) -> Sampler:
        """The sampler of this name; GenerateError where it does not follow the run's process."""
        schedule = self.settings["diffusion"]["schedule"]
        if name not in (allowed := samplers_for(schedule, self.objective)):
            process = f"{schedule} schedule" if self.objective == ABSORBING else f"objective {self.objective}"
            raise GenerateError(f"--sampler {name}: does not follow the run's {process}; allowed: {', '.join(allowed)}")
        return SAMPLERS[name]

    def infilling_note(self) -> str:
        """Restriction of what infilling sees, in one line; "" where the song on both sides is seen. GenerateError for a
        run that can only continue."""
        if self.objective == AUTOREGRESSIVE:
            raise GenerateError(
                "--infill: an autoregressive run sees nothing that follows what it draws; allowed: --continue, or a "
                "run of objective absorbing"
            )
        if self.objective == BLOCK:
            return f"what follows the hidden tokens is seen only within their block of {self.block} tokens"
        return ""

    def noise(self) -> dict[str, Any]:
        """What a SampleRequest is given of the run's process: its schedule and objective, or its powers."""
        process = self.settings["diffusion"]
        if process["schedule"] != MULTI_SCALE:
            trained = {"objective": self.objective, "trained_block": self.block}
            return {"schedule": Schedule(process["schedule"]), **trained}
        positions_a_beat = self.tokenizer.positions_a_beat
        powers = token_powers(self.language.words, positions_a_beat, process.get("powers"))
        return {"powers_V": torch.tensor(powers)}

    def id_of(self, special: str) -> int:
        """Token id of PAD or MASK."""
        return self.language.words.index(f"{special}_None")

    @property
    def pad_id(self) -> int:
        """Token id of PAD."""
        return self.id_of("PAD")

    @property
    def mask_id(self) -> int:
        """The token that stands for a hidden one."""
        return self.id_of("MASK")

    @property
    def forbidden_ids(self) -> list[int]:
        """Tokens that are never drawn besides MASK."""
        return [int(token) for token in self.language.ids(*SPECIAL_TYPES) if token != self.mask_id]

    def pitch_limits(self, kind: str) -> tuple[int, int]:
        """Limits of the training music ("percentile" or "range"); loads the run's corpus."""
        from bench.data.music import training_pitch_limits
        from bench.measure.quality.music import load_tokens

        return training_pitch_limits(load_tokens(self.settings["corpus"], self.settings["tokenizer"]), kind)


def load_run(folder: Path, *, weights: str = "ema", device: str = "cpu") -> TrainedRun:
    """The run or quality cell in `folder` with its newest checkpoint, on a device: auto, cpu, cuda or cuda:N.

    `weights`: "ema" (averaged, what studies evaluate) or "weights" (the last step's). The corpus is not needed. Raises
    GenerateError where the folder holds no run, a run of another vocabulary, or the device is not here; TrainingError
    where its checkpoint is missing or damaged.
    """
    from architectures import build_config, config_of
    from bench.data import TokenizerSettings
    from bench.data.remi import type_graph, vocabulary
    from bench.measure.quality.training import loaded_file
    from bench.plugins import load_plugins
    from bench.store.cells import CellFolder
    from bench.training.checkpoint import load_checkpoint
    from bench.training.weights import load_weights
    from metrics.cost.device import resolve_device, work_on

    try:
        place = resolve_device(device)
        work_on(place)
    except ValueError as error:
        raise GenerateError(f"--device: {error}") from error
    content = CellFolder(folder).configuration()
    if content is None:
        raise GenerateError(
            f"{folder}: no run (no readable cell.json); allowed: a training run, or a quality cell of a study"
        )
    if content.get("kind") != "quality":
        raise GenerateError(f"{folder}: a cell of kind {content.get('kind')}; allowed: a training run, a quality cell")
    settings = content["settings"]
    load_plugins(settings.get("plugins", []))
    try:
        config = config_of(settings["model"])
        tokenizer = TokenizerSettings(**settings["tokenizer"])
    except (ValueError, TypeError, KeyError) as error:
        raise GenerateError(f"{folder}: cell.json cannot be used ({str(error).splitlines()[0]})") from error
    language = TokenLanguage.of(vocabulary(tokenizer), type_graph(tokenizer))
    if len(language.words) != config.vocab_size:
        raise GenerateError(
            f"{folder}: a run of another vocabulary: its network has {config.vocab_size} tokens, its tokenizer "
            f"settings give {len(language.words)}; allowed: a run whose cell.json was not changed, of this version"
        )
    backbone, step = build_config(config, seed=int(settings["seed"])), 0
    if (given := loaded_file(settings)) is not None:
        load_weights(given, backbone)
    else:
        state, meta = load_checkpoint(folder, weights=weights)
        step = int(meta["step"])
        try:
            backbone.load_state_dict(state)
        except RuntimeError as error:
            raise GenerateError(f"{folder}: the checkpoint is of another network than cell.json says") from error
    backbone.eval().to(place)
    return TrainedRun(folder, backbone, language, tokenizer, settings, content["labels"], step)
