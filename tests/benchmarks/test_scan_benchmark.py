"""The selective scan on the CPU against what can be installed today: time, extra memory, growth with length, error.

Every time is the median of rounds in which all candidates take turns, so that a slow moment of the machine meets them
all. Peers: mambapy (parallel scan, and its sequential one), the loop of transformers, and the plain loop over time with
`unbind`. All compute the same scan, D 1024 and N 16 in float32, and each peer's output is compared with ours first.

Set SMDIM_BENCH_SCAN_REPORT to a file name to keep the tables as Markdown. Nothing here fails because a machine is slow.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from architectures.scan import available_kernels, chosen_kernel, selective_scan
from architectures.scan.inputs import ScanInputs
from architectures.scan.reference import scan_loop

CHANNELS, STATE = 1024, 16
KERNELS = ("numba", "torch")
REPORT_VARIABLE = "SMDIM_BENCH_SCAN_REPORT"
LENGTHS = (256, 512, 1024, 2048, 4096, 8192)
Scan = Callable[..., torch.Tensor]


def arguments(batch: int, length: int, channels: int = CHANNELS) -> list[torch.Tensor]:
    """u, delta, A, B, C with steps and decays as a Mamba layer has them at the start of training."""
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(batch, channels, length, generator=generator)
    delta = torch.nn.functional.softplus(torch.randn(batch, channels, length, generator=generator) - 4.0)
    A = -torch.arange(1.0, STATE + 1).repeat(channels, 1)
    B, C = (torch.randn(batch, STATE, length, generator=generator) for _ in range(2))
    return [u, delta, A, B, C]


def ours(kernel: str) -> Scan:
    return partial(selective_scan, kernel=kernel)


def loop_with_unbind(*tensors: torch.Tensor) -> torch.Tensor:
    return scan_loop(ScanInputs(*tensors, None, None, None, False, False), torch.float32)


def mambapy(method: str) -> Scan:
    """mambapy keeps time before channels; the views that turn its arguments cost nothing."""
    module = pytest.importorskip("mambapy.mamba", reason="the benchmark extra is not installed")
    block = module.MambaBlock(module.MambaConfig(d_model=CHANNELS // 2, n_layers=1, d_state=STATE))
    run = getattr(block, method)

    def scan(u: torch.Tensor, delta: torch.Tensor, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor) -> torch.Tensor:
        u, delta, B, C = (tensor.transpose(1, 2) for tensor in (u, delta, B, C))
        return run(u, delta, A, B, C, torch.zeros(CHANNELS)).transpose(1, 2)

    return scan


def transformers_loop() -> Scan:
    module = pytest.importorskip("transformers.models.mamba.modeling_mamba", reason="transformers is not installed")
    return module.mamba_selective_scan


def forward(scan: Scan, tensors: list[torch.Tensor]) -> None:
    with torch.no_grad():
        scan(*tensors)


def forward_and_backward(scan: Scan, tensors: list[torch.Tensor]) -> None:
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    y = scan(*leaves)
    torch.autograd.grad(y, leaves, torch.ones_like(y))


def interleaved_medians_ms(
    calls: dict[str, Callable[[], None]], rounds: int, *, warm_turns: bool = False
) -> dict[str, float]:
    """With `warm_turns` each turn begins with an untimed call: a short one would else pay for the caches and the memory
    that a long one before it took."""
    times_s: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            if warm_turns:
                call()
            started_s = time.perf_counter()
            call()
            times_s[name].append(time.perf_counter() - started_s)
    return {name: 1e3 * statistics.median(found) for name, found in times_s.items()}


class Report:
    """Lines of Markdown, printed as they come and written at the end."""

    def __init__(self) -> None:
        self.lines = ["# Selective scan on a CPU", "", *_machine(), ""]

    def table(self, title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        lines = [f"## {title}", "", f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        self.lines += [*lines, ""]
        print("\n" + "\n".join(lines))

    def compared(self, title: str, medians_ms: dict[str, float], peers: dict[str, float], aim: str) -> dict[str, float]:
        best = min(peers.values())
        ratios = {name: best / found for name, found in medians_ms.items()}
        rows = [(name, f"{found:.1f}", f"{ratios[name]:.1f}") for name, found in medians_ms.items()]
        rows += [(f"peer: {name}", f"{found:.1f}", f"{best / found:.2f}") for name, found in peers.items()]
        self.table(f"{title} ({aim})", ("scan", "median [ms]", "times the best peer's speed"), rows)
        return ratios


def _machine() -> list[str]:
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    packages = ("torch", "numba", "numpy", "mambapy", "transformers")
    installed = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    versions = ", ".join(f"{name} {installed.get(name, 'absent')}" for name in packages)
    return [
        f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads; "
        f"Python {platform.python_version()}, {versions}.",
        f"`auto` chooses `{chosen_kernel('cpu')}` here. D {CHANNELS}, N {STATE}, float32, no D, z, bias or softplus; "
        "medians of interleaved rounds.",
    ]


@pytest.fixture(scope="module", autouse=True)
def all_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def report(all_cores: None) -> Iterator[Report]:
    made = Report()
    yield made
    if os.environ.get(REPORT_VARIABLE):
        target = Path(os.environ[REPORT_VARIABLE])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(made.lines).rstrip() + "\n")


@pytest.fixture(scope="module")
def kernels(all_cores: None) -> tuple[str, ...]:
    """The kernels that run here, warm."""
    usable = tuple(name for name in KERNELS if not available_kernels()[name])
    for name in usable:
        forward_and_backward(ours(name), arguments(1, 64))
    return usable


def check_same(peers: dict[str, Scan]) -> None:
    tensors = arguments(1, 64)
    expected = selective_scan(*tensors, kernel="reference")
    for name, scan in peers.items():
        torch.testing.assert_close(scan(*tensors), expected, rtol=1e-3, atol=1e-4, msg=f"{name} computes another scan")


def measure(
    benchmark,
    report: Report,
    title: str,
    aim: str,
    own: dict[str, Scan],
    peers: dict[str, Scan],
    run,
    shape,
    rounds: int,
) -> None:  # type: ignore[no-untyped-def]
    check_same(own | peers)
    tensors = arguments(*shape)
    calls = {name: partial(run, scan, tensors) for name, scan in (own | peers).items()}
    found = interleaved_medians_ms(calls, rounds)
    ratios = report.compared(title, {name: found[name] for name in own}, {name: found[name] for name in peers}, aim)
    benchmark.extra_info.update({f"ratio {name}": round(ratio, 1) for name, ratio in ratios.items()})
    benchmark.pedantic(next(iter(calls.values())), rounds=rounds)


def test_forward(benchmark, report: Report, kernels: tuple[str, ...]) -> None:
    peers = {
        "mambapy sequential": mambapy("selective_scan_seq"),
        "mambapy parallel": mambapy("selective_scan"),
        "transformers loop": transformers_loop(),
    }
    own = {name: ours(name) for name in kernels}
    measure(benchmark, report, "Forward, B 1, L 2048", "aim: 35", own, peers, forward, (1, 2048), 5)


def test_forward_and_backward(benchmark, report: Report, kernels: tuple[str, ...]) -> None:
    """The sequential peers are left out: they index inside the loop, so their backward pass is quadratic in L."""
    own = {name: ours(name) for name in kernels}
    peers = {"mambapy parallel": mambapy("selective_scan")}
    title = "Forward and backward, B 4, L 1024"
    measure(benchmark, report, title, "aim: 20, hoped for: 50", own, peers, forward_and_backward, (4, 1024), 3)


def test_against_the_plain_loop(benchmark, report: Report, kernels: tuple[str, ...]) -> None:
    own = {name: ours(name) for name in kernels}
    peers = {"loop over time with unbind": loop_with_unbind}
    title = "Forward and backward, B 1, L 1024"
    measure(benchmark, report, title, "aim: 15", own, peers, forward_and_backward, (1, 1024), 5)


def test_plain_torch_against_mambapy(benchmark, report: Report, all_cores: None) -> None:
    own, peers = {"torch": ours("torch")}, {"mambapy parallel": mambapy("selective_scan")}
    title = "Pure torch, forward and backward, B 1, L 2048"
    measure(benchmark, report, title, "aim: 8", own, peers, forward_and_backward, (1, 2048), 5)


@pytest.mark.parametrize("batch", [1, 4])
def test_growth_with_length(benchmark, report: Report, kernels: tuple[str, ...], batch: int) -> None:
    """The exponent of L in the time of forward and backward, by least squares on logarithms."""
    rows = []
    for kernel in kernels:
        calls = {
            str(length): partial(forward_and_backward, ours(kernel), arguments(batch, length)) for length in LENGTHS
        }
        found = interleaved_medians_ms(calls, 3 if kernel == "torch" else 7, warm_turns=True)
        exponent = float(np.polyfit(np.log(LENGTHS), np.log(list(found.values())), 1)[0])
        benchmark.extra_info[f"exponent {kernel}"] = round(exponent, 3)
        rows.append((kernel, *(f"{time_ms:.1f}" for time_ms in found.values()), f"{exponent:.3f}"))
    header = ("scan", *(f"L {length} [ms]" for length in LENGTHS), "exponent")
    title = f"Forward and backward, B {batch}, growth with length (aim: exponent 0.95 to 1.1)"
    report.table(title, header, rows)
    benchmark.pedantic(partial(forward_and_backward, ours(kernels[0]), arguments(batch, 256)), rounds=5)


def test_extra_memory(benchmark, report: Report, kernels: tuple[str, ...]) -> None:
    """A fresh process each: the peak of resident memory over what it was with the inputs made and the kernel warm."""
    rows = []
    for name in (*kernels, "mambapy"):
        done = subprocess.run(
            [sys.executable, __file__, name], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
        )
        peak_mib = float(done.stdout.split()[-1])
        benchmark.extra_info[f"extra MiB {name}"] = round(peak_mib)
        rows.append((name, f"{peak_mib:.0f}"))
    title = "Extra memory of forward and backward, B 4, L 2048, output and all gradients included (aim: 160)"
    report.table(title, ("scan", "peak [MiB]"), rows)
    benchmark.pedantic(lambda: None, rounds=1)


def test_error(benchmark, report: Report, kernels: tuple[str, ...]) -> None:
    """max |error| / max |reference| against float64, of the output and the worst gradient."""
    tensors = arguments(1, 2048, channels=32)
    exact = _results(ours("reference"), [tensor.double() for tensor in tensors])
    rows = []
    for kernel in kernels:
        found = _results(ours(kernel), tensors)
        errors = [float((a.double() - b).abs().max() / b.abs().max()) for a, b in zip(found, exact, strict=True)]
        rows.append((kernel, f"{errors[0]:.1e}", f"{max(errors[1:]):.1e}"))
    report.table("Error against float64, L 2048 (aim: below 1e-4)", ("scan", "output", "worst gradient"), rows)
    benchmark.pedantic(partial(_results, ours(kernels[0]), tensors), rounds=3)


def _results(scan: Scan, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    y = scan(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, torch.ones_like(y))]


def _resident_mib(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def _print_extra_memory(name: str) -> None:
    """What the process of its own runs."""
    torch.set_num_threads(os.cpu_count() or 1)
    scan = mambapy("selective_scan") if name == "mambapy" else ours(name)
    forward_and_backward(scan, arguments(1, 32))
    tensors = arguments(4, 2048)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from now
    before_mib = _resident_mib("VmRSS")
    forward_and_backward(scan, tensors)
    print(_resident_mib("VmHWM") - before_mib)


if __name__ == "__main__":
    _print_extra_memory(sys.argv[1])
