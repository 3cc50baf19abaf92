"""Settings of the tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SPECIAL_TYPES = ("PAD", "BOS", "EOS", "MASK")
"""Types without music, as the default vocabulary begins with them; a preset has PAD and MASK alone."""
PRESETS: dict[str, dict[str, Any]] = {
    "remi-m": {
        "pitch_low": 1,
        "pitch_high": 127,
        "beat_resolutions": ((0, 16, 4),),
        "velocities": 126,
        "tempos": True,
        "tempo_bins": 33,
        "merge_duplicates": False,
    }
}
"""Preset -> the settings that it fixes; `bench.data.remi_m` says what the tokens are."""


def note_types(types: Iterable[str]) -> tuple[str, ...]:
    """The types of a note's three tokens in the order in which they are written, which is that of the vocabulary."""
    return tuple(name for name in dict.fromkeys(types) if name in ("Pitch", "Velocity", "Duration"))


class TokenizerSettings(BaseModel):
    """REMI tokens (Huang & Yang 2020, doi 10.1145/3394171.3413671) as MidiTok writes them.

    A note is Pitch, Velocity, Duration after the Position in its Bar. All tracks but drums are merged into one piano;
    no byte-pair encoding, programs, chords or drum pitches. The defaults read POP909, MAESTRO, the Essen songs and the
    demo pieces without a loss outside the piano's range.
    A preset is a tokenizer of its own, whose settings it fixes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    preset: Literal["remi-m"] | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="remi-m: the vocabulary of MusicMamba's published writer (sixteenths, order Pitch, Duration, "
        "Velocity), whose marks SMDIM's demo files carry. It goes with `modes` and no other setting",
    )
    modes: bool = Field(
        False,
        exclude_if=lambda value: not value,
        description="with preset remi-m: its 140 mode tokens too, which no piece here uses, 509 tokens in all",
    )

    pitch_low: int = Field(21, ge=0, le=127, description="lowest MIDI pitch with a token; 21 is the piano's lowest A")
    pitch_high: int = Field(
        109,
        ge=0,
        le=127,
        description="highest MIDI pitch with a token, one above the piano's top C as in MidiTok's default. "
        "Take 0 and 127 where notes outside a piano's range are the question",
    )
    beat_resolutions: tuple[Annotated[tuple[int, int, int], Field(strict=False)], ...] = Field(
        ((0, 4, 8), (4, 12, 4)),
        strict=False,
        min_length=1,
        description="(from beat, to beat, steps a beat) for durations, in quarter notes; the finest is also the "
        "grid of positions: 8 = thirty-second notes. The last end is the longest note",
    )
    velocities: int = Field(32, ge=1, le=127, description="number of velocity tokens over 1..127")
    tempos: bool = Field(False, description="tempo tokens; off, because time is counted in beats everywhere else")
    tempo_bins: int = Field(32, ge=2, le=256, description="number of tempo tokens, if any")
    tempo_low: float = Field(40.0, gt=0, description="slowest tempo with a token, beats a minute")
    tempo_high: float = Field(250.0, gt=0, description="fastest tempo with a token, beats a minute")
    rests: bool = Field(False, description="Rest tokens between notes; off, because Position already says when")
    time_signatures: bool = Field(
        False,
        description="time-signature tokens and bars that follow them; off = every bar has four quarter notes, "
        "because 617 of POP909's files claim 1/4 and MAESTRO's meter is a time grid",
    )
    merge_duplicates: bool = Field(
        True,
        description="notes of one pitch and onset (doubled voices) become one, since decoding cannot distinguish them",
    )

    @model_validator(mode="after")
    def _preset(self) -> TokenizerSettings:
        if self.preset is None:
            if self.modes:
                raise ValueError("modes goes with preset remi-m; allowed: preset: remi-m, or no modes")
            return self
        fixed = {name: field.default for name, field in type(self).model_fields.items()} | PRESETS[self.preset]
        for name in self.model_fields_set - {"preset", "modes"}:
            if getattr(self, name) != fixed[name]:
                raise ValueError(f"preset {self.preset} fixes {name}; allowed beside a preset: modes")
            self.model_fields_set.discard(name)
        self.__dict__.update(PRESETS[self.preset])
        return self

    @model_validator(mode="after")
    def _ranges(self) -> TokenizerSettings:
        if self.pitch_low > self.pitch_high:
            raise ValueError(f"pitch_low ({self.pitch_low}) must not be above pitch_high ({self.pitch_high})")
        if self.tempo_low >= self.tempo_high:
            raise ValueError(f"tempo_low ({self.tempo_low}) must be below tempo_high ({self.tempo_high})")
        end = 0
        for start, stop, steps in self.beat_resolutions:
            if start != end or stop <= start or not 1 <= steps <= 96:
                raise ValueError(
                    f"beat_resolutions must be rising ranges that follow each other from 0 with 1..96 steps, "
                    f"not {self.beat_resolutions}"
                )
            end = stop
        return self

    @property
    def positions_a_beat(self) -> int:
        """Steps a quarter note of the grid of positions."""
        return max(steps for _, _, steps in self.beat_resolutions)
