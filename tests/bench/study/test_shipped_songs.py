"""Shipped studies of music hold at least 25 test songs of every length that is played."""

import pytest

from bench.measure.quality.music import load_tokens
from bench.study.grid import STUDIES_FOLDER, load_study

NAMES = [path.relative_to(STUDIES_FOLDER).with_suffix("").as_posix() for path in sorted(STUDIES_FOLDER.rglob("*.yaml"))]


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("papers/")])
def test_its_test_side_has_25_songs(name: str) -> None:
    study = load_study(name)
    if study.content.measure.quality is None:
        return
    for corpus, length in {(one.corpus, length) for one in study.combinations() for length in one.played_lengths}:
        if corpus.startswith("demo"):  # the others are not shipped
            assert sum(len(piece) >= length for piece in load_tokens(corpus, {}).pieces("test")) >= 25, (corpus, length)
