"""The CPU kernels on several threads: the same bits for any number of them, and safe use from several callers."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from architectures.kernel_choice import KernelError
from architectures.scan import available_kernels, selective_scan, workers


@pytest.fixture
def kernel() -> str:
    if reason := available_kernels()["numba"]:
        pytest.skip(reason)
    return "numba"


@pytest.fixture
def threads_restored() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def arguments(batch: int = 2, channels: int = 200, length: int = 70, state: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    time, mix = (batch, channels, length), (batch, state, length)
    normal = [torch.randn(shape, generator=generator) for shape in (time, time, (channels, state), mix, mix)]
    normal[2] = -normal[2].exp()
    return [*normal, torch.randn(channels, generator=generator), torch.randn(time, generator=generator)]


def output_and_gradients(tensors: list[torch.Tensor], kernel: str) -> list[torch.Tensor]:
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    y = selective_scan(*leaves, delta_softplus=True, kernel=kernel)
    return [y.detach(), *torch.autograd.grad(y, leaves, torch.ones_like(y))]


def test_results_do_not_depend_on_the_number_of_threads(
    kernel: str, threads_restored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "SMALLEST_SHARE", 1)  # threads for a small scan too
    results = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        results.append(output_and_gradients(arguments(), kernel))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_several_callers_at_once_get_their_own_results(kernel: str) -> None:
    batches = [[(1.0 + 0.1 * i) * tensor for tensor in arguments(channels=40, length=30)] for i in range(6)]
    alone = [selective_scan(*batch, delta_softplus=True, kernel=kernel) for batch in batches]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda batch: selective_scan(*batch, delta_softplus=True, kernel=kernel), batches))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_second_derivative_raises_and_is_not_silently_wrong(kernel: str) -> None:
    u, *rest = arguments(1, 3, 5, 2)
    u.requires_grad_()
    y = selective_scan(u, *rest, delta_softplus=True, kernel=kernel)
    (first,) = torch.autograd.grad(y.pow(2).sum(), u, create_graph=True)
    assert first.requires_grad
    with pytest.raises(KernelError, match=f"{kernel} cannot be differentiated twice; force one of reference, torch"):
        first.sum().backward()


def test_float64_is_refused_by_a_float32_kernel(kernel: str) -> None:
    with pytest.raises(KernelError, match=f"{kernel} cannot run: computes in float32 and refuses float64 inputs"):
        selective_scan(*(tensor.double() for tensor in arguments(1, 3, 5, 2)), kernel=kernel)


@pytest.mark.parametrize(("shares", "threads_used"), [(1, 1), (3, 3), (1000, 4)])
def test_small_scans_wake_fewer_threads(
    shares: int, threads_used: int, threads_restored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A barrier lets an item end only when all expected threads hold one; one thread takes all items at once."""
    torch.set_num_threads(4)
    meeting = threading.Barrier(threads_used)
    seen: list[tuple[int, int]] = []

    def task(scratch: np.ndarray, first: int, last: int) -> None:
        if first < threads_used:
            meeting.wait(timeout=600)
        seen.append((first, last))

    monkeypatch.setattr(workers, "PORTIONS_PER_THREAD", 100)  # portions of one item
    workers.run_items(task, 12, 1, shares * workers.SMALLEST_SHARE)
    assert sorted(seen) == ([(0, 12)] if threads_used == 1 else [(i, i + 1) for i in range(12)])


def test_an_error_in_a_helper_reaches_the_caller(threads_restored: None) -> None:
    torch.set_num_threads(2)
    meeting = threading.Barrier(2)

    def task(scratch: np.ndarray, first: int, last: int) -> None:
        if first < 2:
            meeting.wait(timeout=600)
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a helper failed")

    with pytest.raises(RuntimeError, match="a helper failed"):
        workers.run_items(task, 2, 1, 1 << 30)


def test_calling_thread_keeps_its_subnormal_numbers(kernel: str) -> None:
    """The scan flushes them to zero while it runs; whoever called must not notice."""
    selective_scan(*arguments(1, 3, 5, 2), kernel=kernel)
    assert (torch.tensor([1e-40]) * 1.0).item() > 0
