"""The one trainer: any module `tokens -> logits`, any windows, the same data and noise for every arm of a seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.diffusion.absorbing import AbsorbingDiffusion
from bench.diffusion.generators import derived_seed
from bench.diffusion.regularisers import Regulariser, regularised_loss
from bench.training.batches import Batches, as_batches
from bench.training.checkpoint import (
    capture,
    first_difference,
    latest_checkpoint,
    part_of,
    read_checkpoint,
    restore,
    save_checkpoint,
)
from bench.training.checks import blown_up, check_process, check_validation, fit_backbone, identity, rows_of_process
from bench.training.devices import Devices
from bench.training.errors import TrainingError
from bench.training.optimiser import AveragedWeights, build_optimiser, learning_rate
from bench.training.preparation import Preparation
from bench.training.progress import (
    TALLY,
    Clock,
    LearningCurve,
    Ledger,
    Progress,
    TrainResult,
    budget_of,
    peak_bytes,
    validation_points,
)
from bench.training.settings import TrainSettings
from bench.training.validation import Validations


def train(
    backbone: nn.Module,
    windows_train: Batches | np.ndarray,
    windows_validation: np.ndarray | None,
    diffusion: AbsorbingDiffusion,
    settings: TrainSettings,
    *,
    seed: int,
    folder: Path | str,
    regulariser: Regulariser | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> TrainResult:
    """Train `backbone` in place until its budget is spent, or go on where an earlier run in `folder` stopped.

    windows_train is an array (n, L) of integers or a Batches; windows_validation an array (n, L), or None for no
    validation; regulariser what `corpus_regulariser` makes of the settings. Batches, crops, masks and times are
    functions of (seed, step) alone. Writes `history.jsonl` and `checkpoint/` under `folder`. `stop()` is called after
    each step: True saves a checkpoint and ends the run. On a CPU with a budget in steps or FLOPs a killed and resumed
    run ends with the same bits as one that was not.
    Raises TrainingError for data, settings or a checkpoint that do not fit.
    """
    run = _Run(backbone, as_batches(windows_train), windows_validation, diffusion, settings, seed, Path(folder))
    if regulariser is None and settings.regularisers != "none":
        raise TrainingError("train.regularisers: asked for, but none was given; build it with corpus_regulariser")
    run.progress, run.stop, run.regulariser = progress, stop, regulariser
    on_gpu = [run.devices.device] if run.devices.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=on_gpu):
            return run.go()
    finally:
        run.preparation.close()
        run.devices.close()


class _Stopped(Exception):
    """`stop` was true during a validation."""


class _Run:
    """The state of one run."""

    progress: Callable[[Progress], None] | None = None
    stop: Callable[[], bool] | None = None
    regulariser: Regulariser | None = None

    def __init__(
        self,
        backbone: nn.Module,
        batches: Batches,
        validation: np.ndarray | None,
        diffusion: AbsorbingDiffusion,
        settings: TrainSettings,
        seed: int,
        folder: Path,
    ) -> None:
        self.backbone, self.batches = backbone, batches
        self.diffusion, self.settings, self.seed, self.folder = diffusion, settings, seed, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.devices = Devices(settings, folder)
        fit_backbone(backbone, batches, settings, self.devices.device)
        check_process(diffusion, backbone, batches.length, settings)
        if validation is not None:
            check_validation(validation, diffusion)
        self.parts = rows_of_process(settings, self.devices.world, self.devices.rank)
        gpu = self.devices.device if self.devices.device.type == "cuda" else None
        self.preparation = Preparation(
            batches, diffusion, seed=seed, batch=settings.batch, parts=self.parts, ahead=gpu is not None, gpu=gpu
        )
        called = diffusion.as_called(backbone)
        self.budget = budget_of(settings, called, batches.length)
        backbone.to(self.devices.device)
        compiled: Any = torch.compile(called) if settings.compile else called
        self.module, self.optimiser = self.devices.prepare(compiled, build_optimiser(backbone, settings))
        self.average = AveragedWeights(backbone, settings.ema)
        self.validations = Validations(backbone, validation, diffusion, settings, self.devices, self.average)
        self.clock = Clock(self.devices.synchronise)
        self.curve = LearningCurve(folder / "history.jsonl", self.devices.is_main)
        self.ledger = Ledger()
        self.identity = identity(backbone, batches, diffusion, settings, seed)
        self.tally = torch.zeros(len(TALLY), device=self.devices.device)  # this process's share, read when logging
        self.saved_at_s = 0.0
        self.latest = {"loss": math.nan, "masked_cross_entropy": math.nan, "tokens_per_s": math.nan}

    def go(self) -> TrainResult:
        """Resume, step until the end, validate, save."""
        self._resume()
        ledger = self.ledger
        if not ledger.stopped:
            self.devices.check_processes(self.settings.processes)
            self.backbone.train()
            self._untimed_step()
            self.devices.synchronise()
            self.clock.start(ledger.elapsed_s)
            while not ledger.stopped:
                self._after_step(*self._one_step())
            if ledger.stopped != "diverged":
                self._save()
        if ledger.stopped in ("budget", "plateau") and ledger.final is None and self.validations.windows is not None:
            self._validate_last()
        self.validations.take_kept(ledger)
        self.average.copy_to_module()
        self.backbone.eval()
        folder = self.folder / "checkpoint"
        return TrainResult(
            steps=ledger.step,
            kept_step=ledger.kept_at or ledger.step,
            seconds=ledger.elapsed_s,
            tokens=ledger.tokens,
            history=self.curve.lines,
            checkpoint=latest_checkpoint(folder) or folder,
            stopped=ledger.stopped,
            validation=ledger.final,
        )

    def _one_step(self) -> tuple[bool, bool]:
        """Take a step; whether a checkpoint is due by the clock, and whether the run is to end."""
        ledger, every_s = self.ledger, self.settings.checkpoint_seconds
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.settings, ledger.step, self._spent())
        ledger.tokens += self._gradient(ledger.step)
        self.tally[-1] += self.devices.clip(self.module, self.settings.clip) / self.devices.world
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        ledger.step += 1
        if ledger.step % self.settings.ema_steps == 0:
            self.average.update()
        ledger.tallied += 1
        now_s = self.clock.read()
        due = every_s is not None and now_s - self.saved_at_s >= every_s
        asked = self.stop is not None and self.stop()
        ledger.elapsed_s, due_word, asked_word = self.devices.agreed([now_s, float(due), float(asked)])
        return bool(due_word), bool(asked_word)

    def _after_step(self, due: bool, asked: bool) -> None:
        """Log, validate, save and end where it is time; the clock stands meanwhile, once the device has caught up."""
        settings, ledger = self.settings, self.ledger
        due = due or (settings.checkpoint_steps is not None and ledger.step % settings.checkpoint_steps == 0)
        log_due = ledger.step % settings.log_steps == 0
        validation_due = self.validations.is_due(self._spent(), ledger)
        if not (log_due or due or asked or ledger.step == 1 or self._spent() >= 1 or validation_due):
            return
        (ledger.elapsed_s,) = self.devices.agreed([self.clock.stop()])
        over = self._spent() >= 1
        self._read_tally(log_due or over)
        if not ledger.stopped and over:
            ledger.stopped = "budget"
        if not ledger.stopped and self.validations.is_due(self._spent(), ledger):
            ledger.validated = self.validations.due(self._spent())
            self._validate_on_curve()
        if not ledger.stopped and asked:
            ledger.stopped = "interrupted"
        if not ledger.stopped and due:
            self._save()
        self.clock.start(ledger.elapsed_s)

    def _spent(self) -> float:
        """Share of the budget spent, 0..1."""
        return self.budget.fraction(self.ledger.step, self.ledger.elapsed_s)

    def _gradient(self, step: int) -> int:
        """Forward and backward of this process's share of the batch of `step`; the tokens of the whole batch."""
        parts = self.preparation.of(step)
        self._seed_dropout(step)
        soft = self.regulariser
        loss_of = self.diffusion.loss_of if soft is None else partial(regularised_loss, self.diffusion, soft)
        for noised in parts:
            with self.devices.part(self.module, noised is parts[-1]):
                share = loss_of(self.module, noised, self.devices.device)
                self.devices.backward(share.loss)
            shares = (share.loss.detach(), share.elbo_bits_per_token, share.masked_cross_entropy)
            self.tally[: len(shares)] += torch.stack(shares)
        return parts[0].token_count

    def _untimed_step(self) -> None:
        """A gradient that is dropped: kernels are compiled before the clock of a budget in seconds runs."""
        if self.settings.seconds is not None:
            tally = self.tally.clone()
            self._gradient(self.ledger.step)
            self.optimiser.zero_grad(set_to_none=True)
            self.tally.copy_(tally)

    def _seed_dropout(self, step: int) -> None:
        """Dropout draws from the global generator of its device: make it a function of (seed, step) too."""
        seed = derived_seed(self.seed, step, "dropout", self.devices.rank)
        torch.default_generator.manual_seed(seed)
        if self.devices.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _read_tally(self, line_due: bool) -> None:
        """Report, write a line, end the run where the loss blew up."""
        ledger = self.ledger
        ledger.tally = self.devices.total(self.tally).tolist()
        mean = {name: value / ledger.tallied for name, value in zip(TALLY, ledger.tally, strict=True)}
        if blown_up(mean, ledger.first_cross_entropy, self.settings.precision):
            ledger.stopped = "diverged"
        seconds = max(ledger.elapsed_s - ledger.tally_elapsed_s, 1e-9)
        self.latest = mean | {"tokens_per_s": (ledger.tokens - ledger.tally_tokens) / seconds}
        if line_due or ledger.stopped:
            if ledger.first_cross_entropy is None:
                ledger.first_cross_entropy = mean["masked_cross_entropy"]
            self._write(mean | {"learning_rate": self.optimiser.param_groups[0]["lr"]})
            ledger.restart_tally()
            self.tally.zero_()
        self._report()

    def _validate_last(self) -> None:
        """The learning curve's last point, and the larger validation that tables show, on trained weights that are
        safe on disk by now."""
        settings, ledger = self.settings, self.ledger
        try:
            if settings.validations and ledger.noted_step != ledger.step:
                self._last_point()
            self.validations.choose(ledger)
            self.validations.take_kept(ledger)
            ledger.final = self.validations.after_training(self._while_validating)
            found = {f"final_{name}": value for name, value in ledger.final.summary().items()}
            self._write(found | {"final_of_step": ledger.kept_at})
            ledger.latest_bits = ledger.final.value
            self._report()
            self._save()
        except _Stopped:
            ledger.stopped = "interrupted"

    def _last_point(self) -> None:
        """The learning curve's last point, which an attempt that was cut off while it validated may have written."""
        points = validation_points(self.curve.lines)
        if points and points[-1][0] == self.ledger.step:
            self.validations.note(points[-1][1], self.ledger)
        else:
            self._validate_on_curve()

    def _while_validating(self, done: int, of: int) -> None:
        self._report(f"validating, {done} of {of} masked windows")
        alone = self.devices.world == 1  # processes that end at different calls would wait for each other
        if alone and done < of and self.stop is not None and self.stop():
            raise _Stopped

    def _validate_on_curve(self) -> None:
        """A point of the learning curve, on the same windows and masks as the others; ends the run on a plateau."""
        settings, ledger = self.settings, self.ledger
        bits = self.validations.on_curve()
        self._write({f"validation_{name}": value for name, value in bits.summary().items()})
        self.validations.note(bits.value, ledger)
        if not ledger.stopped and settings.patience is not None and ledger.worse >= settings.patience:
            ledger.stopped = "plateau"
        self._report()

    def _write(self, values: dict[str, Any]) -> None:
        ledger = self.ledger
        self.curve.add({"step": ledger.step, "elapsed_s": ledger.elapsed_s, "tokens": ledger.tokens, **values})
        self.devices.log(values, ledger.step)

    def _report(self, stage: str = "") -> None:
        if self.progress is None or not self.devices.is_main:
            return
        ledger, spent = self.ledger, self._spent()
        self.progress(
            Progress(
                step=ledger.step,
                steps=self.budget.steps,
                fraction=spent,
                loss=self.latest["loss"],
                masked_cross_entropy=self.latest["masked_cross_entropy"],
                validation_bits_per_token=math.nan if ledger.latest_bits is None else ledger.latest_bits,
                tokens_per_s=self.latest["tokens_per_s"],
                peak_bytes=peak_bytes(self.devices.device),
                elapsed_s=ledger.elapsed_s,
                remaining_s=ledger.elapsed_s * (1 - spent) / spent if spent else math.nan,
                stage=stage,
            )
        )

    def _save(self) -> None:
        """Write a checkpoint of everything that the next step depends on."""
        self.saved_at_s, self.ledger.averaged = self.ledger.elapsed_s, self.average.updates
        self.ledger.scaler = self.devices.scaler_state()
        if self.devices.is_main:
            tensors, aliases = capture(self.backbone, self.average, self.optimiser, self.validations.kept)
            meta = {"step": self.ledger.step, "aliases": aliases, "identity": self.identity}
            save_checkpoint(self.folder / "checkpoint", tensors, meta | {"ledger": self.ledger.to_dict()})
        self.devices.wait()

    def _resume(self) -> None:
        """Load the newest checkpoint of the folder, if there is one and it is of this very run."""
        path = latest_checkpoint(self.folder / "checkpoint")
        if path is not None:
            tensors, meta = read_checkpoint(path)
            different = first_difference(meta["identity"], self.identity)
            if different:
                raise TrainingError(f"checkpoint: {path} is of another run ({different}); choose another folder")
            restore(path, tensors, self.backbone, self.average, self.optimiser)
            kept = part_of(tensors, "kept")
            self.validations.kept = {name: value.to(self.devices.device) for name, value in kept.items()}
            self.ledger = Ledger.from_dict(meta["ledger"])
            self.average.updates, self.saved_at_s = self.ledger.averaged, self.ledger.elapsed_s
            if self.devices.is_main:  # the tally is a sum over processes
                self.tally.copy_(torch.tensor(self.ledger.tally))
            self.devices.load_scaler_state(self.ledger.scaler)
        self.curve.resume(self.ledger.step)
