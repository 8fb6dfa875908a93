"""CSV tables whose errors name the file, the row and the column."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.datasets.text import read_text

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Rows of text.

    Args:
        file: where they are from.
        rows: strings, "" where there is nothing.
        first: number of the first row in the file, counted from 1.
    """

    file: Path
    rows: pd.DataFrame
    first: int

    def has(self, name: str) -> bool:
        """Whether there is a column of this name."""
        return name in self.rows

    def text(self, name: str) -> pd.Series[str]:
        """A column as it is; a `UserError` where there is none of this name."""
        if name not in self.rows:
            raise UserError(f"{self.file}: no column {name}; there are {', '.join(self.rows)}")
        return self.rows[name]

    def numbers(
        self,
        name: str,
        default: float | None = None,
        low: float = -np.inf,
        empty: float | None = None,
        high: float = np.inf,
    ) -> Floats:
        """A column as finite numbers from `low` to `high`.

        Args:
            name: of the column.
            default: for all rows where there is no such column.
            low, high: the least and the most that is allowed.
            empty: for cells that hold nothing; None: they are refused.
        """
        import pandas as pd

        if name not in self.rows and default is not None:
            return np.full(len(self.rows), default)
        text = self.text(name)
        values = pd.to_numeric(text, errors="coerce").to_numpy(np.float64, copy=True)
        if empty is not None:
            values[(text == "").to_numpy()] = empty
        wrong = ~np.isfinite(values) | (values < low) | (values > high)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            what = "a number" if low == -np.inf else f"a number of at least {low:g}"
            what += f" and at most {high:g}" if values[row] > high else ""
            raise UserError(
                f"{self.file}, row {row + self.first}: {name} must be {what}, "
                f"got {one_line(text.iloc[row])[:60]!r}"
            )
        return values

    def complain(self, row: int, text: str) -> UserError:
        """An error about row `row`, counted from 0 among the rows of the table."""
        return UserError(f"{self.file}, row {row + self.first}: {text}")


def read_table(file: Path, columns: Sequence[str] = ()) -> Table:
    """The rows of a CSV file, gzip or not.

    Args:
        file: what is read.
        columns: names where the file has no header; a file that has one all the same is understood.
    """
    import pandas as pd

    text = read_text(file, in_lines=True)
    head = [cell.strip() for cell in text.partition("\n")[0].split(",")]
    headless = bool(columns) and not set(columns) & set(head)
    names = list(columns)[: len(head)] if headless else head
    if len(set(names)) < len(names):
        raise UserError(f"{file}, row 1: two columns have one name; rename one")
    for number, cells in enumerate(csv.reader(io.StringIO(text)), start=1):
        if cells and len(cells) != len(head):
            raise UserError(f"{file}, row {number}: must have {len(head)} values, got {len(cells)}")
    try:
        rows = pd.read_csv(
            io.StringIO(text),
            dtype=str,
            header=None,
            names=names,
            skiprows=0 if headless else 1,
            keep_default_na=False,
            index_col=False,
            engine="c",
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{file}: not a table of {len(names)} columns: {one_line(str(error))}") from error
    return Table(file, rows.fillna(""), 1 if headless else 2)
