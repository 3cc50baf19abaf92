"""The trainer that all denoisers share. Importing the package imports its settings alone, not torch."""

from __future__ import annotations

from bench.training.errors import TrainingError
from bench.training.settings import TrainSettings, train_settings

__all__ = ["TrainSettings", "TrainingError", "train_settings"]
