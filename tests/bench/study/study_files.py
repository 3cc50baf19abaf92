"""Study files of tests."""

import textwrap
from pathlib import Path

GOOD = """\
name: tiny
question: does it run
baseline:
  arm: transformer
  length: 32
  train: {steps: 2}
axes:
  arm: [smdim, transformer, {name: wide, arm: transformer, model: {width: 64}}]
  model.stride: [2, 4]
exclude:
  - {arm: wide, model.stride: 2}
match: params
seeds: [0, 1]
measure:
  quality: {}
"""


def study_file(folder: Path, text: str) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(textwrap.dedent(text))
    return path
