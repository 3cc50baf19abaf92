"""Made-up rows whose arms are on the axes of a sampler, as the study that `as_frame` finds beside results says it."""

from __future__ import annotations

import pandas as pd

from bench.report.rows.frame import as_frame

AXES = {"sampler": "sample.sampler", "steps": "sample.steps", "reveal": "sample.reveal"}


def on_sampler_axes(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with every `steps=8` of an arm's name an axis of its study."""

    def axes(arm: str) -> str:
        words = (word.partition("=") for word in arm.split(" "))
        return "\n".join(f"{AXES[key]}={value}" for key, _, value in words if key in AXES)

    frame = as_frame(frame)
    names = frame["arm"].where(frame["study_arm"] == "", frame["study_arm"])
    return frame.assign(axes=[axes(str(arm)) for arm in names])
