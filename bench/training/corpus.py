"""From a tokenised corpus to training batches, as the settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.diffusion.regularisers import Regulariser, RegulariserChoice
from bench.training.batches import Batches, CropBatches, WindowBatches
from bench.training.settings import TrainSettings
from bench.training.transposition import TransposedBatches, Transposition

if TYPE_CHECKING:
    from bench.data import TokenCorpus


def corpus_regulariser(tokens: TokenCorpus, settings: TrainSettings) -> Regulariser | None:
    """The soft constraints that `settings` ask for, with the pitch range of the training pieces; None for none."""
    from bench.data.music import training_pitch_limits

    choice = RegulariserChoice.parse(settings.regularisers)
    return choice.build(tokens.vocabulary, lambda: training_pitch_limits(tokens, "percentile"))


def corpus_batches(tokens: TokenCorpus, length: int, settings: TrainSettings) -> Batches:
    """Batches of `length` tokens from the training pieces of `tokens`, cut and transposed as `settings` say.

    crops "bar": from any bar from which the piece still fills the crop; "any": from any token; both take a piece
    shorter than the crop whole. "windows": the fixed windows. Raises TrainingError for transposition without Pitch
    tokens.
    """
    if settings.crops == "windows":
        source: Batches = WindowBatches(tokens.windows("train", length).tokens)
    else:
        stream = tokens.stream("train")
        starts_N = None
        if settings.crops == "bar":
            left_N = np.repeat(stream.offsets[1:], np.diff(stream.offsets)) - np.arange(len(stream.tokens))
            starts_N = (np.asarray(stream.tokens) == tokens.bar_id) & (left_N >= length)
        source = CropBatches(stream.tokens, stream.offsets, length, pad_id=tokens.pad_id, starts_N=starts_N)
    if settings.transpose_semitones:
        return TransposedBatches(source, Transposition(tokens.vocabulary, settings.transpose_semitones))
    return source
