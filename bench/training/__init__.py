"""The one trainer that every backbone shares."""

from __future__ import annotations

from bench.training.batches import Batches, CropBatches, WindowBatches, corpus_batches, corpus_regulariser
from bench.training.checkpoint import first_difference, load_checkpoint
from bench.training.errors import TrainingError
from bench.training.progress import Progress, TrainResult
from bench.training.settings import TrainSettings, train_settings
from bench.training.trainer import train

__all__ = [
    "Batches",
    "CropBatches",
    "Progress",
    "TrainResult",
    "TrainSettings",
    "TrainingError",
    "WindowBatches",
    "corpus_batches",
    "corpus_regulariser",
    "first_difference",
    "load_checkpoint",
    "train",
    "train_settings",
]
