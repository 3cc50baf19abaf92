"""Time to tokenise a corpus: the first time with one process and with all cores, and again from the cache.

The demo is always here; POP909 and MAESTRO are timed where they were added (`smdim-bench corpus add`).
Aims on two cores: POP909 whole, and the 280 pieces of MAESTRO, within 40 s, the second time within 2 s.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.data import load_corpus, tokenize
from bench.data.pieces import Corpus, CorpusError
from metrics.cost.cores import usable_cores

CORPORA = ("demo", "pop909", "maestro")


def corpus_or_skip(name: str) -> Corpus:
    try:
        return load_corpus(name)
    except CorpusError as error:
        pytest.skip(str(error))


def rounds_of(name: str) -> int:
    return 3 if name == "demo" else 1


@pytest.mark.parametrize("name", CORPORA)
@pytest.mark.parametrize("processes", sorted({1, usable_cores()}))
def test_first_time(benchmark: Any, tmp_path: Path, name: str, processes: int) -> None:
    corpus = corpus_or_skip(name)
    benchmark.group = f"tokenise {name}"

    def forget() -> None:
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)

    def first() -> int:
        return len(tokenize(corpus, cache=tmp_path / "cache", processes=processes).all_tokens)

    tokens = benchmark.pedantic(first, setup=forget, rounds=rounds_of(name))
    benchmark.extra_info["tokens"] = tokens
    benchmark.extra_info["tokens_per_s"] = tokens / benchmark.stats.stats.median


@pytest.mark.parametrize("name", CORPORA)
def test_from_the_cache(benchmark: Any, tmp_path: Path, name: str) -> None:
    corpus = corpus_or_skip(name)
    tokenize(corpus, cache=tmp_path / "cache")
    benchmark.group = f"tokenise {name}"
    benchmark.pedantic(lambda: tokenize(load_corpus(name), cache=tmp_path / "cache"), rounds=3)
