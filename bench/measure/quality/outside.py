"""An arm that is a folder of MIDI files: metrics of the music of another system, whose cost is not known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.data.pieces import SPLITS
from bench.measure.quality.music import held_out_windows, load_tokens, to_notes, train_notes
from bench.measure.rows import generated_vectors, metric_row, missing
from bench.store.vectors import write_vectors
from metrics.cost.quantities import BITS, BITS_PER_BEAT, BITS_PER_NOTE
from metrics.headlines import COSTS

if TYPE_CHECKING:
    from bench.data import TokenCorpus, TokenizerSettings

REASON = "the music of another system: only its MIDI files are here"


def outside_tokens(folder: str, tokenizer: TokenizerSettings | Mapping[str, Any]) -> TokenCorpus:
    """The files of `folder` as tokens; what cannot be read is skipped and named. Raises UserError for no folder, or one
    without music."""
    return load_tokens(f"folder:{folder}", tokenizer)


def chosen_pieces(other: TokenCorpus, files: int | None) -> list[np.ndarray]:
    """Tokens of all pieces of a folder by name, or of `files` of them, spread evenly."""
    everything = [
        piece for split in SPLITS for piece in zip(other.stream(split).pieces, other.pieces(split), strict=True)
    ]
    by_name = [np.asarray(sequence) for _, sequence in sorted(everything, key=lambda pair: pair[0].id)]
    count = min(files or len(by_name), len(by_name))
    return [by_name[place] for place in np.linspace(0, len(by_name) - 1, count).astype(int)]


def files_in_words(other: TokenCorpus, length: int, files: int | None) -> str:
    """How many pieces of a folder are measured, and how many of them are cut: `40 of 50 files, 12 cut after 512
    tokens`."""
    sizes = np.array([len(sequence) for sequence in chosen_pieces(other, files)])
    found = len(other.pieces_in_order)
    words = f"{found} files" if len(sizes) == found else f"{len(sizes)} of {found} files"
    parts = [(int((sizes > length).sum()), f"cut after {length} tokens"), (int((sizes < length).sum()), "shorter")]
    return ", ".join([words, *(f"{count} {what}" for count, what in parts if count)])


def measure_outside(settings: dict[str, Any], folder: Path, emit: Callable[..., None]) -> list[dict[str, Any]]:
    """Rows of the cell: the music metrics of all pieces, or of `files` of them, against as many held-out pieces as the
    other arms are, and NaN with the reason for what only a denoiser has.

    The files pass through the tokens that the other arms generate, and are cut after as many of them.
    """
    from metrics import quality_table

    tokens = load_tokens(settings["corpus"], settings["tokenizer"])
    other = outside_tokens(settings["midi"], settings["tokenizer"])
    length, wanted = int(settings["length"]), int(settings["pieces"])
    emit(event="progress", stage="measuring")
    sequences = [sequence[:length] for sequence in chosen_pieces(other, settings["files"])]
    for index, sequence in enumerate(sequences):
        tokens.decode_to_file(sequence, folder / "samples" / f"{index:03d}.mid")
    generated = [
        notes for index, one in enumerate(sequences) for notes in to_notes(tokens, one[None], f"other-{index:03d}")
    ]
    reference = to_notes(tokens, held_out_windows(tokens, length, wanted), "test")
    reason = f"{REASON} ({files_in_words(other, length, settings['files'])})"
    rows = [missing(name, reason) for name in (BITS, BITS_PER_NOTE, BITS_PER_BEAT)]
    results = quality_table(generated, reference, train_notes(tokens, length))
    rows += [metric_row(result) for result in results]
    write_vectors(folder, generated_vectors(results, length))
    for one in settings["cost_lengths"]:
        rows += [missing(name, reason) | {"kind": "efficiency", "length": one} for name in COSTS]
    return rows
