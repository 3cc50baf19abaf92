"""Choice of constraints, written as words: `grammar+pitch=percentile+chord=4`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench.diffusion.constraints.constraint_set import ConstraintSet, JointConstraintSet
from bench.diffusion.constraints.language import TokenLanguage
from bench.diffusion.constraints.masks import PitchRange, ScalePrior
from bench.diffusion.constraints.successions import Successions
from bench.diffusion.constraints.voices import SoundingLimit
from bench.diffusion.errors import DiffusionError

NONE = "none"
TRAINING_RANGES = ("percentile", "range")
FORMS = "grammar, pitch=LOW:HIGH, pitch=percentile, pitch=range, chord=K, sounding=K, scale, scale=NAME"
PitchLimits = Callable[[str], tuple[int, int]]


@dataclass(frozen=True)
class ConstraintChoice:
    """The constraints chosen; all off by default.

    grammar   only successions of tokens that decode, and time that goes forward in a bar
    pitch     "LOW:HIGH" in MIDI pitches, "percentile" (0.5 to 99.5 % of the training notes) or "range" (all of them)
    chord     at most so many notes that start together
    sounding  at most so many notes that sound together (implies the same for `chord`)
    scale     None: no; "": a prior over all scales that the row's own pitches settle; else a name, "C major"
    """

    grammar: bool = False
    pitch: str | None = None
    chord: int | None = None
    sounding: int | None = None
    scale: str | None = None

    @classmethod
    def parse(cls, words: str | Iterable[str]) -> ConstraintChoice:
        """From "grammar+chord=4", or from several such; "none" or nothing is no constraint. Raises DiffusionError."""
        parts = [part for word in ([words] if isinstance(words, str) else words) for part in word.split("+")]
        chosen: dict[str, object] = {}
        for part in (part.strip() for part in parts):
            name, equals, value = part.partition("=")
            if part in ("", NONE):
                continue
            if name in chosen:
                raise DiffusionError(f"constraint {part}: {name} is given twice; allowed: once")
            chosen[name] = _value(part, name, value if equals else None)
        return cls(**chosen)  # type: ignore[arg-type]

    def words(self) -> str:
        """The form that `parse` reads: "none", "grammar+chord=4"."""
        parts = ["grammar"] if self.grammar else []
        parts += [f"{name}={value}" for name in ("pitch", "chord", "sounding") if (value := getattr(self, name))]
        if self.scale is not None:
            parts.append(f"scale={self.scale}" if self.scale else "scale")
        return "+".join(parts) or NONE

    @property
    def needs_training_pitches(self) -> bool:
        """Whether the pitch range is taken from the training music."""
        return self.pitch in TRAINING_RANGES

    def build(
        self, language: TokenLanguage, mask_id: int, *, pitch_limits: PitchLimits | None = None
    ) -> ConstraintSet | None:
        """The constraint a sampler takes; None for no constraint.

        `pitch_limits(kind)` gives the training music's limits for "percentile" and "range".
        """
        if self == ConstraintChoice():
            return None
        masks: list[PitchRange | ScalePrior] = []
        if self.pitch is not None:
            masks.append(PitchRange(language, *self._pitch_range(pitch_limits)))
        if self.scale is not None:
            masks.append(ScalePrior(language, self.scale))
        voices = SoundingLimit(language, self.sounding) if self.sounding else None
        limits = [limit for limit in (self.chord, self.sounding) if limit is not None]
        if not self.grammar and not limits:
            return ConstraintSet(masks, voices)
        rules = Successions(language, mask_id, grammar=self.grammar, chord_limit=min(limits) if limits else None)
        return JointConstraintSet(masks, voices, rules)

    def _pitch_range(self, pitch_limits: PitchLimits | None) -> tuple[int, int]:
        assert self.pitch is not None
        if not self.needs_training_pitches:
            low, high = map(int, self.pitch.split(":"))
            return low, high
        if pitch_limits is None:
            raise DiffusionError(f"constraint pitch={self.pitch}: the training music is not at hand; give LOW:HIGH")
        return pitch_limits(self.pitch)


def _value(part: str, name: str, value: str | None) -> object:
    if name == "grammar" and value is None:
        return True
    if name == "scale":
        ScalePrior.check(value or "")
        return value or ""
    if name in ("chord", "sounding") and value is not None and re.fullmatch(r"[1-9][0-9]{0,5}", value):
        return int(value)
    if name == "pitch" and value in TRAINING_RANGES:
        return value
    if name == "pitch" and value is not None and (found := re.fullmatch(r"([0-9]{1,6}):([0-9]{1,6})", value)):
        if int(found[1]) <= int(found[2]) <= 127:
            return value
        raise DiffusionError(f"constraint {part}: allowed: MIDI pitches LOW:HIGH in 0..127, the lower one first")
    raise DiffusionError(f"constraint {part}: not known; allowed: {FORMS}")
