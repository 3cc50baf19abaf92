"""Small denoisers, small data, and a run of both."""

from __future__ import annotations

import itertools
import os
import signal
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench.diffusion import AbsorbingDiffusion
from bench.training import TrainSettings
from bench.training.progress import TrainResult
from bench.training.trainer import train

MASK, PAD, VOCABULARY, LENGTH = 6, 7, 8, 24


def make_network(kind: str = "dense", width: int = 16, seed: int = 1) -> nn.Module:
    """A denoiser of its own shape, with dropout so that its noise must be resumed too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "dense":
            return nn.Sequential(
                nn.Embedding(VOCABULARY, width), nn.Dropout(0.1), nn.Linear(width, width), nn.GELU(),
                nn.LayerNorm(width), nn.Linear(width, VOCABULARY),
            )  # fmt: skip
        return Recurrent(width)


class Recurrent(nn.Module):
    """A backbone of quite another kind."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(VOCABULARY, width), nn.Linear(width, VOCABULARY)
        self.cell = nn.GRU(width, width, batch_first=True)

    def forward(self, tokens_BL: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(self.embed(tokens_BL))[0])


def make_windows(count: int = 40, seed: int = 0) -> np.ndarray:
    """Windows with something to learn: a token is mostly the one before."""
    random = np.random.default_rng(seed)
    tokens = random.integers(0, 6, (count, LENGTH)).astype(np.uint16)
    for place in range(1, LENGTH):
        keep = random.random(count) < 0.8
        tokens[keep, place] = tokens[keep, place - 1]
    tokens[0, 20:] = PAD
    return tokens


@pytest.fixture
def run(tmp_path: Path):
    """Trains in `folder` (default: a fresh one) with settings over short defaults; returns result and network."""

    def make(
        *, folder: str = "run", network: nn.Module | None = None, windows: object = None, validation: object = "some",
        seed: int = 5, loss: str = "reweighted_elbo", progress: object = None, stop: object = None, **settings: object,
    ) -> tuple[TrainResult, nn.Module]:  # fmt: skip
        given = {"device": "cpu", "batch": 4, "warmup_steps": 5, "log_steps": 5, "validations": 0} | settings
        if not {"steps", "seconds", "flops"} & given.keys():
            given["steps"] = 20
        network = make_network() if network is None else network
        held_out = make_windows(8, seed=9) if isinstance(validation, str) else validation
        result = train(
            network, make_windows() if windows is None else windows, held_out,
            AbsorbingDiffusion(MASK, PAD, steps=50, loss=loss), TrainSettings(**given),
            seed=seed, folder=tmp_path / folder, progress=progress, stop=stop,
        )  # fmt: skip
        return result, network

    return make


CHILD_LIMIT_S = 120.0


def _exit_code(child: int, limit_s: float = CHILD_LIMIT_S) -> int:
    """Exit code of a forked process, minus the signal that ended it; the test fails where it takes longer."""
    deadline = time.monotonic() + limit_s
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail(f"the forked process did not end within {limit_s:g} s")
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(ended[1])


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread of torch: a forked process has none of OpenMP's further threads and would wait for them for ever."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def exit_code():
    """`_exit_code`."""
    return _exit_code


@pytest.fixture
def killed(run, one_thread: None):
    """Trains as `run` does, in a process of its own that is killed by SIGKILL in training step `at`, from 1."""

    def make(at: int, **given: object) -> None:
        child = os.fork()
        if child == 0:
            try:
                network, steps = make_network(), itertools.count(1)

                def kill(module: nn.Module, inputs: object) -> None:
                    if module.training and next(steps) == at:
                        os.kill(os.getpid(), signal.SIGKILL)

                network.register_forward_pre_hook(kill)
                run(network=network, **given)
            except BaseException:
                traceback.print_exc()
            os._exit(1)  # not killed
        assert _exit_code(child) == -signal.SIGKILL

    return make
