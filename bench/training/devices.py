"""Devices, precision and processes through Hugging Face Accelerate, which is imported here alone."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.errors import first_line
from bench.launcher import JOIN_LIMIT_S, Launch, launched
from bench.training.errors import TrainingError
from bench.training.settings import TrainSettings
from bench.training.tracking import UNTRACKED, accelerator_options, check_tracker, start_options
from metrics.cost.device import hidden_gpus

PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
LOOK_S = 0.1


class Wrapped(nn.Module):
    """The denoiser as training steps call it. What Accelerate wraps, for precision and for several processes, is this
    module's forward pass: that of the denoiser stays its own, and an evaluation calls it in a precision of its own."""

    def __init__(self, denoise: nn.Module) -> None:
        super().__init__()
        self.denoise = denoise

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Logits (B, L, V)."""
        logits: torch.Tensor = self.denoise(*inputs)
        return logits


class Devices:
    """One process of a run, and what it needs from the others."""

    def __init__(self, settings: TrainSettings, folder: Path) -> None:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState

        check_here(settings)
        launch = join_processes(settings.device)
        if AcceleratorState._shared_state:  # an earlier run of this process may have had another precision
            AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
        with _variables(launch.environment(os.environ)):
            self.accelerator = Accelerator(
                mixed_precision=PRECISIONS[settings.precision],
                cpu=is_cpu(settings.device),
                **accelerator_options(settings.track, folder),
            )
        self.device: torch.device = self.accelerator.device
        self.world: int = self.accelerator.num_processes
        self.rank: int = self.accelerator.process_index
        self.is_main = self.rank == 0
        self._check_world(launch.world)
        self._tracking = settings.track != UNTRACKED
        if self._tracking:
            self.accelerator.init_trackers(**start_options(settings.track, folder))

    def prepare(self, module: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        """Move to the device, wrap for precision and for several processes."""
        return self.accelerator.prepare(Wrapped(module), optimiser)

    def synchronise(self) -> None:
        """Wait until the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def part(self, module: nn.Module, is_last: bool) -> contextlib.AbstractContextManager[Any]:
        """Around a part of a batch: gradients are exchanged with the last part only."""
        return contextlib.nullcontext() if is_last or self.world == 1 else self.accelerator.no_sync(module)

    def backward(self, loss: torch.Tensor) -> None:
        """Backpropagate this process's share so that the exchanged gradient is that of the whole batch.

        Gradients are averaged over processes, and the shares add up, hence the factor.
        """
        self.accelerator.backward(loss * self.world if self.world > 1 else loss)

    def clip(self, module: nn.Module, largest: float) -> torch.Tensor:
        """Scale the gradient down to norm `largest`; returns the norm before."""
        return self.accelerator.clip_grad_norm_(module.parameters(), largest)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over processes."""
        return self.accelerator.reduce(values, "sum") if self.world > 1 else values

    def total_array(self, values: np.ndarray) -> np.ndarray:
        """Sum of a float64 array over processes."""
        return self.total(torch.from_numpy(values).to(self.device)).cpu().numpy()

    def agreed(self, values: list[float]) -> list[float]:
        """The main process's values, on all."""
        if self.world == 1:
            return values
        from accelerate.utils import broadcast

        return broadcast(torch.tensor(values, dtype=torch.float64, device=self.device)).tolist()

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            self.accelerator.wait_for_everyone()

    def log(self, values: Mapping[str, Any], step: int) -> None:
        """Hand a line of the learning curve to the trackers, where there are any."""
        if self._tracking:
            self.accelerator.log(dict(values), step=step)

    def close(self) -> None:
        """End the trackers."""
        if self._tracking:
            self.accelerator.end_training()

    def check_processes(self, wanted: int) -> None:
        """Refuse a run whose settings ask for several processes and that was not started so."""
        if wanted not in (1, self.world):
            raise TrainingError(
                f"train.processes: {wanted} asked for, {self.world} came up; a study starts them itself, by hand: "
                f"torchrun --nproc-per-node {wanted} -m bench train ..."
            )

    def scaler_state(self) -> dict[str, Any] | None:
        """State of the float16 loss scaler, None in other precisions."""
        scaler = self.accelerator.scaler
        return None if scaler is None else scaler.state_dict()

    def load_scaler_state(self, state: dict[str, Any] | None) -> None:
        """Restore the result of `scaler_state`."""
        if state is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state)

    def _check_world(self, expected: int) -> None:
        if self.world != expected:
            raise TrainingError(
                f"processes: the launcher asked for {expected}, {self.world} came up; "
                "each would train alone on the same batch"
            )


def check_here(settings: TrainSettings) -> None:
    """Raise TrainingError for a device, a precision or a tracker that this machine does not have."""
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise TrainingError(f"train.device: cuda is not available here; allowed: auto, cpu{hidden_gpus()}")
    check_tracker(settings.track)
    if is_cpu(settings.device) and settings.precision == "float16":
        raise TrainingError("train.precision: float16 needs a GPU; allowed here: float32, bfloat16")


def is_cpu(device: str) -> bool:
    """Whether `device` (auto, cpu or cuda) is cpu or no GPU is available; `check_here` refuses cuda without a GPU."""
    return device == "cpu" or not torch.cuda.is_available()


def join_processes(device: str) -> Launch:
    """Join the processes that the environment names (`bench.launcher`), once in a process; returns its place.

    Signals are handled while it waits. Raises UserError for variables that do not fit together, TrainingError where a
    process on a GPU has no LOCAL_RANK or no GPU of its own, or the rendezvous fails or takes over `JOIN_LIMIT_S`.
    """
    launch = launched(os.environ)
    if launch.world == 1:
        return launch
    if not is_cpu(device) and not launch.local_rank_given:
        raise TrainingError("LOCAL_RANK is not set; allowed: this process's number on its machine, from 0")
    if not is_cpu(device) and launch.local_world > torch.cuda.device_count():
        raise TrainingError(
            f"processes: {launch.local_world} on a machine with {torch.cuda.device_count()} GPUs; each needs one"
        )
    if not torch.distributed.is_initialized():
        _join(launch, "gloo" if is_cpu(device) else "nccl")
    return launch


def _join(launch: Launch, backend: str) -> None:
    """Join torch's process group in a thread, for torch's own waits cannot be interrupted."""
    host, port = os.environ["MASTER_ADDR"].strip(), os.environ["MASTER_PORT"].strip()
    try:
        socket.getaddrinfo(host, port)
    except OSError as error:
        raise TrainingError(f"MASTER_ADDR={host}: {first_line(error)}; allowed: a host that is known here") from error
    failed: list[Exception] = []

    def join() -> None:
        limit = timedelta(seconds=JOIN_LIMIT_S)
        try:
            joined = torch.distributed.rendezvous("env://", launch.rank, launch.world, timeout=limit)
            store, rank, world = next(iter(joined))
            store.set_timeout(torch.distributed.constants.default_pg_timeout)
            torch.distributed.init_process_group(
                backend, store=torch.distributed.PrefixStore("default_pg", store), rank=rank, world_size=world
            )
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=join, name="rendezvous", daemon=True)
    thread.start()
    deadline_s = time.monotonic() + JOIN_LIMIT_S + 10 * LOOK_S
    while thread.is_alive() and time.monotonic() < deadline_s:
        thread.join(LOOK_S)
    if thread.is_alive() or failed:
        why = first_line(failed[0]) if failed else ""
        ended = "timed out" if not why or "timed out" in why.lower() else "failed"
        raise TrainingError(
            f"process {launch.rank + 1} of {launch.world} {ended} at the rendezvous {host}:{port} (RANK, WORLD_SIZE, "
            f"MASTER_ADDR, MASTER_PORT; limit {JOIN_LIMIT_S:g} s){why and ': '}{why}"
        ) from (failed[0] if failed else None)


@contextlib.contextmanager
def _variables(environment: Mapping[str, str]) -> Iterator[None]:
    """The variables of this process in the block."""
    before = dict(os.environ)
    try:
        _replace(environment)
        yield
    finally:
        _replace(before)


def _replace(environment: Mapping[str, str]) -> None:
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
