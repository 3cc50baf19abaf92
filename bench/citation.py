"""Citation of this software: what `CITATION.cff` at the root of the sources says, for reports and exports."""

from __future__ import annotations

import re

from bench.errors import UserError, quoted
from bench.versions import SOFTWARE

NAME = "smdim-bench"
TITLE = "smdim-bench: a benchmark and ablation harness for denoisers in symbolic-music diffusion"
AUTHOR = "The smdim-bench authors"
LICENCE = "MIT"
LICENCES = "https://spdx.org/licenses/"
SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


def citation() -> str:
    """The reference in one line.

    >>> citation().startswith("The smdim-bench authors. smdim-bench: a benchmark")
    True
    """
    return f"{AUTHOR}. {TITLE}, version {SOFTWARE}."


def check_licence(licence: str) -> str:
    """The SPDX identifier of a licence. Raises UserError for what cannot be one."""
    if not SPDX.fullmatch(licence):
        raise UserError(f"--license {quoted(licence)}: allowed: an SPDX identifier, such as CC-BY-4.0 ({LICENCES})")
    return licence
