"""Sampling and training steps of two source trees, in fresh processes that take turns: times, ratios, share of peak.

    python tools/compare_trees.py BEFORE AFTER --out results/reference/cpu-2-cores/speed [--minutes 8]

BEFORE and AFTER are folders with `architectures` and `bench`, such as git worktrees of two commits. A round is, for
each arm, a process of each tree, the order changed from arm to arm and round to round; no round begins that would not
end in time. A process times single calls: a denoising step as a sampler makes it (batch 1), and a training step (batch
4: noise, loss, backward pass, clipping, AdamW, averaged weights), width 256, 24 mixers, in float32, and in bfloat16 in
AFTER where the CPU has it. Before and after each call a small product shows how fast the machine is: calls beside which
it took over 10 % longer than one in twenty of the whole run are left out, and a process makes up to three times as many
calls to have enough of the others. The time of a process is the median of its calls, a ratio the median over rounds,
beside the smallest and largest. The share of the peak is the products of a step by formula over the rate of a large
float32 product in the same process. Writes `speed.csv`, every process, and `speed.md`.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

ARMS, LENGTHS, KINDS = ("smdim", "transformer", "mamba"), (512, 2048), ("step", "train")
WIDTH, LAYERS, STRIDE, VOCABULARY, MASK, PAD, TRAINING_BATCH = 256, 24, 4, 290, 288, 289, 4
CALLS = {("step", 512): 15, ("step", 2048): 7, ("train", 512): 4, ("train", 2048): 3}
PEAK_SIZE, PEAK_CALLS, TRAINING_PASSES = 2048, 5, 3
PROBE_SIZE, PROBE_CALLS, SLOWED, MOST, LONG_CALL_S = 512, 10, 1.1, 3, 0.3
MEASURED = ("arm", "length", "kind", "precision", "timed_s", "products", "peak_per_s")
FIELDS = ("round", "tree", *MEASURED[:4], "median_s", "calls", "slowed", *MEASURED[5:])
Row = dict[str, Any]


def measure(arm: str, lengths: list[int], precisions: list[str]) -> list[Row]:
    """What one process finds: imports of the tree that PYTHONPATH names."""
    import torch

    from architectures import build
    from bench.diffusion import sampling_step

    in_a_sample = getattr(sampling_step, "weights_cast_once", nullcontext)  # a tree of before casts them in each call
    torch.set_num_threads(os.cpu_count() or 1)
    model = build(arm, vocab_size=VOCABULARY, seed=0, width=WIDTH, layers=LAYERS, stride=STRIDE)
    square, small = torch.randn(PEAK_SIZE, PEAK_SIZE), torch.randn(PROBE_SIZE, PROBE_SIZE)
    peak_per_s = 2 * PEAK_SIZE**3 / min(_times_s(lambda: square @ square, PEAK_CALLS))
    rows = []

    def probe_s() -> float:
        return statistics.median(_times_s(lambda: small @ small, PROBE_CALLS))

    for precision in precisions:
        for kind in KINDS:
            for length in lengths:
                call = _step(model, length, precision) if kind == "step" else _training(model, length, precision)
                count: Any = model.flops(length)  # type: ignore[operator]
                passes = TRAINING_PASSES * TRAINING_BATCH if kind == "train" else 1
                products = (count.matmul + count.attention) * passes
                with in_a_sample() if kind == "step" else nullcontext():
                    timed_s = _timed_beside(call, CALLS[kind, length], probe_s)
                found = (arm, length, kind, precision, timed_s, products, peak_per_s)
                rows.append(dict(zip(MEASURED, found, strict=True)))
    return rows


def _timed_beside(call: Callable[[], Any], count: int, probe_s: Callable[[], float]) -> list[tuple[float, float]]:
    """Seconds of calls, each with those of the slower of the probes before and after it, until `count` calls are not
    slowed as far as is known here."""
    call()
    timed_s: list[tuple[float, float]] = []
    before_s = probe_s()
    while len(timed_s) < MOST * count and len(_kept_s(timed_s, _full_speed_s(timed_s))) < count:
        if not timed_s or timed_s[-1][0] < LONG_CALL_S:
            call()  # the products have taken the caches
        (taken_s,) = _times_s(call, 1, warm=False)
        after_s = probe_s()
        timed_s.append((taken_s, max(before_s, after_s)))
        before_s = after_s
    return timed_s


def _full_speed_s(timed_s: list[tuple[float, float]]) -> float:
    """What one in twenty of these probes reaches: the fastest of hundreds is faster than the machine keeps up."""
    probes_s = sorted(probe_s for _, probe_s in timed_s)
    return probes_s[len(probes_s) // 20] if probes_s else 0.0


def _kept_s(timed_s: list[tuple[float, float]], full_speed_s: float) -> list[float]:
    """The calls beside which the machine was about at full speed."""
    return [taken_s for taken_s, probe_s in timed_s if probe_s <= SLOWED * full_speed_s]


def _times_s(call: Callable[[], Any], count: int, warm: bool = True) -> list[float]:
    if warm:
        call()
    times_s = []
    for _ in range(count):
        began_s = time.perf_counter()
        call()
        times_s.append(time.perf_counter() - began_s)
    return times_s


def _step(model: Any, length: int, precision: str) -> Callable[[], Any]:
    import torch

    from bench.diffusion.sampling_step import SamplingStep

    denoise = SamplingStep(model.eval(), precision=precision)
    tokens_BL = torch.randint(0, MASK, (1, length), generator=torch.Generator().manual_seed(0))

    def call() -> None:
        with torch.inference_mode():
            denoise(tokens_BL)

    return call


def _training(model: Any, length: int, precision: str) -> Callable[[], Any]:
    import torch

    from bench.diffusion import AbsorbingDiffusion
    from bench.training import TrainSettings
    from bench.training.optimiser import AveragedWeights, build_optimiser

    process, generator = AbsorbingDiffusion(MASK, PAD), torch.Generator().manual_seed(0)
    model.train()
    optimiser, average = build_optimiser(model, TrainSettings(steps=100)), AveragedWeights(model, 0.995)
    clean_BL = torch.randint(0, MASK, (TRAINING_BATCH, length), generator=generator)

    def denoise(*inputs: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits_BLV: torch.Tensor = model(*inputs)
        return logits_BLV.float()

    def call() -> None:
        process.loss(denoise, clean_BL, generator).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        average.update()

    return call


def _as_cells_run() -> None:
    """Begin again with the environment variables that the tree gives a process that trains, where these are not set."""
    from bench import child

    wanted: dict[str, str] = getattr(child, "KEPT_MEMORY", {})  # a tree of before has none
    if not wanted.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})


def run_child(tree: Path, arm: str, lengths: list[int], precisions: list[str]) -> list[Row]:
    """The rows of a fresh process in a tree."""
    asked = [arm, ",".join(map(str, lengths)), *precisions]
    command = [sys.executable, str(Path(__file__).resolve()), "--child", *asked]
    spin = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "20000"}
    environment = {**spin, **os.environ, "PYTHONPATH": str(tree.resolve())}
    done = subprocess.run(command, env=environment, cwd=tree, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    rows: list[Row] = json.loads(done.stdout.splitlines()[-1])
    return rows


def compare(trees: dict[str, Path], arms: list[str], lengths: list[int], minutes: float, half: bool) -> list[Row]:
    """Rounds until the time is spent: one that would not end in time does not begin."""
    began_s, longest_s, rows, number = time.monotonic(), 0.0, [], 0
    while time.monotonic() - began_s + longest_s < 60 * minutes:
        round_s = time.monotonic()
        for place, arm in enumerate(arms):
            order = list(trees.items())[:: 1 if (number + place) % 2 == 0 else -1]
            for name, tree in order:
                precisions = ["float32", "bfloat16"] if half and name == "after" else ["float32"]
                rows += [{"round": number, "tree": name, **row} for row in run_child(tree, arm, lengths, precisions)]
        longest_s = max(longest_s, time.monotonic() - round_s)
        number += 1
        print(f"round {number}: {time.monotonic() - round_s:.0f} s", file=sys.stderr)
    return judged(rows)


def judged(rows: list[Row]) -> list[Row]:
    """Rows with the median of the calls that were not slowed (NaN without one), how many these and the others are."""
    full_speed_s = _full_speed_s([timed for row in rows for timed in row["timed_s"]])
    found = []
    for row in rows:
        kept_s = _kept_s(row["timed_s"], full_speed_s)
        figures = {"median_s": statistics.median(kept_s) if kept_s else math.nan, "calls": len(kept_s)}
        left = {name: value for name, value in row.items() if name != "timed_s"}
        found.append(left | figures | {"slowed": len(row["timed_s"]) - len(kept_s)})
    return found


def table(rows: list[Row], processor: str) -> list[str]:
    """Markdown: the processor, and one line for each kind of step, arm and length."""
    found: dict[tuple[Any, ...], dict[int, Row]] = {}
    for row in rows:
        key = (row["kind"], row["arm"], row["length"], row["tree"], row["precision"])
        if math.isnan(row["median_s"]):
            continue
        found.setdefault(key, {})[row["round"]] = row
    rounds, slowed = 1 + max(row["round"] for row in rows), sum(row["slowed"] for row in rows)
    calls = slowed + sum(row["calls"] for row in rows)
    lines = [
        f"{processor}, {os.cpu_count()} threads, Python {platform.python_version()}, {rounds} rounds; {slowed} of "
        f"{calls} calls were left out because the machine was slower meanwhile.",
        "",
        "| step | arm | tokens | before [ms] | after [ms] | times faster (range) | peak before | peak after "
        "| bfloat16 after [ms] | times faster than float32 before (range) |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for kind in KINDS:
        for arm in dict.fromkeys(row["arm"] for row in rows):
            for length in sorted({row["length"] for row in rows}):
                before, after, half = (
                    found.get((kind, arm, length, tree, precision), {})
                    for tree, precision in (("before", "float32"), ("after", "float32"), ("after", "bfloat16"))
                )
                cells = [_ms(before), _ms(after), _ratio(before, after), _share(before), _share(after)]
                cells += [_ms(half), _ratio(before, half)] if half else ["n/a", "n/a"]
                lines.append(f"| {kind} | {arm} | {length} | {' | '.join(cells)} |")
    return lines


def _ms(rounds: dict[int, Row]) -> str:
    if not rounds:
        return "n/a"
    return f"{1e3 * statistics.median(row['median_s'] for row in rounds.values()):.1f}"


def _ratio(before: dict[int, Row], after: dict[int, Row]) -> str:
    ratios = [row["median_s"] / after[number]["median_s"] for number, row in before.items() if number in after]
    if not ratios:
        return "n/a"
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _share(rounds: dict[int, Row]) -> str:
    shares = [row["products"] / row["median_s"] / row["peak_per_s"] for row in rounds.values()]
    return f"{100 * statistics.median(shares):.0f} %" if shares else "n/a"


def main() -> None:
    if "--child" in sys.argv:
        _as_cells_run()
        arm, lengths, *precisions = sys.argv[sys.argv.index("--child") + 1 :]
        print(json.dumps(measure(arm, list(map(int, lengths.split(","))), precisions)))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of speed.csv and speed.md")
    parser.add_argument("--minutes", type=float, default=8.0, help="no round begins that would end later")
    parser.add_argument("--arms", nargs="+", default=ARMS)
    parser.add_argument("--lengths", nargs="+", type=int, choices=LENGTHS, default=LENGTHS)
    given = parser.parse_args()
    from metrics.cost.device import bfloat16_warning, cpu_model  # not in a child, which sees its own tree alone

    trees = {"before": given.before, "after": given.after}
    rows = compare(trees, given.arms, given.lengths, given.minutes, not bfloat16_warning())
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "speed.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    lines = table(rows, cpu_model())
    (given.out / "speed.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
