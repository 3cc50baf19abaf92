"""The `numba` kernel: the algorithm of selective_scan.c, compiled by numba where there is no C compiler.

See host.py for lanes, blocks, groups and items. Per item, the forward pass runs the recurrence over chunks of time
steps. The backward pass keeps the state at the start of every chunk, then goes back over the chunks, replaying each
one, so that nothing of size B L D N exists. Scratch memory is one flat float32 array, cut up by offsets.
"""

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from torch import Tensor

from architectures.scan import host
from architectures.scan.inputs import ScanGradients, ScanInputs

try:
    import numba

    from architectures.scan import numba_lanes as lane
except ImportError as error:  # pragma: no cover
    _import_error = str(error)
else:
    _import_error = ""

LANES = host.LANES
STEPS = host.CHUNK_STEPS
ROW = LANES * STEPS
