"""The denoiser as a sampler calls it: in half precision where chosen, replayed as a CUDA graph on GPUs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from architectures.padding import known_padding
from bench.errors import first_line

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
WARM_CALLS = 3  # before a recording: libraries choose algorithms and take workspace, which a recording may not
AGREEMENT = 0.01  # largest difference of a replay from the plain call, as a share of the largest logit


Replay = Callable[[], torch.Tensor]
"""One recorded call, run again on whatever its inputs hold by then; its logits lie in memory that the next run
overwrites."""


class CudaGraphs:
    """Recordings as CUDA graphs: the hundreds of kernels of a forward pass become one launch. All share their memory,
    for no two run at once. A network's inputs have one shape in each."""

    def __init__(self) -> None:
        self._pool: Any = None

    def unusable_reason(self, device: torch.device) -> str:
        """Why nothing can be recorded on a device; "" if it can."""
        return "" if device.type == "cuda" else f"no CUDA graphs on {device.type}"

    def record(self, call: Callable[..., torch.Tensor], inputs: Sequence[torch.Tensor]) -> Replay:
        """`call(*inputs)`, recorded. Raises RuntimeError for a call that cannot be (one that waits for the device)."""
        present, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(present)
        with torch.cuda.stream(side):
            for _ in range(WARM_CALLS):
                call(*inputs)
        present.wait_stream(side)
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        torch.clear_autocast_cache()  # a replay casts the weights itself: a cast kept from before may not be there
        try:
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                logits = call(*inputs)
        except Exception:
            _end_recording(inputs[0].device)
            raise
        torch.clear_autocast_cache()  # casts of the recording hold nothing before its first replay

        def replay() -> torch.Tensor:
            graph.replay()
            return logits

        return replay


def _end_recording(device: torch.device) -> None:
    """After a recording that failed: torch still takes its random generator for recorded and refuses the next draw on
    the device; the end of a recording that succeeds puts it right (pytorch issue 171263)."""
    with (
        contextlib.suppress(RuntimeError),
        torch.cuda.graph(torch.cuda.CUDAGraph(), capture_error_mode="thread_local"),
    ):
        torch.zeros(1, device=device)


class SamplingStep(nn.Module):
    """`denoise(tokens_BL, *time_B)` with the same answer at less cost a call; for any sampler.

    precision: of the matrix products, "float32" or "bfloat16" (autocast). recorder: makes recordings of the call,
    one for each batch size and length, with PAD and without; None for none. A batch is filled up to the next power
    of two, or to `most`, so that a sampler whose batch shrinks needs few of them: rows do not depend on each other.
    The first replay is compared with the plain call. Where nothing can be recorded, or the two differ, every call
    is a plain one, and `plain_reason` is the reason. Logits hold until the next call; the network's weights may
    change in place, not move.
    """

    def __init__(
        self,
        denoise: Callable[..., torch.Tensor],
        *,
        precision: str = "float32",
        recorder: CudaGraphs | None = None,
        most: int | None = None,
    ) -> None:
        super().__init__()
        self.denoise = denoise
        self.training = isinstance(denoise, nn.Module) and denoise.training
        self.precision = PRECISIONS[precision]
        self.recorder, self.most = recorder, most
        self.plain_reason = ""
        self._kept: dict[tuple[int, ...], tuple[Replay, list[torch.Tensor]]] = {}

    def forward(self, tokens_BL: torch.Tensor, *time_B: torch.Tensor) -> torch.Tensor:
        """Logits (B, L, V)."""
        if self.recorder and not self.plain_reason:
            self.plain_reason = self.recorder.unusable_reason(tokens_BL.device)
        if self.recorder is None or self.plain_reason or self.training or torch.is_grad_enabled():
            return self._plain(tokens_BL, *time_B)
        rows = len(tokens_BL)
        key = (self._filled(rows), *tokens_BL.shape[1:], len(time_B), known_padding() is not False)
        if key not in self._kept:
            try:
                self._kept[key] = self._recorded(self.recorder, key[0], (tokens_BL, *time_B))
            except RuntimeError as problem:
                self.plain_reason = first_line(problem)
                self._kept.clear()
                return self._plain(tokens_BL, *time_B)
        replay, inputs = self._kept[key]
        for kept, given in zip(inputs, (tokens_BL, *time_B), strict=True):
            kept[:rows].copy_(given)
        return replay()[:rows]

    @property
    def extend(self) -> Callable[..., tuple[torch.Tensor | None, Any]] | None:
        """The network's call on tokens that follow others, in this precision; None where it has none.

        Every call is a plain one: what it is given grows from call to call, and a recording has one shape.
        """
        own: Any = getattr(self.denoise, "extend", None)
        if own is None:
            return None

        def extend(tokens_BL: torch.Tensor, state: Any = None, **wanted: bool) -> tuple[torch.Tensor | None, Any]:
            with autocast(tokens_BL.device, self.precision):
                return own(tokens_BL, state, **wanted)

        return extend

    def _filled(self, rows: int) -> int:
        """Rows of the recording that serves a batch of `rows`."""
        power = 1 << (rows - 1).bit_length()
        return min(power, self.most) if self.most is not None and rows <= self.most else power

    @property
    def words(self) -> str:
        """How calls are made, for a table: "" for the plain way of a CPU."""
        if self.recorder is None or self.plain_reason.startswith("no CUDA graphs on"):
            return ""
        if self.plain_reason:
            return f"no CUDA graph: {self.plain_reason}"
        return f"CUDA graphs of {len(self._kept)} batch sizes" if self._kept else ""

    def kernels(self) -> dict[str, str]:
        """Which implementation each operator of the network uses in this precision, where it says so."""
        own: Any = getattr(self.denoise, "kernels", None)
        if not callable(own):
            return {}
        device = next((one.device for one in self.denoise.parameters()), torch.device("cpu"))  # type: ignore[attr-defined]
        with autocast(device, self.precision):
            return dict(own())

    def _plain(self, *inputs: torch.Tensor) -> torch.Tensor:
        with autocast(inputs[0].device, self.precision):
            return self.denoise(*inputs)

    def _recorded(
        self, recorder: CudaGraphs, size: int, given: tuple[torch.Tensor, ...]
    ) -> tuple[Replay, list[torch.Tensor]]:
        """A recording for batches of `size`, compared with the plain call, and the inputs it reads."""
        with torch.inference_mode(False):  # they are written to whether or not a later caller is in inference mode
            inputs = [torch.zeros(size, *one.shape[1:], dtype=one.dtype, device=one.device) for one in given]
        for kept, one in zip(inputs, given, strict=True):
            kept[: len(one)].copy_(one)
        expected = self._plain(*inputs)
        replay = recorder.record(self._plain, inputs)
        found = replay()
        worst, scale = float((found - expected).abs().max()), float(expected.abs().max())
        if not worst <= AGREEMENT * scale:  # NaN as well
            raise RuntimeError(f"a replay differs from the plain call by {worst:.2g} (largest logit {scale:.2g})")
        return replay, inputs


@contextlib.contextmanager
def autocast(device: torch.device, precision: torch.dtype) -> Iterator[None]:
    """Matrix products in `precision` on this device; nothing for float32. Without gradients where there were none, but
    outside inference mode, in which autocast keeps no weight that it has cast."""
    if precision == torch.float32:
        yield
        return
    with_gradients = torch.is_grad_enabled()
    with (
        torch.inference_mode(False),
        torch.set_grad_enabled(with_gradients),
        torch.autocast(device.type, dtype=precision),
    ):
        yield


def weights_cast_once() -> contextlib.AbstractContextManager[Any]:
    """A block in which calls in half precision cast each weight at the first of them; no weight may change in it.

    Autocast drops its copies where the outermost of its blocks ends; this one is around those of the calls and changes
    no precision itself.
    """
    return torch.autocast("cpu", enabled=torch.is_autocast_enabled("cpu"))
