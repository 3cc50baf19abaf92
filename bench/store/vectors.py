"""Vectors of a cell: one value for each window or piece behind a measurement, with its song, as `vectors.parquet`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, NamedTuple

from bench.errors import UserError, first_line
from bench.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd

VECTORS = "vectors.parquet"
NATS = "nats"
"""Metric of the windows behind bits/token: value in nats a window, tokens scored in it."""
SCHEMA = {"metric": "str", "side": "str", "piece": "int64", "song": "str", "length": "int64", "value": "float64",
          "tokens": "float64"}  # fmt: skip
LABELS = ("cell_id", "arm", "seed", "corpus")
"""Columns that a reader of several cells finds beside those of `SCHEMA`."""
Side = Literal["validation", "test", "generated", "real", "without_piece", "without_reference_song"]
WITHOUT: Final[tuple[Side, Side]] = ("without_piece", "without_reference_song")
"""A figure of the whole set, computed without one piece, or with the reference without one of its songs (groups of them
above 50)."""


class Vector(NamedTuple):
    """One value of a window or piece.

    `metric` is `NATS` or a registered name; `piece` counts the windows or pieces of a side at this `length` in tokens;
    `song` is empty for generated music; `tokens` is the weight of the value, NaN where it has none.
    """

    metric: str
    side: Side
    piece: int
    song: str
    length: int
    value: float
    tokens: float = float("nan")


def write_vectors(folder: Path, vectors: Iterable[Vector]) -> None:
    """Write `vectors.parquet` into a cell's folder, whole or not at all. Raises OSError."""
    write_atomically(folder / VECTORS, parquet_bytes(vectors_frame(vectors), described=False))


def read_vectors(folder: Path) -> pd.DataFrame | None:
    """The vectors of a cell, columns as in `SCHEMA`; None for a cell without them. Raises UserError where the file is
    damaged."""
    path = folder / VECTORS
    if not path.is_file():
        return None
    try:
        return _typed(parquet_frame(path))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: cannot be read; run the study again, finished cells are kept") from error


def is_test_window(vectors: pd.DataFrame) -> pd.Series:
    """True at the windows of the test side, behind bits/token."""
    found: pd.Series = (vectors["metric"] == NATS) & (vectors["side"] == "test")
    return found


def parquet_frame(source: Path | BinaryIO) -> pd.DataFrame:
    """Content of a parquet file. Raises OSError for one that cannot be read, ValueError for a damaged one, whichever
    error its reader ended with."""
    import pandas as pd

    try:
        return pd.read_parquet(source)
    except OSError:
        raise
    except Exception as error:  # such as KeyError for metadata without a key
        raise ValueError(f"no parquet file: {first_line(error)}") from error


def parquet_bytes(frame: pd.DataFrame, *, described: bool = True) -> bytes:
    """The frame as a small parquet file: compressed, without statistics of columns and, since zstd finds what repeats
    itself, without dictionaries. `described`: with pandas' types of the columns, half of a small file, which a reader
    needs that does not know them."""
    return frame.to_parquet(
        index=False,
        compression="zstd",
        compression_level=9,
        use_dictionary=False,
        write_statistics=False,
        store_schema=described,
    )


def vectors_frame(vectors: Iterable[Vector] = ()) -> pd.DataFrame:
    """Vectors as a frame with the columns of `SCHEMA`."""
    import pandas as pd

    return _typed(pd.DataFrame.from_records(list(vectors), columns=list(SCHEMA)))


def join_vectors(cells: Iterable[tuple[Mapping[str, Any], pd.DataFrame]]) -> pd.DataFrame:
    """Vectors of several cells below each other, each with its labels: columns `LABELS`, then those of `SCHEMA`."""
    import pandas as pd

    columns = [*LABELS, *SCHEMA]
    found = [frame.assign(**{name: _label(labels.get(name)) for name in LABELS})[columns] for labels, frame in cells]
    joined = pd.concat(found, ignore_index=True) if found else vectors_frame().reindex(columns=columns)
    for name in ("cell_id", "arm", "corpus"):
        joined[name] = joined[name].astype("object").fillna("").astype("str")
    return joined.assign(seed=pd.to_numeric(joined["seed"], errors="coerce").astype("Int64"))


def _label(value: Any) -> Any:
    """A label of one cell; what a damaged plan has in its place, such as a list, as text."""
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[list(SCHEMA)].astype(SCHEMA)
