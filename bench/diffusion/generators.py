"""Random generators named by their purpose, never the global one.

Whatever is drawn depends on (seed, step, purpose) and on nothing else: not on the model, not on the number of
processes, not on what was drawn before. Arms of one seed therefore see the same data and the same noise, and a
resumed run needs no generator state.
"""

from __future__ import annotations

import hashlib

import torch

SEED_BYTES = 7  # 56 bits: fits the signed 64-bit seed of every generator


def derived_seed(*names: int | str) -> int:
    """A seed in 0..2^56-1 that is a fixed function of `names`; equal on every platform and Python version."""
    digest = hashlib.blake2b("/".join(map(str, names)).encode(), digest_size=SEED_BYTES).digest()
    return int.from_bytes(digest, "big")


def generator_for(*names: int | str) -> torch.Generator:
    """A fresh CPU generator for `names`, for example `generator_for(seed, step, "noise")`."""
    return torch.Generator().manual_seed(derived_seed(*names))
