"""Validations of a run: bits/token of its averaged weights on fixed grids, and the weights of the best one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from bench.diffusion.absorbing import AbsorbingDiffusion
from bench.diffusion.evaluation import BitsPerToken
from bench.diffusion.sampling_step import SamplingStep
from bench.training.devices import Devices
from bench.training.optimiser import AveragedWeights
from bench.training.progress import Ledger
from bench.training.settings import TrainSettings

Each = Callable[[int, int], None]
"""Called with the masked windows that are done, and their number."""


class Validations:
    """Held-out windows (n, L) of a run, or None; `kept`: the average of the best point, where that is to be kept."""

    def __init__(
        self,
        backbone: nn.Module,
        windows: np.ndarray | None,
        diffusion: AbsorbingDiffusion,
        settings: TrainSettings,
        devices: Devices,
        average: AveragedWeights,
    ) -> None:
        self.backbone, self.windows, self.diffusion = backbone, windows, diffusion
        self.settings, self.devices, self.average = settings, devices, average
        self.kept: dict[str, torch.Tensor] = {}

    def due(self, spent: float) -> int:
        """Points of the learning curve that this share of the budget has."""
        return math.floor(spent * self.settings.validations + 1e-9)

    def is_due(self, spent: float, ledger: Ledger) -> bool:
        """Whether a point is missing by now."""
        return self.windows is not None and self.due(spent) > ledger.validated

    def on_curve(self) -> BitsPerToken:
        """A point of the learning curve, on the same windows and masks as the others."""
        return self._bits(self.settings.validation_windows, self.settings.validation_draws)

    def after_training(self, each: Each) -> BitsPerToken:
        """The larger validation that tables show."""
        return self._bits(self.settings.final_validation_windows, self.settings.final_validation_draws, each)

    def note(self, bits: float, ledger: Ledger) -> None:
        """Take in a point of the learning curve, and its weights where it is the best."""
        if ledger.note_bits(bits) and self.settings.keep == "best":
            self.kept = self.average.copy()

    def choose(self, ledger: Ledger) -> None:
        """Decide which step's average is evaluated, the training being at its end."""
        ledger.kept_at = ledger.best_step if self.settings.keep == "best" and ledger.best_step else ledger.step

    def take_kept(self, ledger: Ledger) -> None:
        """Put the average that is to be kept in place of the last one."""
        if ledger.kept_at not in (None, ledger.step):
            self.average.replace(self.kept)

    def _bits(self, most: int | None, draws: int, each: Each | None = None) -> BitsPerToken:
        """Bits/token of the averaged weights on a grid that is a function of its size alone."""
        assert self.windows is not None
        with self.average.in_place():
            called = self.diffusion.as_called(self.backbone)
            return self.diffusion.bits_per_token(
                SamplingStep(called, precision=self.settings.evaluation_precision),
                self.windows,
                draws=draws,
                batch=self.settings.batch,
                max_windows=most,
                device=self.devices.device,
                mine=slice(self.devices.rank, None, self.devices.world),
                total=self.devices.total_array,
                each=each,
            )
