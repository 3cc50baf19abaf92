"""Variables that launchers and schedulers leave in an environment, and what a process takes from them.

A whole set of torch's variables (`torchrun` sets them) makes this process one of several. Nothing else does: what
mpirun, srun and `accelerate launch` set is dropped before Accelerate reads it, which would take it for settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.errors import UserError

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables of torch's rendezvous (https://docs.pytorch.org/docs/stable/distributed.html, `env://`)."""
TORCH = (*NEEDED, "LOCAL_RANK", "LOCAL_WORLD_SIZE")
COPIES = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
"""How many copies of a program srun or mpirun started."""
SETTINGS = "ACCELERATE_"
MPI = ("OMPI_COMM_WORLD_", "PMI_", "MPI_LOCAL", "MV2_COMM_WORLD_")
READ = (*MPI, SETTINGS, "FSDP_", "PARALLELISM_CONFIG_", "FORK_LAUNCHED")
"""Beginnings of further names that Accelerate reads; some change a training, such as the steps of accumulation."""
AGENT = ("TORCHELASTIC_", "PET_")
"""Beginnings of what torchrun sets for its processes, and of the defaults of its own options."""
LARGEST_PORT = 65535
JOIN_LIMIT_S = 600.0
"""Time limit of the rendezvous of a run's processes, that of torchrun for machines."""


@dataclass(frozen=True)
class Launch:
    """This process among those that train together.

    Parameters
    ----------
    rank, world: its number, and how many there are.
    local_rank, local_world: the same on this machine; `local_world` is at least `local_rank + 1`.
    local_rank_given: whether the environment states `local_rank`; else it is `rank`.
    note: one line on what was taken from the environment and what was left out; empty where nothing is there.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1
    note: str = ""
    local_rank_given: bool = True

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """What Accelerate and torch are to read: of launchers torch's variables alone, and those only where there are
        several processes."""
        if self.world == 1:
            return without_launcher(environment)
        kept = {name: value for name, value in environment.items() if not name.startswith(READ)}
        return kept | {"LOCAL_RANK": str(self.local_rank), "LOCAL_WORLD_SIZE": str(self.local_world)}


def launched(environment: Mapping[str, str]) -> Launch:
    """What an environment says of this process among others. An empty variable counts as unset.

    RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT together make several processes; LOCAL_RANK is RANK where it is unset.
    Without RANK and WORLD_SIZE, and with a WORLD_SIZE of 1, there is one process, whatever a scheduler set.
    Raises UserError for half a set and for numbers that do not fit together.
    """
    given = {name: value for name in TORCH if (value := environment.get(name, "").strip())}
    if "RANK" in given or "WORLD_SIZE" in given:
        launch = _several(given, environment)
        if launch.world > 1:
            return launch
    return Launch(note=unused(environment, "one process trains alone"))


def unused(environment: Mapping[str, str], why: str) -> str:
    """One line that names the variables which state several processes, or settings of Accelerate, and are not used;
    empty where there are none."""
    torch = [name for name in TORCH if environment.get(name, "").strip()]
    if _integer(environment.get("WORLD_SIZE", "")) == 1:
        torch = []  # one process, as it is
    copies = [name for name in COPIES if (_integer(environment.get(name, "")) or 0) > 1]
    found = [f"{name}={environment[name].strip()}" for name in (*torch, *copies, *_settings(environment))]
    return f"{', '.join(found)} in the environment: not used, {why}" if found else ""


def without_launcher(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what launchers set: that of a process which no launcher started."""
    return {
        name: value for name, value in environment.items() if name not in TORCH and not name.startswith((*READ, *AGENT))
    }


def _several(given: Mapping[str, str], environment: Mapping[str, str]) -> Launch:
    """The process that torch's variables describe. Raises UserError where they do not fit together."""
    world = _number(given, "WORLD_SIZE", 1)
    if world == 1 and given.get("RANK", "0") == "0":
        return Launch()
    missing = [name for name in NEEDED if name not in given]
    if missing:
        present = ", ".join(f"{name}={given[name]}" for name in NEEDED if name in given)
        raise UserError(
            f"{present} in the environment, but not {', '.join(missing)}; allowed: all of {', '.join(NEEDED)}, as "
            f"torchrun sets them, or none{_unset(*given)}"
        )
    assert world is not None
    rank = _number(given, "RANK", 0, world - 1)
    assert rank is not None
    local_rank = _number(given, "LOCAL_RANK", 0, rank)
    local_rank = rank if local_rank is None else local_rank
    local_world = _number(given, "LOCAL_WORLD_SIZE", local_rank + 1, world)
    _number(given, "MASTER_PORT", 1, LARGEST_PORT)
    note = (
        f"process {rank + 1} of {world} by the environment ({', '.join(f'{name}={given[name]}' for name in given)}); "
        f"time limit of the rendezvous {JOIN_LIMIT_S:g} s"
        f"{_unset(*given)}"
    )
    settings = _settings(environment)
    note += f"; not used: {', '.join(settings)}" if settings else ""
    return Launch(rank, world, local_rank, local_world or local_rank + 1, note, "LOCAL_RANK" in given)


def _number(given: Mapping[str, str], name: str, least: int, most: int | None = None) -> int | None:
    """The value of a variable, None where it is unset. Raises UserError for what is no integer of this range."""
    if name not in given:
        return None
    value = _integer(given[name])
    if value is None or value < least or (most is not None and value > most):
        allowed = f"{least} or more" if most is None else str(least) if most == least else f"{least} to {most}"
        among = [one for one in ("WORLD_SIZE", "RANK", "LOCAL_RANK") if one in given and one != name]
        others = [f"{one} is {given[one]}" for one in among]
        where = f" ({', '.join(others)})" if most is not None and name != "MASTER_PORT" and others else ""
        raise UserError(f"{name}={given[name]} in the environment: allowed: {allowed}{where}{_unset(*given)}")
    return value


def _settings(environment: Mapping[str, str]) -> list[str]:
    return sorted(name for name in environment if name.startswith(SETTINGS))


def _integer(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _unset(*names: str) -> str:
    """How to run without these variables."""
    return f"; in one process alone: env {' '.join(f'-u {name}' for name in names)} smdim-bench ..."
