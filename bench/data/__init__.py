"""Corpora, REMI tokens and windows. What is slow (MidiTok) is imported when first needed."""

from bench.data.baselines import TokenBaselines
from bench.data.catalog import corpora_words
from bench.data.corpus import load_corpus
from bench.data.music import corpus_notes
from bench.data.settings import TokenizerSettings
from bench.data.tokenising import tokenize
from bench.data.tokens import TokenCorpus

__all__ = [
    "TokenBaselines",
    "TokenCorpus",
    "TokenizerSettings",
    "corpora_words",
    "corpus_notes",
    "load_corpus",
    "tokenize",
]
