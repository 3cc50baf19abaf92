"""Which kernels one call of a network truly ran, as rows name them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from architectures.kernel_door import kernels_that_ran
from metrics.kernels import attention_kernel


def kernels_behind(call: Callable[[], Any]) -> dict[str, str]:
    """What truly ran in one call, operator by operator; attention by the name that its rows have, `sdpa`."""
    with kernels_that_ran() as ran:
        attention = attention_kernel(call)
    found = {operator: "+".join(names) for operator, names in ran.items()}
    by_packages = "+".join(name for name in ran.get("attention", ()) if name != "torch")
    found.pop("attention", None)
    if told := "+".join(filter(None, (attention, by_packages))):
        found["sdpa"] = told
    return found
