"""What a study ran on, in words, from its rows and the files beside them."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from bench.files import read_json
from bench.report.analysis.aggregate import kernel_conflict
from bench.report.rows.frame import EFFICIENCY, QUALITY, REFERENCE, rows_of
from bench.report.rows.study import STUDY_FILE
from metrics.music.attribute import OA_MEAN


def study_question(folder: Path) -> str:
    """The question of the study as its results folder keeps it; empty where it keeps none."""
    content = read_json(folder / STUDY_FILE) or {}
    study = content.get("study")
    question = study.get("question") if isinstance(study, dict) else None
    return " ".join(question.split()) if isinstance(question, str) else ""


def study_notes(folder: Path) -> list[str]:
    """What the plan noted when it was made: how arms were matched, which cells were left out."""
    notes = (read_json(folder / STUDY_FILE) or {}).get("notes")
    return [str(note) for note in notes] if isinstance(notes, list) else []


def _listed(values: pd.Series) -> str:
    known = dict.fromkeys(str(value) for value in values.unique() if not pd.isna(value) and str(value))
    return ", ".join(known)


def _parts(values: pd.Series) -> str:
    """Words of texts that are lists themselves (`scan=c sdpa=flash`), each once."""
    texts = (str(value).replace(",", " ") for value in values.unique() if value)
    return ", ".join(sorted({word for text in texts for word in text.split()}))


def provenance(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Pairs of a setting and what the rows say of it; settings that no row knows are left out."""
    cost, quality = rows_of(frame, EFFICIENCY), rows_of(frame, QUALITY)
    cells = frame.drop_duplicates("cell_id")
    states = cells["status"].replace("", "unknown").value_counts()
    pairs = [
        ("cells", ", ".join(f"{count} {status}" for status, count in states.items())),
        ("arms", _listed(frame.loc[frame["kind"] != "reference", "arm"])),
        ("corpus", _listed(quality["corpus"])),
        ("device (timing)", _listed(cost["device"])),
        ("threads (timing)", _listed(cost["threads"])),
        ("batch (timing)", _listed(cost["batch"])),
        ("device (training)", _listed(quality["device"])),
        ("kernels", _parts(cost["kernel"])),
        ("lengths (cost)", _listed(cost["length"])),
        ("length (quality)", _listed(quality["length"])),
        ("seeds", _listed(quality["seed"])),
        ("training steps", _listed(quality["train_steps"])),
        ("versions", _parts(frame["version"])),
    ]
    return [(name, words) for name, words in pairs if words]


def caveats(frame: pd.DataFrame, *, together: bool = False) -> list[str]:
    """What a reader has to know before quoting a figure of this study; `together`: costs of different devices and
    kernels are ranked against each other."""
    return [*_timing_caveats(frame, together), *_quality_caveats(frame), *_paper_caveats()]


def _timing_caveats(frame: pd.DataFrame, together: bool) -> list[str]:
    cost = rows_of(frame, EFFICIENCY)
    timed = cost[cost["metric"].str.contains("latency") & cost["value"].notna()]
    if timed.empty:
        return []
    sessions = set(timed["session"])
    words = []
    if "" in sessions:
        words.append("Some timings name no session, so whether the arms took turns is not known.")
    elif len(sessions) == 1:
        words.append(
            "Timings are interleaved: the arms took turns in one session, so a slow spell of the machine hit all of "
            "them."
        )
    else:
        words.append(
            f"Timings come from {len(sessions)} sessions, so the arms did not all take turns: a slow spell of the "
            "machine may "
            "have hit some of them only. Compare latencies within one session."
        )
    ranked = "ranked together, as was asked, and marked *" if together else "not ranked against each other"
    conflict = kernel_conflict(timed["kernel"])
    if conflict:
        words.append(f"Different kernels ran for the same operation ({conflict}); such rows are {ranked}.")
    if len(set(timed["device"])) > 1:
        words.append(f"Timings of several devices are in this study ({_listed(timed['device'])}); they are {ranked}.")
    words.append(
        "Latencies are medians over the timed calls of a cell; absolute values hold for this device, these threads "
        "and these "
        "kernels only, ratios travel better."
    )
    words.append(
        "GFLOPs are 1e9 floating-point operations of one forward pass of one sequence, a multiply-add counted as two."
    )
    return words


def _blind_overlap(frame: pd.DataFrame) -> list[str]:
    """A warning where tokens drawn at random overlap with the held-out music as well as other real music does."""
    rows = frame[(frame["kind"] == REFERENCE) & (frame["metric"] == OA_MEAN)]
    mean = rows.groupby("arm")["value"].mean()
    ceiling, floor = mean.get("real-vs-real", math.nan), mean.get("unigram-tokens", math.nan)
    if not floor >= ceiling:
        return []
    return [
        f"On this corpus and n, tokens drawn one by one at random (unigram-tokens, OA mean {floor:.3f}) overlap with "
        f"the held-out music no less than other real music does ({ceiling:.3f}): the held-out pieces differ from the "
        "rest, and OA mean cannot tell here which arm makes music. Read bits/token first."
    ]


def _quality_caveats(frame: pd.DataFrame) -> list[str]:
    quality = rows_of(frame, QUALITY)
    if quality.empty:
        return []
    pieces = _listed(quality.loc[quality["metric"].str.startswith("oa_"), "n"]) or "an unknown number of"
    seeds = quality["seed"].dropna().nunique()
    words = [
        f"OA was computed on n = {pieces} generated pieces a cell. It rises with n and depends on the definition, so "
        "a value "
        "means something only beside the real-vs-real row of the same n and never against a figure from elsewhere.",
    ]
    oa = quality[quality["metric"].str.startswith("oa_attribute")]
    if len(oa):
        words.append(
            "Definition of OA here (`oa_attribute`): per attribute (pitch, velocity, duration, onset interval) the "
            "histograms of the "
            "generated and of the held-out notes, pooled over pieces, sum of the smaller shares; `OA mean` is the "
            "mean of the four. "
            "Pooled histograms do not see the order of notes: a shuffled piece scores as high as the real one."
        )
    words += _blind_overlap(frame)
    if seeds < 2:
        words.append("One seed only: no interval over seeds, so no arm can be called better than another.")
    elif seeds < 5:
        words.append(
            f"{seeds} seeds: the Student-t factor is {_t_factor(seeds):.1f}, so intervals are wide by right. They say "
            "how little "
            f"{seeds} seeds can settle, not that the arms are equal."
        )
    words.append(
        "Direction matters: a forward-only Mamba cannot see the tokens to the right, which a denoiser needs; compare "
        "it with the "
        "bidirectional arm before blaming Mamba."
    )
    return words


def _paper_caveats() -> list[str]:
    return [
        "Published SMDIM figures (arXiv 2603.00576) are not put beside these as equals: width, depth, Mamba "
        "direction and state size, "
        "convolution stride, diffusion steps, optimiser, batch, GPU and the exact definition of OA behind them are "
        "settings not known "
        "to us. What can be compared are ratios between backbones that share everything else."
    ]


def _t_factor(seeds: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, seeds - 1))
