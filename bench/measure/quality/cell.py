"""A quality cell: training of one arm with one seed, its likelihood, its music, and the metrics of that music."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.measure.quality.drawing import Emit, device_of, draw_pieces, seldom
from bench.measure.quality.extent import window_extent
from bench.measure.quality.infilling import measure_infilling
from bench.measure.quality.likelihood import TEST, VALIDATION, bits_row, endings_row, music_bits_rows, nats_vectors
from bench.measure.quality.music import held_out_windows, to_notes, token_results, train_notes
from bench.measure.quality.piece import piece_rows
from bench.measure.quality.sampled import sampler_likelihood
from bench.measure.quality.token_drift import token_drift_row
from bench.measure.quality.training import CellTraining, diverged, shared_training
from bench.measure.rows import generated_vectors, metric_row, missing, row
from bench.store.vectors import NATS, Vector, write_vectors
from metrics.cost.quantities import (
    BITS,
    COUNT_FORM,
    KEPT_STEP,
    LAST_QUARTER_FALL,
    SAMPLING_TIME,
    STATE_DEPENDENT_BITS,
    TRAIN_LOSS,
    TRAINING_TIME,
    VALIDATION_BITS,
)
from metrics.music.drift import DRIFT_BITS
from metrics.quantities import quantity_of

if TYPE_CHECKING:
    import numpy as np
    import torch

    from bench.data import TokenCorpus
    from bench.diffusion import AbsorbingDiffusion
    from bench.diffusion.evaluation import BitsPerToken
    from bench.diffusion.sampling_step import SamplingStep
    from bench.training.progress import Progress, TrainResult
    from metrics import MetricResult


def measure_quality(settings: dict[str, Any], folder: Path, emit: Emit) -> list[dict[str, Any]]:
    """Rows of the cell; `settings` are those of a quality cell of `bench.run.cells`.

    Leaves `samples/*.mid`, `vectors.parquet`, `history.jsonl` and `checkpoint/` in `folder`; a checkpoint found there
    is resumed, and cells that differ in their sampler alone share one training.
    Raises CellFailure where the loss blows up.
    """
    from architectures import count_parameters
    from bench.diffusion.sampling_step import SamplingStep

    training = CellTraining.of(settings)
    precision = training.settings.evaluation_precision
    evaluated = SamplingStep(training.backbone, precision=precision)
    likely = SamplingStep(training.diffusion.as_called(training.backbone), precision=precision)
    tokens, diffusion, backbone, length = training.tokens, training.diffusion, training.backbone, training.length
    with nullcontext() if training.checkpoint else shared_training(settings, folder, emit):
        result = training.run(folder, report_training(emit))
        if result.diverged:
            raise diverged(result.steps)
        bits = training.test_bits(result, folder, report_test(emit))
    common = {
        "train_steps": result.steps,
        "sampler": settings["sample"]["sampler"],
        "sample_steps": settings["sample"]["steps"],
        "kernel": " ".join(f"{kind}={name}" for kind, name in evaluated.kernels().items()),
        "parameters": count_parameters(backbone),
    }
    rows, calls, own = training_rows(training, result) + test_rows(training, bits), 0, own_bound(training, evaluated)
    if own is not None:
        steps = "continuous time" if diffusion.steps is None else f"{diffusion.steps} steps"
        words = {"steps": steps, "precision": precision}
        rows.append(bits_row(STATE_DEPENDENT_BITS, own, training.test.songs, **words))
    vectors = likelihood_vectors(training, result, bits, own)
    called: dict[str, Any] = {"precision": precision, "batch": training.settings.batch, "emit": seldom(emit)}
    sampled, values = sampler_likelihood(backbone, diffusion, tokens, settings, **called)
    rows, vectors = rows + sampled, vectors + values
    played = tuple(settings.get("sample_lengths", ())) or (length,)
    for one in played:
        sample, elapsed_s, note = draw_pieces(backbone, diffusion, tokens, settings, one, emit)
        calls = round(sample.nfe_mean)
        names = f"{one:05d}-" if len(played) > 1 else ""
        found = [row(SAMPLING_TIME, elapsed_s, n=len(sample.nfe), raw=sample.nfe, note=note)]
        found += piece_rows(backbone, diffusion, tokens, settings, sample, elapsed_s)
        sequences = sample.tokens_BL.cpu().numpy()
        results = music_results(tokens, sequences, one, folder, emit, names)
        found += [metric_row(result) for result in results]
        vectors += generated_vectors(results, one)
        found.append(_drift_row(likely, diffusion, tokens, sample.tokens_BL, settings))
        rows += [{"length": one, "nfe": calls} | line for line in found]
    if "infilling" in settings:
        infilled, values = measure_infilling(backbone, diffusion, tokens, settings, emit)
        rows += [{"length": length} | line for line in infilled]
        vectors += values
    write_vectors(folder, vectors)
    return [common | {"nfe": calls} | line for line in rows]


def _drift_row(
    backbone: Callable[..., Any],
    diffusion: AbsorbingDiffusion,
    tokens: TokenCorpus,
    tokens_BL: torch.Tensor,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Drift of the masked bits/token of the generated sequences beside as many held-out ones."""
    sequences, device = tokens_BL.cpu().numpy(), tokens_BL.device
    length = sequences.shape[1]
    if length > int(settings["length"]):
        return missing(DRIFT_BITS, f"not trained on more than {settings['length']} tokens at once")
    real = held_out_windows(tokens, length, len(sequences))
    options: dict[str, Any] = {"device": device, "time_input": diffusion.time_input, "predict": diffusion.predict}
    line = token_drift_row(backbone, tokens, sequences, real, seed=int(settings["seed"]), **options)
    if diffusion.estimate != COUNT_FORM:
        line["definition"] = f"objective {diffusion.objective}: {line['definition']}"
    return line


def report_training(emit: Emit) -> Callable[[Progress], None]:
    """Turns the trainer's progress into events, a few a second."""
    emit = seldom(emit)

    def report(progress: Progress) -> None:
        emit(
            event="progress",
            stage="training",
            done=progress.step,
            total=progress.steps,
            loss=progress.loss,
            validation_bits=progress.validation_bits_per_token,
            tokens_per_s=progress.tokens_per_s,
            left_s=progress.remaining_s,
        )

    return report


def report_test(emit: Emit) -> Callable[[int, int], None]:
    """Turns the progress of the evaluation on the test side into events, a few a second."""
    emit = seldom(emit)
    return lambda done, of: emit(event="progress", stage="masked test windows", done=done, total=of)


def training_rows(training: CellTraining, result: TrainResult) -> list[dict[str, Any]]:
    """Step whose weights are kept, their validation bits/token with its interval over songs, the fall of the learning
    curve in the last quarter of the training, the last training loss, and the training time."""
    bits = result.validation
    rows = [row(KEPT_STEP, result.kept_step, n=1, definition=quantity_of(KEPT_STEP).definition)]
    if bits is not None:
        precision = training.settings.evaluation_precision
        words = {"estimate": training.diffusion.estimate, "precision": precision}
        rows.append(bits_row(VALIDATION_BITS, bits, training.validation.songs, **words))
        rows.append(fall_row(result.history))
    losses = [line["loss"] for line in result.history if line.get("loss") is not None]
    if losses:
        rows.append(row(TRAIN_LOSS, losses[-1], n=1, definition=quantity_of(TRAIN_LOSS).definition))
    loaded = f"not trained here: weights of {training.checkpoint.name}" if training.checkpoint else ""
    rows.append(missing(TRAINING_TIME, loaded) if loaded else row(TRAINING_TIME, result.seconds, n=1))
    return rows


def test_rows(training: CellTraining, bits: BitsPerToken) -> list[dict[str, Any]]:
    """Bits/token, bits/note and bits/beat of the test side with intervals over songs, and the gap of endings."""
    songs = training.test.songs
    extent = window_extent(training.tokens, TEST, training.length, bits.windows)
    precision, estimate = training.settings.evaluation_precision, training.diffusion.estimate
    line = bits_row(BITS, bits, songs, estimate=estimate, precision=precision)
    rows = [line, *music_bits_rows(bits, songs, extent, estimate)]
    return [*rows, endings_row(bits, training.length)]


def fall_row(history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The fall of the learning curve in the last quarter of the training."""
    from bench.training.progress import last_quarter_fall, validation_points

    fall, points = last_quarter_fall(history), len(validation_points(history))
    if math.isnan(fall):
        return missing(LAST_QUARTER_FALL, f"{points} points of the learning curve; train.validations of 2 or more")
    return row(LAST_QUARTER_FALL, fall, n=points, definition=quantity_of(LAST_QUARTER_FALL).definition)


def own_bound(training: CellTraining, evaluated: SamplingStep) -> BitsPerToken | None:
    """A multi-scale process's own bound, beside the uniform-mask figure that every arm has; None for the others."""
    from bench.diffusion import MultiScaleDiffusion, elbo_bits_per_token

    if not isinstance(training.diffusion, MultiScaleDiffusion):
        return None
    return elbo_bits_per_token(
        evaluated,
        training.test.tokens,
        training.diffusion,
        draws=training.settings.final_validation_draws,
        max_windows=training.settings.final_validation_windows,
        device=device_of(training.backbone),
    )


def likelihood_vectors(
    training: CellTraining, result: TrainResult, test: BitsPerToken, own: BitsPerToken | None = None
) -> list[Vector]:
    """Nats of each window of the test side and of the validation side by the uniform-mask figure, and of the test side
    by a multi-scale process's own bound."""
    found = nats_vectors(test, training.test.songs, training.length)
    if result.validation is not None:
        found += nats_vectors(result.validation, training.validation.songs, training.length, side=VALIDATION)
    if own is not None:
        found += nats_vectors(own, training.test.songs, training.length, f"state_dependent_{NATS}")
    return found


def music_results(
    tokens: TokenCorpus, sequences: np.ndarray, length: int, folder: Path, emit: Emit, names: str = ""
) -> list[MetricResult]:
    """Writes the pieces as MIDI files, whose names begin with `names`, and measures them against as many held-out
    windows of the same length."""
    from metrics import quality_table

    emit(event="progress", stage="measuring")
    for index, sequence in enumerate(sequences):
        tokens.decode_to_file(sequence, folder / "samples" / f"{names}{index:03d}.mid")
    generated = to_notes(tokens, sequences, "generated")
    reference = to_notes(tokens, held_out_windows(tokens, length, len(sequences)), "test")
    return token_results(tokens, sequences) + quality_table(generated, reference, train_notes(tokens, length))
