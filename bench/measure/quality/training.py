"""The training of a quality cell; cells that differ only in how they sample share one checkpoint."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import versions
from bench.errors import CellFailure
from bench.files import canonical_hash, file_sha256, read_json, write_atomically
from bench.measure.quality.likelihood import TEST, VALIDATION, held_out_bits, windows_of
from bench.measure.quality.music import SongWindows, load_tokens
from bench.measure.quality.process import build_diffusion

if TYPE_CHECKING:
    import torch

    from architectures import Backbone, Denoiser
    from bench.data import TokenCorpus
    from bench.diffusion import AbsorbingDiffusion
    from bench.diffusion.evaluation import BitsPerToken
    from bench.training import PartialTrainSettings
    from bench.training.progress import Progress, TrainResult


TEST_BITS = "test_bits.json"  # in a cell's folder: evaluation of the test side, and what it is of
FOLDER = ".trainings"  # below the results: one file per training
NOT_TRAINING = ("sample", "sample_lengths", "infilling")  # settings that decide nothing before the first piece is drawn
NOT_TRAINING_PARTS = ("sampling", "metrics")
ENDED = ("budget", "plateau")


def training_id(settings: dict[str, Any]) -> str:
    """Equal for quality cells with the same trained weights: a hash of all but how pieces are drawn and measured."""
    deciding = {key: value for key, value in settings.items() if key not in NOT_TRAINING}
    parts = {name: number for name, number in settings["parts"].items() if name not in NOT_TRAINING_PARTS}
    return canonical_hash(deciding | {"parts": parts}, 12)


@contextmanager
def shared_training(settings: dict[str, Any], folder: Path, emit: Callable[..., None]) -> Iterator[None]:
    """Holds the training of these settings for the block: `folder` may have been given another cell's checkpoint.

    One cell at a time trains; the others wait, and then find its checkpoint, in this study or in another of the same
    results folder: the locked file names the cells with this training. Where a checkpoint cannot be taken over the
    training begins anew; the trainer itself refuses one of another run. The lock ends with the process that holds it.
    """
    name, results = training_id(settings), folder.parent.parent
    (results / FOLDER).mkdir(exist_ok=True)
    with (results / FOLDER / name).open("a+", encoding="utf-8") as lock:
        _hold(lock.fileno(), emit)
        lock.seek(0)
        known = lock.read().split("\n")
        if not (folder / "checkpoint").exists():
            for other in _cells_of_training(known, folder, name):
                if _take_over(other, folder):
                    break
        yield
        mine = f"{folder.parent.name}/{folder.name}"
        if mine not in known:
            lock.write(f"{mine}\n")


def diverged(steps: int) -> CellFailure:
    """The failure of a training whose loss became infinite, NaN, or far worse than at the first step."""
    return CellFailure("diverged", f"diverged: the loss blew up at step {steps}")


def is_trained(folder: Path) -> bool:
    """Whether the folder of a cell holds the checkpoint of a finished training."""
    from bench.training.checkpoint import latest_checkpoint, read_checkpoint
    from bench.training.errors import TrainingError

    path = latest_checkpoint(folder / "checkpoint")
    try:
        return path is not None and read_checkpoint(path)[1]["ledger"]["stopped"] in ENDED
    except (OSError, TrainingError, KeyError):
        return False


def _hold(descriptor: int, emit: Callable[..., None]) -> None:
    """Wait for an exclusive lock where the system has one; elsewhere two cells may train the same, to no harm."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        emit(event="progress", stage="waiting for another cell's training")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:  # a file system without locks
        return


def _cells_of_training(known: list[str], folder: Path, name: str) -> Iterator[Path]:
    """Other cells of the list with this training, those of the same study first."""
    pairs = [line.split("/") for line in known]
    found = [folder.parent.parent / pair[0] / pair[1] for pair in pairs if len(pair) == 2 and ".." not in pair]
    for path in sorted(found, key=lambda path: path.parent != folder.parent):
        if path == folder or not (path / "checkpoint").is_dir():
            continue
        try:
            if training_id(json.loads((path / "cell.json").read_bytes())["settings"]) == name:
                yield path
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue


def _take_over(other: Path, folder: Path) -> bool:
    """Give `folder` the finished checkpoint and the learning curve of `other`; False where there is none, or it is
    not whole."""
    from bench.training.checkpoint import latest_checkpoint

    path = latest_checkpoint(other / "checkpoint")
    if path is None or not is_trained(other):
        return False
    try:
        partial = folder / ".checkpoint"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for part in (path, path.with_suffix(".safetensors")):
            try:
                os.link(part, partial / part.name)
            except OSError:  # another file system
                shutil.copyfile(part, partial / part.name)
        shutil.copyfile(other / "history.jsonl", folder / "history.jsonl")
        if (other / TEST_BITS).exists():
            shutil.copyfile(other / TEST_BITS, folder / TEST_BITS)
        partial.rename(folder / "checkpoint")
    except OSError:
        return False
    return True


def training_device(settings: dict[str, Any]) -> torch.device | str:
    """Where a cell with these settings computes: on the device it trains on, on the CPU where it does not train."""
    from metrics.cost.device import resolve_device

    try:
        return resolve_device(settings["train"]["device"] if "train" in settings else "cpu")
    except ValueError:  # the trainer says what is missing, in the cell's row
        return "cpu"


@dataclass(frozen=True)
class CellTraining:
    """A backbone, its data and the settings of its training. `validation` decides choices and is all that the trainer
    sees of held-out music. checkpoint: a file of weights in place of a training."""

    tokens: TokenCorpus
    diffusion: AbsorbingDiffusion
    backbone: Backbone | Denoiser
    settings: PartialTrainSettings
    validation: SongWindows
    length: int
    seed: int
    checkpoint: Path | None = None

    @cached_property
    def test(self) -> SongWindows:
        """Windows of the test side, which a sweep never reads."""
        return windows_of(self.tokens, TEST, self.length)

    @classmethod
    def of(cls, settings: dict[str, Any], tokens: TokenCorpus | None = None) -> CellTraining:
        """The training of a quality cell of `bench.run.cells`; `tokens`: its corpus, where it is loaded already.

        Raises UserError where it cannot be made.
        """
        from architectures import build_config, config_of
        from bench.plugins import load_plugins
        from bench.training import PartialTrainSettings, TrainSettings

        load_plugins(settings["plugins"])
        tokens = tokens or load_tokens(settings["corpus"], settings["tokenizer"])
        length, seed = int(settings["length"]), int(settings["seed"])
        return cls(
            tokens,
            build_diffusion(tokens, settings["diffusion"]),
            build_config(config_of(settings["model"]), seed=seed),
            (PartialTrainSettings if "checkpoint" in settings else TrainSettings)(**settings["train"]),
            windows_of(tokens, VALIDATION, length),
            length,
            seed,
            loaded_file(settings),
        )

    def run(
        self, folder: Path, progress: Callable[[Progress], None], stop: Callable[[], bool] | None = None
    ) -> TrainResult:
        """Train `backbone` in place, or go on from the checkpoint in `folder`; one that is finished is only read,
        and so are given weights. The tracker is that of the cell's labels, for it is no setting of the cell."""
        if self.checkpoint is not None:
            return self._loaded(self.checkpoint)
        from bench.store.cells import CellFolder
        from bench.training import TrainSettings
        from bench.training.batches import corpus_batches, corpus_regulariser
        from bench.training.tracking import UNTRACKED
        from bench.training.trainer import train

        assert isinstance(self.settings, TrainSettings)
        labels = (CellFolder(folder).configuration() or {}).get("labels", {})
        settings = self.settings.model_copy(update={"track": labels.get("track", UNTRACKED)})
        return train(
            self.backbone,
            corpus_batches(self.tokens, self.length, settings),
            self.validation.tokens,
            self.diffusion,
            settings,
            seed=self.seed,
            folder=folder,
            regulariser=corpus_regulariser(self.tokens, self.settings),
            progress=progress,
            stop=stop,
        )

    def test_bits(
        self, result: TrainResult, folder: Path, each: Callable[[int, int], None] | None = None
    ) -> BitsPerToken:
        """Bits/token of the trained backbone on the test side; kept in `folder`, and read where it is of this very
        checkpoint."""
        from bench.diffusion.evaluation import BitsPerToken

        of = {"checkpoint": file_sha256(result.checkpoint), "metrics": versions.QUALITY_PARTS["metrics"]}
        kept = read_json(folder / TEST_BITS) or {}
        if kept.get("of") == of:
            return BitsPerToken.from_dict(kept["bits"])
        device = next(self.backbone.parameters()).device
        bits = held_out_bits(self.backbone, self.diffusion, self.test, self.settings, device=device, each=each)
        write_atomically(folder / TEST_BITS, json.dumps({"of": of, "bits": asdict(bits)}))
        return bits

    def _loaded(self, file: Path) -> TrainResult:
        """The result of no training: the weights of a file, validated as trained ones are."""
        from bench.training.progress import TrainResult
        from bench.training.weights import load_weights
        from metrics.cost.device import resolve_device

        device = resolve_device(self.settings.device)
        load_weights(file, self.backbone)
        self.backbone.to(device).eval()
        bits = held_out_bits(self.backbone, self.diffusion, self.validation, self.settings, device=device)
        return TrainResult(0, math.nan, 0, [], file, "budget", bits)


def loaded_file(settings: Mapping[str, Any]) -> Path | None:
    """The weights file of a quality cell that is not trained here, None for others. Raises TrainingError where it is
    gone, or another file than when the cell was planned."""
    from bench.training.errors import TrainingError
    from bench.training.weights import weights_hash

    if (given := settings.get("checkpoint")) is None:
        return None
    file = Path(given["file"])
    if not file.is_file() or weights_hash(file) != given["sha256"]:
        raise TrainingError(f"checkpoint: {file} is gone or was changed since the study was planned; plan it again")
    return file
