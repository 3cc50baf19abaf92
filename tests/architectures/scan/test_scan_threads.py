"""The CPU kernels on several threads: the same bits for any number of them, and safe use from several callers."""

import subprocess
import sys
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


@pytest.fixture
def own_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items are shared by threads of ours, as where torch lends none."""
    monkeypatch.setattr(workers, "team_address", lambda: 0)


@pytest.mark.parametrize(("shares", "threads_used"), [(1, 1), (3, 3), (1000, 4)])
def test_small_scans_wake_fewer_threads(
    shares: int, threads_used: int, own_threads: None, threads_restored: None
) -> None:
    """A barrier lets a call end only when all expected threads have made one; one thread takes all items at once."""
    torch.set_num_threads(4)
    meeting = threading.Barrier(threads_used)
    seen: list[tuple[int, ...]] = []

    def function(share: np.ndarray, scratch: np.ndarray) -> None:
        meeting.wait(timeout=600)
        seen.append((*share, *scratch.shape))

    workers.run_items(function, (), 24, 1, shares * workers.SMALLEST_SHARE)
    portion = {1: 24, 3: 2, 4: 1}[threads_used]
    assert seen == [(0, threads_used, portion, 24, 0, 0, threads_used, 1 + workers.APART)] * threads_used


def test_an_error_in_a_helper_reaches_the_caller(own_threads: None, threads_restored: None) -> None:
    torch.set_num_threads(2)
    meeting = threading.Barrier(2)

    def function(share: np.ndarray, scratch: np.ndarray) -> None:
        meeting.wait(timeout=600)
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a helper failed")

    with pytest.raises(RuntimeError, match="a helper failed"):
        workers.run_items(function, (), 2, 1, 1 << 30)


def test_threads_of_ours_find_the_same_bits_as_those_of_torch(
    kernel: str, threads_restored: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "SMALLEST_SHARE", 1)
    torch.set_num_threads(3)
    expected = output_and_gradients(arguments(), kernel)
    monkeypatch.setattr(workers, "team_address", lambda: 0)
    found = output_and_gradients(arguments(), kernel)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


IN_A_PROCESS = """
import os, signal, sys, threading
import torch
from architectures.scan import selective_scan, workers

if not workers.team_address():
    sys.exit(77)
torch.set_num_threads(3)
workers.SMALLEST_SHARE = 1
time, mix = torch.rand(2, 200, 70), torch.rand(2, 5, 70)
large = torch.full((1 << 22,), 1e-40)


def scan():
    return selective_scan(time, time, -torch.rand(200, 5).fill_(0.5), mix, mix, kernel="numba")


large * 1.0
before = set(os.listdir("/proc/self/task"))
expected = scan()
assert set(os.listdir("/proc/self/task")) == before, "threads were started beside those of torch"
assert (large * 1.0).min() > 0, "a thread of torch goes on flushing subnormal numbers"
child = os.fork()
if not child:
    signal.alarm(60)  # a child that waits for threads it has not inherited ends here
    os._exit(0 if torch.equal(scan(), expected) else 1)
assert os.waitpid(child, 0)[1] == 0, "a forked child could not scan"
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")
def test_a_team_is_of_the_threads_of_torch_and_leaves_them_as_they_were(kernel: str) -> None:
    found = subprocess.run([sys.executable, "-c", IN_A_PROCESS], capture_output=True, text=True)
    if found.returncode == 77:
        pytest.skip("torch lends no threads here")
    assert found.returncode == 0, found.stderr


def test_calling_thread_keeps_its_subnormal_numbers(kernel: str) -> None:
    """The scan flushes them to zero while it runs; whoever called must not notice."""
    selective_scan(*arguments(1, 3, 5, 2), kernel=kernel)
    assert (torch.tensor([1e-40]) * 1.0).item() > 0
