"""Notes on reading a report, caveats on quoting a figure of it, and how the software is cited."""

from __future__ import annotations

import pandas as pd

from bench.citation import citation
from bench.report.analysis.comparable import kernel_conflict
from bench.report.rows.frame import EFFICIENCY, OTHER_SIDE, QUALITY, REFERENCE, of_validation_side, rows_of
from bench.report.rows.provenance import listed
from metrics.headlines import PRIMARY
from metrics.music.attribute import OA_MEAN
from metrics.quantities import quantity_of
from metrics.statistics.differences import FEWEST_SEEDS
from metrics.statistics.redraws import SEPARATED

PRIMARY_NAMES = ", ".join(
    quantity_of(metric).unit if quantity_of(metric).unit != "1" else quantity_of(metric).label for metric in PRIMARY
)
HOW_TO_READ = (
    "An arm is one denoiser backbone; everything else (embedding, compression, diffusion, training, sampling) is the "
    "same for all arms.",
    "Figures in square brackets are 95 % intervals: of times over processes (over timed calls where there is one), of "
    "scores over seeds; for ceiling and floors the 95 % range of redraws of their songs.",
    "Bold in a cost table: a time or peak of memory that is less than that of every other arm by the ratios of all "
    "pairs (a time by intervals that lie apart where the results hold no raw times), or the lowest count. A peak of "
    "one process per arm is never bold; nothing is where kernels differ, unless that was asked for: it is marked *.",
    "Bold in a quality table: better than every other arm by the simultaneous intervals of all pairs, in a column of a "
    f"primary metric ({PRIMARY_NAMES}); the other columns are descriptions and never bold. OA stays among them for "
    "comparison with papers.",
    "better, worse, same and open mean the same in every table and sentence: the interval of the difference, corrected "
    "for all comparisons of its metric, excludes 0, lies within the margin that matters, or does neither.",
    "`n/a` is a figure that was not measured; the reason stands under the table. It never means zero.",
    "T is the number of denoising steps asked of the sampler, NFE the number of network calls it really made.",
    "bits/token is an upper bound on the negative log-likelihood (ELBO) of music of the test side; lower is better. "
    "That of the validation side, beside it, is what weights, settings and ends of trainings are chosen on.",
)
BUSY = "the machine is busy"
"""In the note of a timing beside which other programs computed."""
SLOWED = "machine slower by over 10 % in "
"""In the note of a timing with rounds during which a CPU was slower than at full speed in the session."""
CUT_SHORT = r"(\d+ of \d+ replicates)"
"""In `stopped_by` of a timing that has fewer processes than its study asks for."""


def caveats(frame: pd.DataFrame, *, together: bool = False) -> list[str]:
    """Caveats on quoting a figure of this study, and the citation of the software; `together`: costs of different
    devices and kernels are ranked against each other."""
    cite = f"To cite the software: {citation()}"
    return [*_timing_caveats(frame, together), *_quality_caveats(frame), *_paper_caveats(), cite]


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
            "Timings are interleaved: the arms took turns in one session, so a slow spell of the machine hit "
            "all of them."
        )
    else:
        words.append(
            f"Timings come from {len(sessions)} sessions, so the arms did not all take turns: a slow spell of the "
            "machine may have hit some of them only. Compare latencies within one session."
        )
    ranked = "ranked together, as was asked, and marked *" if together else "not ranked against each other"
    if slowed := int((timed["throttled"] != "").sum()):
        words.append(
            f"The GPU was throttled in {slowed} of {len(timed)} timings, also when they were repeated: they are marked "
            "in the tables of cost, and may be slower than the arm is."
        )
    words += _hurried(timed)
    conflict = kernel_conflict(timed["kernel"])
    if conflict:
        words.append(f"Different kernels ran for the same operation ({conflict}); such rows are {ranked}.")
    if len(set(timed["device"])) > 1:
        words.append(f"Timings of several devices are in this study ({listed(timed['device'])}); they are {ranked}.")
    words.append(
        "Latencies are medians over the timed calls of a cell; absolute values hold for this device, these threads and "
        "these kernels only, ratios travel better."
    )
    words.append(
        "GFLOPs are 1e9 floating-point operations of one forward pass of one sequence, a multiply-add counted as two."
    )
    return words


def _hurried(timed: pd.DataFrame) -> list[str]:
    """That other programs ran beside the timings, that the machine was slower meanwhile, and that the time cap left no
    time for all replicates."""
    arms, words = timed["arm"].nunique(), []
    if busy := timed.loc[timed["note"].astype(str).str.contains(BUSY, regex=False), "arm"].nunique():
        words.append(
            f"Other programs kept the machine busy while {busy} of {arms} arms were timed: times may be too long and "
            "intervals wide. `note` in `table.csv` names the programs."
        )
    if slowed := int(timed["note"].astype(str).str.contains(SLOWED, regex=False).sum()):
        words.append(
            f"In {slowed} of {len(timed)} timings there are rounds during which the machine was slower by over 10 % "
            "than at full speed, as with neighbours on a shared machine, for an arm had too few others: these times "
            "are too long, and less is decided about them than in a quieter hour."
        )
    cut = timed["stopped_by"].astype(str).str.extract(CUT_SHORT)[0]
    if cut.notna().any():
        words.append(
            f"The time cap ended the timing before all processes of an arm were begun ({listed(cut)}), so that less "
            "is decided about times: run on an idle machine, or raise `measure.efficiency.time_cap_s`."
        )
    return words


def _blind_overlap(frame: pd.DataFrame) -> list[str]:
    """A warning where OA mean does not separate real music from music without order."""
    rows = frame[(frame["kind"] == REFERENCE) & (frame["metric"] == OA_MEAN) & (frame["auc"] < SEPARATED)]
    if rows.empty:
        return []
    worst = rows.groupby("arm", sort=False)["auc"].min()
    floors = ", ".join(f"{arm} ({area:.2f})" for arm, area in worst.items())
    return [
        f"At this n OA mean does not separate real music from {floors} (area under the curve over redraws, 0.5 is "
        "chance): it cannot show here which arm makes music. It is for comparison with papers; read bits/token first."
    ]


def _quality_caveats(frame: pd.DataFrame) -> list[str]:
    quality = rows_of(frame, QUALITY)
    if quality.empty:
        return []
    pieces = listed(quality.loc[quality["metric"].str.startswith("oa_"), "n"]) or "an unknown number of"
    seeds = quality["seed"].dropna().nunique()
    words = [
        f"OA was computed on n = {pieces} generated pieces a cell. It rises with n and depends on the definition, so a "
        "value means something only beside the real-vs-real row of the same n and never against a figure "
        "from elsewhere.",
    ]
    oa = quality[quality["metric"].str.startswith("oa_attribute")]
    if len(oa):
        words.append(
            "Definition of OA here (`oa_attribute`): per attribute (pitch, velocity, duration, onset interval) the "
            "histograms of the generated and of the held-out notes, pooled over pieces, sum of the smaller shares; `OA "
            "mean` is the mean of the four. Pooled histograms do not see the order of notes: a shuffled piece scores "
            "as high as the real one."
        )
    words += _blind_overlap(frame)
    words += [f"bits/token of cells of `{one}` is {OTHER_SIDE}." for one in _older(quality)]
    if seeds < FEWEST_SEEDS:
        words.append(
            f"{seeds} seed{'s' if seeds != 1 else ''}: every comparison is open, however large the difference; at "
            f"least {FEWEST_SEEDS} seeds. That says how little few seeds can settle, not that the arms are equal."
        )
    words.append(
        "Direction matters: a forward-only Mamba cannot see the tokens to the right, which a denoiser needs; compare "
        "it with the bidirectional arm before blaming Mamba."
    )
    return words


def _older(quality: pd.DataFrame) -> list[str]:
    """Versions whose bits/token is of the validation side."""
    return [version for version in sorted(quality["version"].unique()) if of_validation_side(version)]


def _paper_caveats() -> list[str]:
    return [
        "Published SMDIM figures (arXiv 2603.00576) are not put beside these as equals: width, depth, Mamba direction "
        "and state size, convolution stride, diffusion steps, optimiser, batch, GPU and the exact definition of OA "
        "behind them are settings not known to us. What can be compared are ratios between backbones that share "
        "everything else."
    ]
