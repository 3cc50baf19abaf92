"""First minutes on a device: steps with a time limit each, what each measured on disk before the next begins.

Run by `make gpu`; on a CPU every step goes as far as it can, in small sizes. A step is a child process (see
`first_steps`) that writes its figures to one JSON file as it finds them: when it ends, runs over its limit and is
killed, or dies, they are kept with the reason. Twenty lines at the end say what passed, what did not, and which three
figures stand worst against their limits.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.child import Child, last_line, tree
from bench.files import read_json, to_json, write_atomically

TOOLS = Path(__file__).parent
MOST_LINES = 20
WORST = 3


@dataclass(frozen=True)
class Step:
    """One step: its name in `first_steps.STEPS`, and the seconds after which it is killed."""

    name: str
    limit_s: float


STEPS = (
    Step("doctor", 45),
    Step("kernels", 75),
    Step("tiles", 45),
    Step("graphs", 30),
    Step("launches", 30),
    Step("tests", 80),
    Step("efficiency", 85),
    Step("scan", 30),
    Step("training", 55),
)
Command = Callable[[Step, Path], tuple[str, ...]]


@dataclass(frozen=True)
class Outcome:
    """How a step ended: "passed", "failed", "n/a" (nothing of it can be measured here), "timeout" or "stopped", and its
    figures."""

    step: str
    state: str
    elapsed_s: float
    reason: str
    rows: Sequence[Mapping[str, Any]]

    @property
    def misses(self) -> list[str]:
        """What did not pass, in words."""
        return [f"{row['what']}: {row['reason'] or _against(row)}" for row in self.rows if row["passed"] is False]


def run_steps(steps: Sequence[Step], folder: Path, command: Command, say: Callable[[str], None]) -> list[Outcome]:
    """Run the steps in their order, each in a process of its own; its file under `folder` is whole before the next
    begins."""
    outcomes = []
    for number, step in enumerate(steps, start=1):
        path = folder / f"{number:02d}-{step.name}.json"
        path.unlink(missing_ok=True)
        say(f"{step.name} (at most {step.limit_s:g} s)")
        outcome = run_step(step, path, command(step, path))
        document = {"step": step.name, "state": outcome.state, "elapsed_s": outcome.elapsed_s, "reason": outcome.reason}
        write_atomically(path, to_json({**document, "limit_s": step.limit_s, "rows": list(outcome.rows)}, indent=2))
        outcomes.append(outcome)
        if outcome.state == "stopped":
            break
    return outcomes


def run_step(step: Step, path: Path, program: tuple[str, ...]) -> Outcome:
    """One step, killed with all its descendants when its time is over."""
    began, log = time.monotonic(), path.with_suffix(".log")
    search = os.pathsep.join(filter(None, (str(TOOLS), str(TOOLS.parent), os.environ.get("PYTHONPATH"))))
    log.unlink(missing_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    child = Child(*program, log=log, environment={"PYTHONPATH": search})
    state, reason = "", ""
    try:
        if child.process.wait(step.limit_s):
            reason = child.failure().reason
    except KeyboardInterrupt:
        state, reason = "stopped", "stopped by the user"
    except subprocess.TimeoutExpired:
        words = f"; {last_line(log)}" if log.stat().st_size else ""
        state, reason = "timeout", f"timeout: killed after its {step.limit_s:g} s{words}"
    finally:
        end_all(child)
    rows = (read_json(path) or {}).get("rows", [])
    if not state:
        missed = bool(reason) or any(row["passed"] is False for row in rows)
        measured = any(row["passed"] is not None or row["value"] is not None for row in rows)
        state = "failed" if missed else "passed" if measured else "n/a"
    if state == "n/a":
        reason = next((row["reason"] for row in rows if row["reason"]), "it measured nothing")
    return Outcome(step.name, state, round(time.monotonic() - began, 2), reason, rows)


def end_all(child: Child) -> None:
    """End a step's process and all that descend from it, whatever they are doing."""
    for process in reversed(tree(child.process.pid)):
        with suppress(Exception):  # it has ended meanwhile
            process.kill()
    child.process.wait()


def _against(row: Mapping[str, Any]) -> str:
    return f"{row['value']:.3g} {row['unit']}, limit {row['limit']:.3g}"


def worst(outcomes: Sequence[Outcome], count: int = WORST) -> list[tuple[float, str]]:
    """The figures that stand worst against their limits: (figure over limit, words), largest first."""
    limited = [
        (row["value"] / row["limit"], f"{one.step}, {row['what']}: {_against(row)}")
        for one in outcomes
        for row in one.rows
        if row["limit"] and row["value"] is not None
    ]
    return sorted(limited, reverse=True)[:count]


def summary(outcomes: Sequence[Outcome], steps: Sequence[Step], device: str) -> list[str]:
    """At most twenty lines: a line a step, the three worst distances, and what did not pass as far as there is room."""
    took_s = sum(one.elapsed_s for one in outcomes)
    named = (row["reason"] for one in outcomes if one.step == "doctor" for row in one.rows if row["what"] == "device")
    device = next(named, device)
    done = {one.step: one for one in outcomes}
    passed = sum(one.state == "passed" for one in outcomes)
    lines = [f"{device}: {passed} of {len(steps)} steps passed, {took_s:.0f} s"]
    for step in steps:
        one = done.get(step.name)
        if one is None:
            lines.append(f"{'not run':8} {step.name}")
            continue
        figures = sum(row["value"] is not None for row in one.rows)
        words = f"; {one.reason}" if one.reason else ""
        lines.append(f"{one.state:8} {step.name:10} {one.elapsed_s:6.1f} s, {figures} figures{words}")
    near = [f"{share:.2f} x limit: {words}" for share, words in worst(outcomes)]
    lines += ["worst against their limits:", *near] if near else ["no figure with a limit was measured"]
    misses = [f"missed: {one.step}, {words}" for one in outcomes for words in one.misses]
    room = MOST_LINES - len(lines)
    if len(misses) > room:
        misses = [*misses[: max(room - 1, 0)], f"and {len(misses) - max(room - 1, 0)} more, in the steps' files"]
    return [line[:160] for line in (*lines, *misses)][:MOST_LINES]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all steps, or those that are named; exit code 1 where one failed or ran over its limit."""
    parser = argparse.ArgumentParser(description="Measure the first minutes on a device, in steps.")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--tiny", action="store_true", help="small sizes, as on a CPU, to try the steps themselves")
    parser.add_argument("--steps", default=",".join(step.name for step in STEPS), help="names joined by commas")
    parser.add_argument("--patience", type=float, default=1.0, help="times each limit, on a slow or busy machine")
    parser.add_argument("--output", type=Path, default=Path("results/first"), help="folder of the JSON files")
    chosen = parser.parse_args(arguments)
    wanted = chosen.steps.split(",")
    if unknown := [name for name in wanted if name not in {step.name for step in STEPS}]:
        parser.error(f"--steps {unknown[0]}: no such step; choose {', '.join(step.name for step in STEPS)}")
    steps = [replace(step, limit_s=step.limit_s * chosen.patience) for step in STEPS if step.name in wanted]

    def command(step: Step, path: Path) -> tuple[str, ...]:
        words = ("--device", chosen.device, "--output", str(path), *["--tiny"] * chosen.tiny)
        return (str(TOOLS / "first_steps.py"), step.name, *words)

    outcomes = run_steps(steps, chosen.output, command, lambda words: print(words, flush=True))
    lines = summary(outcomes, steps, chosen.device)
    write_atomically(chosen.output / "summary.txt", "\n".join(lines) + "\n")
    print("\n".join(["", *lines, f"in full: {chosen.output}/"]))
    return int(any(one.state not in ("passed", "n/a") for one in outcomes))


if __name__ == "__main__":
    sys.exit(main())
