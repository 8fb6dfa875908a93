"""The text of a CSV file as columns of numbers, with the line number of every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.checks import RowProblems, Rows, shorten
from spane_rllib.datasets.vm_traces.trace import Column

_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}


@dataclass
class CsvTable:
    """Well-formed rows of a CSV file: `vmid` as text, all other columns as float64, all of length n."""

    vmid: npt.NDArray[Any]
    numbers: dict[str, Column]
    rows: Rows  # (n,) 1-based line numbers in the file, header included

    def select(self, keep: npt.NDArray[np.bool_]) -> CsvTable:
        """The rows where `keep` holds."""
        if keep.all():
            return self
        return CsvTable(self.vmid[keep], {k: v[keep] for k, v in self.numbers.items()}, self.rows[keep])


def split_header(text: str, place: str) -> tuple[list[str], str]:
    """The column names of the first line (`memory` becomes `mem`) and the text after it."""
    header, _, body = text.partition("\n")
    if "," not in header:
        for delimiter, name in _OTHER_DELIMITERS.items():
            if delimiter in header.strip():
                raise UserError(f"{place}, row 1: columns are separated by {name}; separate them by commas")
    columns = ["mem" if name.strip() == "memory" else name.strip() for name in header.split(",")]
    for name in columns:
        if columns.count(name) > 1:
            raise UserError(f"{place}, row 1: column {shorten(name)} appears twice; keep one of them")
    return columns, body


def parse_rows(body: str, columns: Sequence[str], problems: RowProblems) -> CsvTable:
    """Parse the lines after the header; malformed rows go to `problems` and are left out."""
    return _parse_fast(body, columns) or _parse_line_by_line(body, columns, problems)


def _parse_fast(body: str, columns: Sequence[str]) -> CsvTable | None:
    """NumPy's parser; None for malformed rows, which its messages do not name by line of the file."""
    lines = body.removesuffix("\n").split("\n")
    try:
        records = np.loadtxt(
            lines,
            dtype=[(name, object if name == "vmid" else np.float64) for name in columns],
            delimiter=",",
            comments=None,
            ndmin=1,
        )
    except ValueError:
        return None
    if len(records) != len(lines):  # blank lines were left out
        return None
    numbers = {name: np.ascontiguousarray(records[name]) for name in columns if name != "vmid"}
    ids = np.array([vmid.strip() for vmid in records["vmid"]], dtype=object)
    return CsvTable(ids, numbers, np.arange(2, len(records) + 2))


def _parse_line_by_line(body: str, columns: Sequence[str], problems: RowProblems) -> CsvTable:
    id_at = columns.index("vmid")
    ids: list[str] = []
    values: list[list[float]] = []
    rows: list[int] = []
    for row, line in enumerate(body.split("\n"), start=2):
        if not line.strip():
            continue
        cells = line.split(",")
        if len(cells) != len(columns):
            problems.add(row, f"a row must have {len(columns)} values", len(cells))
            continue
        numbers = [0.0 if i == id_at else _number(cell) for i, cell in enumerate(cells)]
        if None in numbers:
            at = numbers.index(None)
            problems.add(row, f"{columns[at]} must be a number", cells[at])
            continue
        ids.append(cells[id_at].strip())
        values.append(numbers)  # type: ignore[arg-type]  # no None is left
        rows.append(row)
    table = np.array(values, dtype=np.float64).reshape(len(rows), len(columns))
    by_name = {name: np.ascontiguousarray(table[:, i]) for i, name in enumerate(columns) if i != id_at}
    return CsvTable(np.array(ids, dtype=object), by_name, np.array(rows, dtype=np.int64))


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)  # float() takes 1_000; CSV files do not mean that
    except ValueError:
        return None
