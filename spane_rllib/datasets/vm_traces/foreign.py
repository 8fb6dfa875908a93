"""VM tables with other columns and units, as other people publish and log them."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spane_rllib.core.errors import UserError
from spane_rllib.core.words import near_miss
from spane_rllib.datasets.text import read_text
from spane_rllib.datasets.vm_traces.checks import RowProblems, valid_numbers
from spane_rllib.datasets.vm_traces.readers import NeverEnding, ReadReport, TraceReading
from spane_rllib.datasets.vm_traces.trace import VmTrace

TIME_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
"""Seconds of each."""
FIELDS = ("cpu", "memory", "arrival", "lifetime", "end")


def parse_columns(text: str) -> dict[str, str]:
    """`cpu=vcpus,memory=gib,arrival=start,end=stop` as names of columns by field.

    Raises:
        UserError: a field is unknown, missing or given twice; one of lifetime and end is needed.
    """
    columns: dict[str, str] = {}
    for part in text.split(","):
        field, equals, column = (word.strip() for word in part.partition("="))
        if not equals or not column or field not in FIELDS:
            raise UserError(
                f"columns: {part.strip()[:100]!r} is not FIELD=COLUMN with one of {', '.join(FIELDS)}"
                f"{near_miss(field, FIELDS)}"
            )
        if field in columns:
            raise UserError(f"columns: {field} is given twice")
        columns[field] = column
    missing = [field for field in FIELDS[:3] if field not in columns]
    if missing or ("lifetime" in columns) == ("end" in columns):
        raise UserError(
            "columns: cpu, memory, arrival and either lifetime or end are needed; "
            + (f"{missing[0]} is missing" if missing else "give just one of lifetime and end")
        )
    return columns


def read_foreign(
    path: str | os.PathLike[str],
    columns: Mapping[str, str],
    *,
    time_unit: str = "s",
    skip_invalid: bool = False,
    never_ending: NeverEnding = "drop",
) -> TraceReading:
    """Read a CSV table of one VM a row, in any order, with a header; other columns are left alone.

    The trace is in order of arrival and begins at second 0. A VM whose lifetime or end is empty never ends.

    Args:
        path: the file, gzip or not.
        columns: names of its columns by field, as of `parse_columns`.
        time_unit: of all its times, a key of `TIME_UNITS`.
        skip_invalid, never_ending: as of `readers.read_trace`.

    Raises:
        UserError: the file cannot be read, has no such column, has an invalid row (and `skip_invalid` is off)
            or leaves no VM.
    """
    file = Path(path)
    # Quotes that never close would take the rest of the file for one cell.
    lines = csv.reader(io.StringIO(read_text(file, in_lines=True)), strict=True)
    header = [name.strip() for name in next(lines)]
    for column in columns.values():
        if column not in header:
            raise UserError(
                f"{file}, row 1: no column {column!r}{near_miss(column, header)}; "
                f"it has {', '.join(header)[:300]}"
            )
    places = {field: header.index(column) for field, column in columns.items()}
    problems = RowProblems(str(file), skip=skip_invalid)
    values: list[list[float]] = []
    rows: list[int] = []
    count = 0
    try:
        for cells in filter(None, lines):
            count += 1
            numbers = _numbers(cells, places, columns, len(header), lines.line_num, problems)
            if numbers is not None:
                values.append(numbers)
                rows.append(lines.line_num)
    except csv.Error as error:
        raise UserError(f"{file}, row {lines.line_num}: not a CSV table: {error}") from error
    table = np.array(values, np.float64).reshape(len(rows), len(places)).T
    by_field = dict(zip(places, table, strict=True))
    scale = TIME_UNITS[time_unit]
    arrival = by_field["arrival"] * scale
    # Clocks may count from anywhere, as from 1970.
    first = float(arrival[np.isfinite(arrival)].min(initial=np.inf))
    lifetime = by_field["lifetime"] * scale if "lifetime" in places else by_field["end"] * scale - arrival
    parts = {"cpu": by_field["cpu"], "mem": by_field["memory"], "at": arrival - first}
    finite = np.where(lifetime == np.inf, 1.0, lifetime)
    numbered = np.array(rows, np.int64)
    good = valid_numbers({**parts, "lt": finite}, numbered, problems)
    skipped = problems.finish()
    order = np.flatnonzero(good)[np.argsort(arrival[good], kind="stable")]
    name = file.name.removesuffix(".gz").removesuffix(".csv")
    cpu, memory, at = (part[order] for part in parts.values())
    trace = VmTrace(cpu, memory, at, lifetime[order], name)
    ends = np.isfinite(trace.lifetime)
    if never_ending == "drop":
        trace = trace.select(ends)
    if not len(trace):
        raise UserError(f"{file}: no VM is left of {count:,} rows; give a file with valid VMs")
    return TraceReading(trace, ReadReport(count, len(trace), int((~ends).sum()), skipped))


def _numbers(
    cells: list[str],
    places: Mapping[str, int],
    columns: Mapping[str, str],
    width: int,
    row: int,
    problems: RowProblems,
) -> list[float] | None:
    """The fields of a row, or None, and a complaint, where one is no number."""
    if len(cells) != width:
        problems.add(row, f"a row must have {width} values", len(cells))
        return None
    found = []
    for field, place in places.items():
        cell = cells[place].strip()
        if not cell and field in ("lifetime", "end"):
            found.append(np.inf)
            continue
        try:
            found.append(float(cell))
        except ValueError:
            problems.add(row, f"{columns[field]} must be a number", cell)
            return None
    return found
