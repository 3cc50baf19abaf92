"""The one trainer that every backbone shares; this package itself holds the settings alone, free of torch."""

from __future__ import annotations

from bench.training.errors import TrainingError
from bench.training.settings import TrainSettings, train_settings

__all__ = ["TrainSettings", "TrainingError", "train_settings"]
