"""Tables of results on disk: exact numbers, one line for everything that can be wrong with a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spane_rllib.core.errors import UserError
from spane_rllib.core.files import replacing, write_text
from spane_rllib.core.reading import opened

if TYPE_CHECKING:
    import pandas as pd

_REMEDY = "delete it, and --resume makes it again"


def read_table(file: Path, columns: Mapping[str, type]) -> pd.DataFrame:
    """A table with at least these columns; a `UserError` when it is none.

    Numbers are exactly those that were written.
    """
    import pandas as pd

    types = {name: "str" if kind is str else "int64" for name, kind in columns.items() if kind is not float}
    # pandas' own parser of numbers is fast and may be off by one unit in the last place.
    exact = {name: float for name, kind in columns.items() if kind is float}
    try:
        # An infinite count is refused, not warned of.
        with opened(file) as stream, np.errstate(invalid="ignore"):
            table = pd.read_csv(stream, dtype=types, converters=exact)
            stream.seek(-1, os.SEEK_END)
            if stream.read() != b"\n":  # else a number that lost its last digits would be taken for another
                raise ValueError("its last line has no end")
    except (ValueError, OverflowError) as error:
        raise UserError(f"{file} is damaged ({error}); {_REMEDY}") from error
    if missing := [name for name in columns if name not in table]:
        raise UserError(f"{file} is damaged (no column {missing[0]}); {_REMEDY}")
    if table.empty or table[list(columns)].isna().any(axis=None):
        raise UserError(f"{file} is damaged (no rows, or values are missing); {_REMEDY}")
    return table


def write_tables(directory: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Write each table to `NAME.csv`, each in one step."""
    for name, frame in tables.items():
        with replacing(directory / f"{name}.csv") as temporary:
            frame.to_csv(temporary, index=False)


def write_results(directory: Path, results: Iterable[tuple[str, pd.DataFrame | str]]) -> None:
    """Write tables (`.csv` or `.parquet`) and texts by the names of their files, each in one step."""
    for name, content in results:
        if isinstance(content, str):
            write_text(directory / name, content)
            continue
        with replacing(directory / name) as temporary:
            if name.endswith(".parquet"):
                content.to_parquet(temporary, index=False)
            else:
                content.to_csv(temporary, index=False)
