"""A result table read from the file in which it was written, CSV or Parquet."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import as_user_error, quoted
from bench.store.columns import COLUMNS, FILLED, SCHEMA, check_columns, count_of, figure_of, typed
from bench.store.vectors import parquet_frame

if TYPE_CHECKING:
    import pandas as pd


def read_written(path: Path) -> pd.DataFrame:
    """The table of a `.csv` or `.parquet` file, with all columns, of a folder that was passed on without its cells. It
    may hold raw figures of them (`LIGHT_FILES` of `bench.store.light`), no music. Raises UserError where the file is
    no longer such a table."""
    import pandas as pd

    with as_user_error(ValueError, OSError, csv.Error, words=f"{path}: cannot be read: "):
        if path.suffix == ".csv":
            header, rows = _texts(path.read_bytes().decode("utf-8-sig"))
            frame = pd.DataFrame(rows, columns=header, dtype="object")
        else:
            frame = parquet_frame(io.BytesIO(path.read_bytes()))
            check_columns(list(frame.columns))
            if not frame.dtypes.equals(typed(frame[:0])[list(frame.columns)].dtypes):
                raise ValueError("a column is of another type")
    return typed(frame.reindex(columns=list(COLUMNS)))


def _texts(content: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a written table; rows of empty fields are left out.

    Lines end in LF, or in CRLF throughout, as spreadsheets and git write them. Raises ValueError or csv.Error unless
    the columns are those of a table, each field is of its column's type and none of `FILLED` is empty.
    """
    if "\0" in content:
        raise ValueError("holds a NUL")
    if content.partition("\n")[0].endswith("\r"):
        content = content.replace("\r\n", "\n")
    # a CR is a part of a text, which csv reads as the end of a line
    lines = csv.reader(io.StringIO(content.replace("\r", "\0")), strict=True)
    header, *rows = [[text.replace("\0", "\r") for text in row] for row in lines] or [[]]
    if len(header) == 1 and ";" in header[0]:
        raise ValueError("columns are separated by `;`; allowed: `,`")
    check_columns(header)
    kinds = [SCHEMA[name].type for name in header]
    for number, row in enumerate(rows, start=2):
        if not any(row):
            continue
        if len(row) != len(header):
            raise ValueError(f"line {number} has {len(row)} fields, the header {len(header)}")
        for name, kind, text in zip(header, kinds, row, strict=True):
            if not text and name in FILLED:
                raise ValueError(f"line {number}: {name} is empty")
            if kind is not str and text and not _is_number(text, kind):
                raise ValueError(f"line {number}: {name} {quoted(text)} is no {'whole ' if kind is int else ''}number")
    return header, [row for row in rows if any(row)]


def _is_number(text: str, kind: type) -> bool:
    if "_" in text:  # which Python reads between digits
        return False
    number = figure_of(text)
    if kind is int:
        return number.is_integer() and count_of(text) is not None
    return not math.isnan(number) or text.lower() == "nan"
