"""Tokenisation of a corpus, cached on disk."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.cache import publishing, read_array, read_json, write_array, write_json
from bench.data.pieces import Corpus, CorpusError, Skipped
from bench.data.reading import READER_VERSION
from bench.data.settings import TokenizerSettings
from bench.data.tokens import TokenCorpus, order_by_split
from bench.data.worker import Job
from bench.data.workers import ProgressCallback, read_all
from bench.files import canonical_hash
from bench.paths import cache_folder

TOKENS_VERSION = 1
"""Raised when the layout of the cached folder or the meaning of its tokens changes."""
MAX_VOCABULARY = 1 << 16


def tokenize(
    corpus: Corpus,
    settings: TokenizerSettings | None = None,
    *,
    cache: Path | None = None,
    progress: ProgressCallback | None = None,
    processes: int | None = None,
) -> TokenCorpus:
    """The corpus as tokens: read from `cache` (default `cache_folder() / "tokens"`), else made there.

    The cache is keyed by the pieces' bytes and sides, the settings and the versions of reader, MidiTok and symusic;
    a truncated or edited entry is made anew. `progress(done, total)` counts pieces. Raises CorpusError when no piece
    has a note in the pitch range, or where reading one broke off for a reason that may not come again (without it the
    corpus would be another); CacheError when the tokens cannot be written (nothing half-written stays).
    """
    settings = settings or TokenizerSettings()
    fingerprint = _fingerprint(corpus, settings)
    folder = (cache or cache_folder() / "tokens") / fingerprint
    kept = _load(folder, corpus, settings, fingerprint)
    if kept is not None:
        return kept
    _make(folder, corpus, settings, progress, processes)
    made = _load(folder, corpus, settings, fingerprint)
    if made is None:
        raise CorpusError(f"the tokens just written to {folder} cannot be read back; is the disk sound?")
    return made


def _fingerprint(corpus: Corpus, settings: TokenizerSettings) -> str:
    versions = [TOKENS_VERSION, READER_VERSION, version("miditok"), version("symusic")]
    return canonical_hash([corpus.fingerprint, settings.model_dump(mode="json"), versions], 24)


def _make(
    folder: Path,
    corpus: Corpus,
    settings: TokenizerSettings,
    progress: ProgressCallback | None,
    processes: int | None,
) -> None:
    pieces = order_by_split(corpus.pieces)
    jobs = [Job.of(piece, settings=settings) for piece in pieces]
    answers = read_all(jobs, processes=processes, progress=progress)
    broken = [f"{p.id}: {a.reason}" for p, a in zip(pieces, answers, strict=True) if a.transient]
    if broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        raise CorpusError(
            f"corpus {corpus.label}: {broken[0]}{more}; the same command tries again, or take the file out of it"
        )
    failed = [{"id": p.id, "reason": a.reason} for p, a in zip(pieces, answers, strict=True) if a.tokens is None]
    kept = [p.id for p, a in zip(pieces, answers, strict=True) if a.tokens is not None]
    arrays = [answer.tokens for answer in answers if answer.tokens is not None]
    if not arrays:
        raise CorpusError(f"no piece of corpus {corpus.label} gives tokens: {failed[0]['reason']}")
    words = next(answer.vocabulary for answer in answers if answer.vocabulary)
    if len(words) > MAX_VOCABULARY:
        raise CorpusError(f"the settings give {len(words)} tokens, more than {MAX_VOCABULARY}")
    offsets = np.concatenate([[0], np.cumsum([len(tokens) for tokens in arrays])])
    with publishing(folder) as fresh:
        write_array(fresh / "tokens.npy", np.concatenate(arrays))
        meta: dict[str, Any] = {
            "kept": kept,
            "offsets": offsets.tolist(),
            "failed": failed,
            "vocabulary": words,
            "corpus": corpus.label,
            "settings": settings.model_dump(mode="json"),
        }
        write_json(fresh / "meta.json", meta)


def _load(folder: Path, corpus: Corpus, settings: TokenizerSettings, fingerprint: str) -> TokenCorpus | None:
    meta = read_json(folder / "meta.json")
    tokens = read_array(folder / "tokens.npy") if meta is not None else None
    if meta is None or tokens is None or tokens.dtype != np.uint16 or meta["offsets"][-1] != len(tokens):
        return None
    by_id = {piece.id: piece for piece in corpus.pieces}
    failed = [Skipped(by_id[item["id"]].path, item["reason"], item["id"]) for item in meta["failed"]]
    return TokenCorpus(
        corpus=corpus,
        settings=settings,
        vocabulary=list(meta["vocabulary"]),
        all_tokens=tokens,
        offsets=np.array(meta["offsets"], dtype=np.int64),
        pieces_in_order=tuple(by_id[name] for name in meta["kept"]),
        skipped=[*corpus.skipped, *failed],
        fingerprint=fingerprint,
        folder=folder,
    )
