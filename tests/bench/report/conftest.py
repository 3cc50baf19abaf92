"""A made-up study for the tests: four arms x four lengths of cost, four arms x two seeds of quality, one failure."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

ARMS = {
    "transformer": ("AF*6", "none (attention)", 1.0),
    "smdim": ("MFA*4", "forward", 0.7),
    "mamba": ("M(bidirectional)F*6", "bidirectional", 0.6),
    "fam": ("FAM*4", "forward", 0.72),
}
LENGTHS = (256, 512, 1024, 2048)
BITS = {"transformer": (3.80, 3.82), "smdim": (3.90, 3.91), "mamba": (3.70, 3.99), "fam": (4.10, 4.12)}
OA = {"transformer": (0.80, 0.82), "smdim": (0.78, 0.80), "mamba": (0.70, 0.76)}
COST = {
    "step_latency": ("ms", 20.0),
    "sample_latency": ("s", 2.5),
    "train_step_latency": ("ms", 70.0),
    "peak_memory_inference": ("GiB", 0.2),
    "peak_memory_training": ("GiB", 0.9),
    "train_forward_latency": ("ms", 22.0),
    "train_backward_latency": ("ms", 40.0),
    "train_optimiser_latency": ("ms", 8.0),
    "forward_gflops": ("GFLOPs", 4.0),
}
PIECE = {"piece_time": 0.4, "piece_time_together": 0.1, "piece_calls": 64.0, "piece_gflops": 0.9}
OOM = "oom: 14.2 GiB asked, 8.0 GiB there"
DIVERGED = "diverged: loss is NaN at step 31"


def _cost_rows() -> list[dict]:
    rows = []
    for arm, (pattern, direction, factor) in ARMS.items():
        for length in LENGTHS:
            for metric, (unit, base) in COST.items():
                growth = (length / 256) ** (1.4 if arm == "transformer" else 1.0)
                value = base * factor * growth
                row = {
                    "cell_id": f"efficiency-{arm}",
                    "kind": "efficiency",
                    "arm": arm,
                    "pattern": pattern,
                    "direction": direction,
                    "length": length,
                    "metric": metric,
                    "unit": unit,
                    "value": value,
                    "low": value * 0.98,
                    "high": value * 1.02,
                    "n": 20,
                    "status": "done",
                    "kernel": "sdpa=math" if arm == "transformer" else "scan=numba",
                    "device": "cpu",
                    "threads": 2,
                    "batch": 1,
                    "parameters": 2_040_000,
                    "session": "s1",
                }
                if metric == "forward_gflops":
                    row |= {"low": float("nan"), "high": float("nan")}
                if arm == "fam" and length == 2048:
                    row |= {"value": float("nan"), "low": float("nan"), "high": float("nan"), "reason": OOM}
                    row |= {"status": "oom", "kernel": "", "device": "", "threads": pd.NA, "batch": pd.NA}
                rows.append(row)
    return rows


def _quality_rows() -> list[dict]:
    rows = []
    for arm, (pattern, direction, _) in ARMS.items():
        for seed in (0, 1):
            scores = {"bits_per_token": (BITS[arm][seed], "bits/token")}
            for name, shift in {
                "mean": 0,
                "pitch": 0.03,
                "velocity": -0.2,
                "duration": 0.05,
                "interval": -0.02,
            }.items():
                metric = "oa_mean" if name == "mean" else f"oa_attribute_{name}"
                scores[metric] = (OA.get(arm, (float("nan"),) * 2)[seed] + shift, "1")
            scores["kernel_distance"] = (0.9 - OA.get(arm, (float("nan"),) * 2)[seed], "1")
            scores["drift_oa"] = (0.1 * seed - 0.02 if arm in OA else float("nan"), "1")
            for metric, (value, unit) in scores.items():
                rows.append(
                    {
                        "cell_id": f"quality-{arm}-{seed}",
                        "kind": "quality",
                        "arm": arm,
                        "pattern": pattern,
                        "direction": direction,
                        "seed": seed,
                        "length": 512,
                        "corpus": "demo/lieder",
                        "metric": metric,
                        "value": value,
                        "unit": unit,
                        "n": 16,
                        "reason": DIVERGED if value != value else "",
                        "status": "diverged" if arm == "fam" else "done",
                        "parameters": 2_040_000,
                        "train_steps": 600,
                        "sampler": "cached",
                        "nfe": 121 + seed,
                        "sample_steps": 128,
                        "device": "cpu",
                        "threads": 1,
                    }
                )
    return rows


def _reference_rows() -> list[dict]:
    rows = []
    levels = {"unigram": 5.66, "bigram": 4.17, "grammar": 4.01}
    for arm, value in levels.items():
        rows.append({"arm": arm, "metric": "bits_per_token", "unit": "bits/token", "value": value})
    for arm, value in {"real-vs-real": 0.9, "shuffled": 0.85, "uniform-tokens": 0.45}.items():
        for name in ("oa_mean", "oa_attribute_pitch", "oa_attribute_velocity", "oa_attribute_duration"):
            row = {"arm": arm, "metric": name, "unit": "1", "value": value, "low": value - 0.03, "high": value + 0.02}
            rows.append(row | {"n": 16})
    shared = {"cell_id": "reference-demo", "kind": "reference", "corpus": "demo/lieder", "length": 512}
    return [shared | row | {"status": "done", "reason": ""} for row in rows]


def make_frame() -> pd.DataFrame:
    """The rows of the made-up study with the columns of the result table."""
    from bench.report.rows.frame import as_frame

    frame = pd.DataFrame([*_cost_rows(), *_quality_rows(), *_reference_rows()])
    return as_frame(frame.assign(study="toy", version="study=1"))


@pytest.fixture
def frame() -> pd.DataFrame:
    return make_frame()


@pytest.fixture
def varied(frame: pd.DataFrame) -> pd.DataFrame:
    """The made-up study with two orders of the other cycle, and everything sampled with a second number of steps."""
    quality = frame[frame["kind"] == "quality"]
    orders = []
    for arm, pattern, shift in (("maf", "MAF*4", 0.02), ("afm", "AFM*4", -0.03)):
        rows = quality[quality["arm"] == "smdim"].copy()
        rows["cell_id"] = rows["cell_id"].str.replace("smdim", arm)
        orders.append(rows.assign(arm=arm, pattern=pattern, value=rows["value"] + shift))
    fewer = quality.assign(sample_steps=32, nfe=31, value=quality["value"] - 0.04)
    return pd.concat([frame, *orders, fewer.assign(cell_id=fewer["cell_id"] + "-32")], ignore_index=True)


@pytest.fixture
def results_folder(tmp_path: Path, frame: pd.DataFrame, write_midi: Callable[..., Path]) -> Path:
    """A results folder of the made-up study: study.json, samples and learning curves of the cells that worked."""
    folder = tmp_path / "toy"
    for position, arm in enumerate(OA):
        for seed in (0, 1):
            cell = folder / f"quality-{arm}-{seed}"
            scale = [(beat, 1.0, 48 + 5 * position + beat, 80) for beat in range(8)]
            write_midi(cell / "samples" / "sample-000.mid", scale)
            lines = []
            for step in range(1, 11):
                line = {"step": 60 * step, "elapsed_s": 4.0 * step, "tokens": 1000 * step}
                lines.append(line | {"loss": 5 - 0.1 * step})
                lines.append(line | {"validation_value": BITS[arm][seed] + 2 / step, "validation_n_windows": 8})
            (cell / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    study = {"name": "toy", "question": "What does the order of blocks do to cost and to music?"}
    content = {"format": 1, "study": study, "notes": ["arms matched to 2.04 M parameters within 1 %"], "cells": []}
    (folder / "study.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def passed_on() -> Callable[..., Path]:
    """Writes a results folder without cells: the plan of a study, with keys that may be given, and its table."""
    from bench.store.columns import COLUMNS
    from bench.store.table import ResultTable

    def write(folder: Path, frame: pd.DataFrame, **study: object) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "study.json").write_text(json.dumps({"format": 1, "study": {"name": "toy"} | study, "cells": []}))
        ResultTable(frame[list(COLUMNS)], folder).save()
        return folder

    return write


@pytest.fixture
def claim_rows() -> pd.DataFrame:
    """A map of claims: GFLOPs ratio 0.5, 0.7, 0.9 at widths 8, 16, 32 with layers matched, 0.1 against no stem."""
    ratios = {8: 0.5, 16: 0.7, 32: 0.9}
    return pd.DataFrame(
        {
            "width": width,
            "layers": layers,
            "stride": stride,
            "matching": matching,
            "gflops_ratio": ratios[width] if matching == "layers" else 0.1,
            "training_memory_ratio": 1.1,
            "unfused_training_memory_ratio": 0.6,
            "flops_exponent": 1.0,
        }
        for width, layers, stride, matching in itertools.product((8, 16, 32), (6, 12), (1, 4), ("layers", "no stem"))
    )


@pytest.fixture
def played(results_folder: Path, write_midi: Callable[..., Path]) -> Path:
    """The made-up results with four real pieces and four samples an arm, long enough for windows."""
    real = [(beat, 1.0, 60 + beat % 5, 80) for beat in range(48)]
    added = [(beat, 1.0, pitch + up, 80) for beat, _, pitch, _ in real[24:] for up in (4, 8)]
    for index in range(4):
        write_midi(results_folder / "reference-demo" / "samples" / f"real-{index:03d}.mid", real)
        write_midi(results_folder / "quality-smdim-0" / "samples" / f"{index:03d}.mid", real + added)
    return results_folder


@pytest.fixture
def two_lengths(frame: pd.DataFrame) -> pd.DataFrame:
    """The made-up study with its music measured at 2048 tokens too, every figure lower by 0.1."""
    music = frame[(frame["kind"] != "efficiency") & (frame["metric"] == "oa_mean")]
    lower = {name: music[name] - 0.1 for name in ("value", "low", "high")}
    return pd.concat([frame, music.assign(length=2048, **lower)], ignore_index=True)


SWEEP = {
    "smdim": {0.001: (5.0, 5.2), 0.002: (4.8, 5.0), 0.004: (4.9, 5.3)},
    "transformer": {0.001: (5.1, 5.1), 0.002: (5.06, 5.1), 0.004: (5.0, 5.06)},
    "lost": {0.001: (float("nan"), 5.0), 0.002: (float("nan"), float("nan")), 0.004: (float("nan"), 4.0)},
}
FULL = {0.004: 4.2, 0.002: 4.1}
READ_BITS = {("smdim", 0.002): 4.0, ("transformer", 0.004): 3.9, ("transformer", 0.002): 4.5}
READINGS = {("smdim", 0.002): "own, shared", ("transformer", 0.004): "own", ("transformer", 0.002): "shared"}


@pytest.fixture
def tuned(tmp_path: Path) -> tuple[pd.DataFrame, Path]:
    """Rows and folder of a study with a sweep over three rates and two seeds."""
    from bench.report.rows.frame import as_frame

    rows, cells = [], []

    def add(kind: str, arm: str, rate: float, seed: int, bits: float, reading: str, seconds: float) -> None:
        cell_id = f"{kind}-{arm}-{rate:g}{seed}{reading[:1]}"
        labels = {"arm": arm, "seed": seed, "length": 64, "corpus": "demo", "tuned": f"lr {rate:g}", "reading": reading}
        point = {"train.learning_rate": rate}
        cells.append({"id": cell_id, "kind": kind, "labels": labels | {"point": point}})
        found = {"validation_bits_per_token": bits, "training_time": seconds}
        found |= {"bits_per_token": bits + 0.5} if kind == "quality" else {}
        why = {"reason": "diverged: the loss blew up", "status": "diverged"} if bits != bits else {}
        for metric, value in found.items():
            row = labels | {"cell_id": cell_id, "kind": kind, "metric": metric, "value": value, "train_steps": 10}
            rows.append(row | why | {"version": "metrics4", "sampler": "cached", "sample_steps": 8})

    for arm, points in SWEEP.items():
        for rate, figures in points.items():
            for seed, bits in zip((100, 101), figures, strict=True):
                add("tuning", arm, rate, seed, bits, "", 2.0)
    for rate, bits in FULL.items():
        add("tuning", "transformer", rate, 100, bits, "full length", 8.0)
    for (arm, rate), bits in READ_BITS.items():
        for seed in (0, 1, 2):
            add("quality", arm, rate, seed, bits + 0.01 * seed, READINGS[arm, rate], 10.0)
    tune = {"seeds": [100, 101], "share": 0.25, "shared": True, "train.learning_rate": [0.001, 0.002, 0.004]}
    study = {"name": "toy", "question": "?", "baseline": {"arm": "transformer"}, "tune": tune}
    (tmp_path / "study.json").write_text(json.dumps({"format": 1, "study": study, "notes": [], "cells": cells}))
    return as_frame(pd.DataFrame(rows)), tmp_path


PATTERNS = ("MFA*4", "FAM*4", "AMF*4", "MAF*4", "AFM*4", "FMA*4")
LONE = ("MF*6", "AF*6", "A2(MF)4", "M2FA*2", "M(bidirectional)F*6", "MFAF*3")
NAMES = [f"arm-{place:02}" if place % 12 else f"音楽のトラック-{place}" for place in range(24)]
NAMES[5] = "smdim-with-attention-after-every-second-mamba"


@pytest.fixture(scope="module")
def two_dozen(
    tmp_path_factory: pytest.TempPathFactory, write_midi: Callable[..., Path]
) -> tuple[pd.DataFrame, Path, list[str]]:
    """24 arms with all that any figure draws: costs, three seeds, two lengths, two samplers' steps, curves, a sweep and
    samples; 18 of them are orders of the same mixers."""
    from bench.report.rows.frame import as_frame

    folder = tmp_path_factory.mktemp("dozens")
    rows, made = pd.DataFrame([*_cost_rows(), *_quality_rows()]), make_frame()
    rows = rows[rows["arm"] == "smdim"].assign(study="toy")
    dear = ("sample_latency", "train_step_latency", "peak_memory_inference")  # as the others, and costly to draw
    rows = rows[~rows["metric"].isin(dear)]
    parts, cells = [made[made["kind"] == "reference"]], []
    for place, (arm, pattern) in enumerate(zip(NAMES, (*PATTERNS * 3, *LONE), strict=True)):
        factor = 1 + place / 12
        cost = rows[rows["kind"] == "efficiency"]
        cost = cost.assign(**{name: cost[name] * factor for name in ("value", "low", "high")})
        music = rows[(rows["kind"] == "quality") & (rows["seed"] == 0)]
        for seed in range(3):
            cell = f"quality-a{place}-{seed}"
            shifted = music.assign(seed=seed, cell_id=cell, value=music["value"] - 0.01 * ((7 * place + 3 * seed) % 24))
            longer = shifted[shifted["metric"] == "drift_oa"].assign(length=2048)
            fewer = shifted[shifted["metric"] == "kernel_distance"].assign(sample_steps=32, nfe=31)
            bits = shifted[shifted["metric"] == "bits_per_token"]
            drawn = [bits.assign(metric="sampler_bits_per_token", definition="exact law")]
            drawn += [bits.assign(metric=name, value=cost * factor) for name, cost in PIECE.items()]
            part = pd.concat([shifted, longer, fewer, *drawn])
            parts.append(part.assign(arm=arm, pattern=pattern))
            (folder / cell).mkdir()
            lines = [
                {"step": step, "elapsed_s": 4.0 * step, "tokens": 1000 * step, "validation_value": 4 + factor / step}
                for step in range(1, 6)
            ]
            (folder / cell / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        parts.append(cost.assign(arm=arm, cell_id=f"efficiency-a{place}", pattern=pattern))
        for rate in (0.001, 0.002):
            cell = f"tuning-a{place}-{rate:g}"
            labels = {"arm": arm, "seed": 100, "length": 512, "corpus": "demo/lieder"}
            cells.append({"id": cell, "kind": "tuning", "labels": labels | {"point": {"train.learning_rate": rate}}})
            row = labels | {"cell_id": cell, "kind": "tuning", "metric": "validation_bits_per_token"}
            parts.append(pd.DataFrame([row | {"value": 4 + rate * place, "version": "metrics4", "status": "done"}]))
        samples = folder / f"quality-a{place}-0" / "samples"
        for piece in range(4):
            notes = [(beat, 1.0, 48 + place + beat % 5, 80) for beat in range(32)]
            write_midi(samples / f"{piece:03d}.mid", notes)
    shutil.copytree(samples, folder / "reference-demo" / "samples")
    study = {"name": "toy", "question": "?", "baseline": {"arm": NAMES[1]}, "tune": {"seeds": [100]}}
    (folder / "study.json").write_text(json.dumps({"format": 1, "study": study, "notes": [], "cells": cells}))
    return as_frame(pd.concat(parts, ignore_index=True)), folder, NAMES
