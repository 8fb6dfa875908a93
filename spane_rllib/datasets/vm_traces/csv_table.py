"""The text of a CSV file as columns of numbers, with the line number of every row."""

from __future__ import annotations

import io
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.checks import Mask, RowProblems, Rows, shorten
from spane_rllib.datasets.vm_traces.trace import Column

_BLOCK = 1 << 24
"""Bytes that Arrow parses at a time on each core; the memory of much smaller pieces is not given back."""

_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}


@dataclass(frozen=True)
class Ids:
    """A column of text, of which mostly matters which rows have the same: each text is kept once."""

    number: Rows  # (n,) of the row's text in `texts`
    texts: Any  # each once: a pyarrow array of strings, or a range of whole numbers not all of which occur
    blank: int = -1  # number of the empty text, if there is one

    @classmethod
    def of(cls, column: Any) -> Ids:
        """The strings of a pyarrow array, without white space around them."""
        import pyarrow as pa
        from pyarrow import compute

        counted = _dense_numbers(column)
        if counted is not None:
            return cls(*counted)
        encoded = compute.utf8_trim_whitespace(column).dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        return cls(
            encoded.indices.to_numpy(), encoded.dictionary, compute.index(encoded.dictionary, "").as_py()
        )

    def __getitem__(self, row: int) -> str:
        return str(self.texts[int(self.number[row])])

    def select(self, rows: Rows | Mask) -> Ids:
        """The texts of these rows."""
        return Ids(self.number[rows], self.texts, self.blank)

    @property
    def empty(self) -> Mask:
        """Where there is no text."""
        return self.number == self.blank

    @property
    def repeated(self) -> Mask:
        """Where a text appeared before."""
        rows = np.arange(len(self.number))
        first = np.empty(len(self.texts), np.int64)
        first[self.number[::-1]] = rows[::-1]  # of several rows the last one assigned stays
        return first[self.number] != rows


def _dense_numbers(column: Any) -> tuple[Rows, range] | None:
    """`number` and `texts` of ids that count VMs: a table of ten million texts takes 5 s and 700 MB."""
    import pyarrow as pa
    from pyarrow import compute

    try:
        values = compute.cast(column, pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high > 4 * len(values):
        return None
    digits = 1 + np.searchsorted(10 ** np.arange(1, len(str(high))), values, side="right")
    if (digits != compute.binary_length(column).to_numpy()).any():  # 7 and 007 are two texts
        return None
    return values, range(high + 1)


@dataclass
class CsvTable:
    """Well-formed rows of a CSV file: `vmid` as text, all other columns as float64, all of length n."""

    vmid: Ids
    numbers: dict[str, Column]
    rows: Rows  # (n,) 1-based line numbers in the file, header included

    @classmethod
    def of(cls, columns: dict[str, Any]) -> CsvTable:
        """All rows of `parse`; `columns` is emptied, to give the memory of each back before the next."""
        import pyarrow as pa

        ids = Ids.of(columns.pop("vmid"))
        numbers = {}
        for name in [*columns]:
            pa.default_memory_pool().release_unused()
            numbers[name] = columns.pop(name).to_numpy()
        return cls(ids, numbers, np.arange(2, len(ids.number) + 2))

    def select(self, keep: Mask) -> CsvTable:
        """The rows where `keep` holds."""
        if keep.all():
            return self
        numbers = {name: values[keep] for name, values in self.numbers.items()}
        return CsvTable(self.vmid.select(keep), numbers, self.rows[keep])


def take_header(content: bytearray, place: str) -> list[str]:
    """The column names of the first line (`memory` becomes `mem`), which is taken from `content`."""
    end = content.find(b"\n") + 1 or len(content)
    header = content[:end].decode().removesuffix("\n")
    del content[:end]
    if "," not in header:
        for delimiter, name in _OTHER_DELIMITERS.items():
            if delimiter in header.strip():
                raise UserError(f"{place}, row 1: columns are separated by {name}; separate them by commas")
    columns = ["mem" if name.strip() == "memory" else name.strip() for name in header.split(",")]
    for name in columns:
        if columns.count(name) > 1:
            raise UserError(f"{place}, row 1: column {shorten(name)} appears twice; keep one of them")
    return columns


def parse(body: bytearray, columns: Sequence[str]) -> dict[str, Any] | None:
    """The columns as pyarrow arrays, for `CsvTable.of`; None where `parse_line_by_line` has to look.

    Arrow's parser works on all cores, but does not tell of all rows that are malformed, or empty.
    """
    import pyarrow as pa
    from pyarrow import csv

    types = {name: pa.string() if name == "vmid" else pa.float64() for name in columns}
    try:
        table = csv.read_csv(
            pa.BufferReader(pa.py_buffer(body)),
            csv.ReadOptions(column_names=list(columns), block_size=_BLOCK),
            csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            csv.ConvertOptions(column_types=types, null_values=[], check_utf8=False),
        )
    except pa.ArrowInvalid:
        return None
    return dict(zip(columns, table.columns, strict=True))


def parse_line_by_line(body: bytearray, columns: Sequence[str], problems: RowProblems) -> CsvTable:
    """The well-formed rows; malformed ones go to `problems` and are left out."""
    import pyarrow as pa

    id_at = columns.index("vmid")
    ids: list[str] = []
    values = array("d")
    rows = array("q")
    for row, line in enumerate(io.TextIOWrapper(io.BytesIO(body), "utf-8", newline="\n"), start=2):
        if not line.strip():
            continue
        cells = line.removesuffix("\n").split(",")
        if len(cells) != len(columns):
            problems.add(row, f"a row must have {len(columns)} values", len(cells))
            continue
        numbers = [0.0 if i == id_at else _number(cell) for i, cell in enumerate(cells)]
        if None in numbers:
            at = numbers.index(None)
            problems.add(row, f"{columns[at]} must be a number", cells[at])
            continue
        ids.append(cells[id_at])
        values.extend(numbers)  # type: ignore[arg-type]  # no None is left
        rows.append(row)
    table = np.frombuffer(values, np.float64).reshape(len(rows), len(columns))
    by_name = {name: np.ascontiguousarray(table[:, i]) for i, name in enumerate(columns) if i != id_at}
    return CsvTable(Ids.of(pa.array(ids, pa.string())), by_name, np.frombuffer(rows, np.int64))


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)  # float() takes 1_000; CSV files do not mean that
    except ValueError:
        return None
