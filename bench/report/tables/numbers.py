"""Numbers as text: few digits, the same in every table, `n/a` where there is no figure."""

from __future__ import annotations

import math

NOTHING = "n/a"


def decimals_for(value: float, digits: int = 3) -> int:
    """Decimals that show `value` with that many significant digits, never more than 6."""
    if not math.isfinite(value) or value == 0:
        return digits - 1
    rounded = float(f"{abs(value):.{digits}g}")  # 0.9996 shows as 1.00, not as 1.000
    return min(6, max(0, digits - 1 - math.floor(math.log10(rounded))))


def number(value: float, digits: int = 3) -> str:
    """`value` with `digits` significant digits and no exponent below a million; `n/a` where it is not finite."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if abs(value) >= 1e6:
        return f"{value:.{digits - 1}e}"
    return fixed(value, decimals_for(value, digits))


def fixed(value: float, decimals: int) -> str:
    """`value` with so many decimals; without a sign where that is 0."""
    text = f"{value:.{decimals}f}"
    return text if float(text) else text.removeprefix("-")


def with_interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """`3.79 [3.70, 3.88]`, both ends with the decimals of the mean; the mean alone where there is no interval.

    An end that would round to 0 has one significant digit, so that its side of 0 is seen.
    """
    text = number(value, digits)
    if text == NOTHING or not (math.isfinite(low) and math.isfinite(high)):
        return text
    decimals = decimals_for(value, digits)
    return f"{text} [{_end(low, decimals)}, {_end(high, decimals)}]"


def _end(value: float, decimals: int) -> str:
    text = fixed(value, decimals)
    return text if float(text) or not value else number(value, 1)


def millions(count: float) -> str:
    """A count of parameters as `2.04 M`."""
    return NOTHING if count is None or not math.isfinite(count) else f"{count / 1e6:.2f} M"
