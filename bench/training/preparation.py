"""The noised batch of each step: made on demand, or one step ahead while a GPU computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import torch

from bench.diffusion.absorbing import AbsorbingDiffusion
from bench.diffusion.generators import generator_for
from bench.diffusion.noised import Noised
from bench.training.batches import Batches


class Preparation:
    """Batches, masks and times as functions of (seed, step): the same whether they are made ahead or not.

    ahead: make the next step's in a thread of its own while this one's is in use. gpu: lay them in page-locked memory,
    so that this GPU fetches them while the process goes on (from other memory each copy would wait for all that the
    GPU still has to do).
    """

    def __init__(
        self,
        batches: Batches,
        diffusion: AbsorbingDiffusion,
        *,
        seed: int,
        batch: int,
        parts: Sequence[slice],
        ahead: bool = False,
        gpu: torch.device | None = None,
    ) -> None:
        self.batches, self.diffusion, self.seed, self.batch, self.parts = batches, diffusion, seed, batch, parts
        self.gpu = gpu
        self._thread = ThreadPoolExecutor(1, initializer=None if gpu is None else _on(gpu)) if ahead else None
        self._next: tuple[int, Future[list[Noised]]] | None = None

    def of(self, step: int) -> list[Noised]:
        """The draw of a step, cut into the parts that this process computes.

        Raises TrainingError where there is too little data for a batch.
        """
        expected, self._next = self._next, None
        ready = expected[1].result() if expected is not None and expected[0] == step else self._prepare(step)
        if self._thread is not None:
            self._next = step + 1, self._thread.submit(self._prepare, step + 1)
        return ready

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def _prepare(self, step: int) -> list[Noised]:
        clean_BL = torch.from_numpy(self.batches.batch(generator_for(self.seed, step, "batch"), self.batch))
        noised = self.diffusion.noise(clean_BL, generator_for(self.seed, step, "noise"))
        parts = [noised.rows(rows) for rows in self.parts]
        return [part.pinned() for part in parts] if self.gpu is not None else parts


def _on(gpu: torch.device) -> Callable[[], None]:
    """Makes this GPU the present one of the thread that calls it: each thread has its own, the first by default."""
    index = torch.cuda.current_device() if gpu.index is None else gpu.index
    return partial(torch.cuda.set_device, index)
