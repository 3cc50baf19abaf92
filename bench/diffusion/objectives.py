"""Names of the objectives: what a network is trained for, which decides the samplers that draw from its law."""

from __future__ import annotations

from typing import Final

ABSORBING: Final = "absorbing"
"""Masks anywhere in a row, the rest of it seen from both sides."""
BLOCK: Final = "block"
"""Masks in one block of a row, the blocks before it seen whole and those after it not."""
AUTOREGRESSIVE: Final = "autoregressive"
"""Each token from those before it."""
OBJECTIVES: Final = (ABSORBING, BLOCK, AUTOREGRESSIVE)
