"""The training of a quality cell, made from the cell's settings alone: the same in each process that takes part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.measure.music import load_tokens
from bench.measure.process import build_diffusion

if TYPE_CHECKING:
    import numpy as np

    from architectures import Backbone
    from bench.data import TokenCorpus
    from bench.diffusion import AbsorbingDiffusion
    from bench.training import Progress, TrainResult, TrainSettings


@dataclass(frozen=True)
class CellTraining:
    """What is trained, on what, and how; `validation` has shape (n, length)."""

    tokens: TokenCorpus
    diffusion: AbsorbingDiffusion
    backbone: Backbone
    settings: TrainSettings
    validation: np.ndarray
    length: int
    seed: int

    @classmethod
    def of(cls, settings: dict[str, Any]) -> CellTraining:
        """The training that a quality cell of `bench.run.plan` asks for. Raises UserError where it cannot be made."""
        from architectures import BackboneConfig, build_config
        from architectures.plugins import load_plugins
        from bench.training import TrainSettings

        load_plugins(settings["plugins"])
        tokens = load_tokens(settings["corpus"], settings["tokenizer"])
        length, seed = int(settings["length"]), int(settings["seed"])
        return cls(
            tokens,
            build_diffusion(tokens, settings["diffusion"]),
            build_config(BackboneConfig.from_dict(settings["model"]), seed=seed),
            TrainSettings(**settings["train"]),
            tokens.windows("validation", length).tokens,
            length,
            seed,
        )

    def run(self, folder: Path, progress: Callable[[Progress], None]) -> TrainResult:
        """Train `backbone` in place, or go on from the checkpoint in `folder`; one that is finished is only read."""
        from bench.training import corpus_batches, corpus_regulariser, train

        return train(
            self.backbone,
            corpus_batches(self.tokens, self.length, self.settings),
            self.validation,
            self.diffusion,
            self.settings,
            seed=self.seed,
            folder=folder,
            regulariser=corpus_regulariser(self.tokens, self.settings),
            progress=progress,
        )
