"""Music from a trained run: new pieces, and bars, parts or endings for a song that is given."""

from __future__ import annotations

from bench.generate.errors import GenerateError
from bench.generate.filling import DrawOptions, Filled, fill
from bench.generate.song import Song, load_song
from bench.generate.template import Template, accompaniment, bars_again, continuation, types_again
from bench.generate.trained import TrainedRun, load_run

__all__ = [
    "DrawOptions",
    "Filled",
    "GenerateError",
    "Song",
    "Template",
    "TrainedRun",
    "accompaniment",
    "bars_again",
    "continuation",
    "fill",
    "load_run",
    "load_song",
    "types_again",
]
