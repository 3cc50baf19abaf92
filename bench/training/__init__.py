"""The trainer that all denoisers share. Importing the package imports its settings alone, not torch."""

from __future__ import annotations

from bench.training.errors import TrainingError
from bench.training.settings import PartialTrainSettings, TrainSettings, train_settings

__all__ = ["PartialTrainSettings", "TrainSettings", "TrainingError", "train_settings"]
