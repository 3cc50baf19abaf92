"""Powers of the multi-scale schedule by token type and metrical level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.diffusion.errors import DiffusionError
from bench.errors import quoted

# The larger, the earlier a token is drawn: half of the tokens of power w are there once t has fallen to 0.5^(1/w).
# Bars and positions first, strong ones before weak ones, then what sounds, then how long and how loud.
POWERS: dict[str, float] = {
    "Bar": 8.0,
    "TimeSig": 8.0,
    "Tempo": 6.0,
    "Position/bar": 6.0,
    "Position/beat": 5.0,
    "Position/half": 4.0,
    "Position/other": 3.0,
    "Rest": 3.0,
    "Pitch": 1.5,
    "Duration": 0.6,
    "Velocity": 0.5,
}
OTHERS = 1.0  # special tokens: as in the uniform process


def power_names(vocabulary: Sequence[str], positions_a_beat: int) -> list[str]:
    """The entry of POWERS that each word of a REMI vocabulary takes: its type, for a Position its metrical level too.

    Levels: `bar` the first position, `beat` the first of a quarter note, `half` the first of an eighth, `other`.
    """
    names = []
    for word in vocabulary:
        kind, _, value = word.partition("_")
        if kind == "Position":
            place = int(value)
            half = positions_a_beat // 2 if positions_a_beat % 2 == 0 else positions_a_beat
            level = "bar" if place == 0 else "beat" if place % positions_a_beat == 0 else "half"
            kind = f"Position/{level if place % half == 0 else 'other'}"
        names.append(kind)
    return names


def token_powers(
    vocabulary: Sequence[str], positions_a_beat: int, powers: Mapping[str, float] | None = None
) -> list[float]:
    """The power of each token: POWERS, with `powers` in the place of those it names.

    A key is a token type (`Pitch`) or a level of Position (`Position/beat`); `Position` sets all four levels.
    Raises DiffusionError for a key that is neither, or a power that is not above 0.
    """
    chosen = dict(POWERS)
    for name, power in (powers or {}).items():
        levels = [known for known in POWERS if known == name or known.startswith(f"{name}/")]
        if not levels:
            raise DiffusionError(f"powers: {quoted(name)} is no token type; allowed: {', '.join(POWERS)}")
        if not power > 0:
            raise DiffusionError(f"powers.{name}: {power} is not allowed; allowed: more than 0")
        chosen |= dict.fromkeys(levels, float(power))
    return [chosen.get(name, OTHERS) for name in power_names(vocabulary, positions_a_beat)]
