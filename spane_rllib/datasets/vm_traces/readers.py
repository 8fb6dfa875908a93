"""Reading a VM trace from a file, checking every value on the way.

Three forms are recognised by content, not by name; the text forms may be gzip-compressed:

- lifetimes: CSV with the columns vmid, cpu, mem, at, lt (one row per VM; at and lt in seconds);
- events: CSV with the columns vmid, cpu, memory, time, type (type 0 creates, 1 deletes the VM), the form in
  which Huawei Cloud publishes Huawei-East-1;
- NumPy: a `.npy` array of float64, shape (4, n): cpu, memory, arrival, lifetime. It is memory-mapped, so
  that all processes of a machine share it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from spane_rllib.core.errors import UserError
from spane_rllib.core.reading import opened
from spane_rllib.datasets.arrays import map_array
from spane_rllib.datasets.text import read_utf8
from spane_rllib.datasets.vm_traces.checks import RowProblems, Rows, in_order, valid_numbers
from spane_rllib.datasets.vm_traces.csv_table import CsvTable, parse, parse_line_by_line, take_header
from spane_rllib.datasets.vm_traces.trace import Column, VmTrace

NeverEnding = Literal["drop", "keep"]
# cpu, memory, arrival, lifetime, deleted_before: the fields of a VmTrace
Columns = tuple[Column, Column, Column, Column, Column | None]

LIFETIME_COLUMNS = ("vmid", "cpu", "mem", "at", "lt")
EVENT_COLUMNS = ("vmid", "cpu", "mem", "time", "type")
_NPY_MAGIC = b"\x93NUMPY"


@dataclass(frozen=True)
class ReadReport:
    """What reading a file met.

    Attributes:
        rows: rows of the file, header not counted (events in the event form).
        kept: VMs in the trace.
        never_ending: VMs without a deletion (infinite lifetime), whether dropped or kept.
        skipped: invalid rows that were dropped, by complaint.
    """

    rows: int
    kept: int
    never_ending: int = 0
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class TraceReading:
    """A trace and the report on how it was read."""

    trace: VmTrace
    report: ReadReport


def read_trace(
    path: str | os.PathLike[str], *, skip_invalid: bool = False, never_ending: NeverEnding = "drop"
) -> TraceReading:
    """Read a trace file in any of the three forms.

    Args:
        path: the file.
        skip_invalid: drop invalid rows and count them by reason, instead of raising for the first one.
        never_ending: what to do with VMs that are never deleted: "drop" them or "keep" them with an infinite
            lifetime.

    Raises:
        UserError: the file cannot be read, is in no known form, has an invalid row (and `skip_invalid` is
            off) or leaves no VM.
    """
    if never_ending not in get_args(NeverEnding):
        raise UserError(f"never_ending must be drop or keep, got {never_ending!r}")
    file = Path(path)
    read = _read_npy if _starts_with(file, _NPY_MAGIC) else _read_csv
    result = read(file, skip_invalid, never_ending)
    if not len(result.trace):
        raise UserError(f"{file}: no VM is left of {result.report.rows:,} rows; give a file with valid VMs")
    return result


def _starts_with(file: Path, magic: bytes) -> bool:
    with opened(file) as stream:
        return stream.read(len(magic)) == magic


def _read_csv(file: Path, skip_invalid: bool, never_ending: NeverEnding) -> TraceReading:
    text = read_utf8(file, in_lines=True)
    columns = take_header(text, str(file))
    is_events = _recognise_form(columns, str(file))
    problems = RowProblems(str(file), skip=skip_invalid)
    parsed = parse(text, columns)
    if parsed is None:
        table = parse_line_by_line(text, columns, problems)
    else:
        del text  # of a long trace it is as large as the numbers in it
        table = CsvTable.of(parsed)
    rows = len(table.rows) + problems.counts.total()
    if not rows:
        raise UserError(f"{file}: a header but no rows; give a file with at least one VM")
    table = table.select(valid_numbers(table.numbers, table.rows, problems))
    table = table.select(problems.mark(table.vmid.empty, table.rows, "vmid must not be empty"))
    convert = _from_events if is_events else _from_lifetimes
    vms = convert(table, problems)
    return _finish(file, vms, never_ending, rows, problems.finish())


def _recognise_form(columns: list[str], place: str) -> bool:
    """Whether the columns are those of the event form (else: the lifetime form)."""
    found = set(columns)
    forms = (LIFETIME_COLUMNS, EVENT_COLUMNS)
    nearest = max(forms, key=lambda form: len(found & set(form)))
    missing, unknown = sorted(set(nearest) - found), sorted(found - set(nearest))
    if not missing and not unknown:
        return nearest is EVENT_COLUMNS
    complaints = [f"missing column {', '.join(missing)}"] if missing else []
    complaints += [f"unknown column {', '.join(map(repr, unknown))[:80]}"] if unknown else []
    raise UserError(
        f"{place}, row 1: {' and '.join(complaints)}; the header must be vmid,cpu,mem,at,lt (lifetimes) "
        "or vmid,cpu,memory,time,type (events)"
    )


def _from_lifetimes(table: CsvTable, problems: RowProblems) -> Columns:
    repeated = table.vmid.repeated
    table = table.select(problems.mark(repeated, table.rows, "vmid must be unique", table.vmid))
    arrival = table.numbers["at"]
    late = ~in_order(arrival)
    table = table.select(problems.mark(late, table.rows, "at must not be before an earlier row's", arrival))
    return table.numbers["cpu"], table.numbers["mem"], table.numbers["at"], table.numbers["lt"], None


def _from_events(table: CsvTable, problems: RowProblems) -> Columns:
    """Join creations and deletions by vmid, in order of creation.

    The order of events within one second is free: logs put deletions before creations or after them.
    """
    time = table.numbers["time"]
    table = table.select(
        problems.mark(~in_order(time), table.rows, "time must not be before an earlier row's", time)
    )
    vm = table.vmid.number
    vms = len(table.vmid.texts)
    deletes = table.numbers["type"] == 1
    create_rows, delete_rows = np.flatnonzero(~deletes), np.flatnonzero(deletes)

    def first_of_vm(which: Rows, complaint: str) -> Rows:
        ids = table.vmid.select(which)
        return which[problems.mark(ids.repeated, table.rows[which], complaint, ids)]

    create_rows = first_of_vm(create_rows, "a VM must be created once")
    delete_rows = first_of_vm(delete_rows, "a VM must be deleted once")
    created_at = np.full(vms, np.nan)
    created_at[vm[create_rows]] = table.numbers["time"][create_rows]
    deleted_at = table.numbers["time"][delete_rows]
    too_early = ~(deleted_at >= created_at[vm[delete_rows]])  # also true where there is no creation
    complaint = "a deletion must follow the creation of the VM"
    delete_rows = delete_rows[
        problems.mark(too_early, table.rows[delete_rows], complaint, table.vmid.select(delete_rows))
    ]
    lifetimes = np.full(vms, np.inf)
    lifetimes[vm[delete_rows]] = table.numbers["time"][delete_rows] - created_at[vm[delete_rows]]
    lifetime = lifetimes[vm[create_rows]]
    row_of_deletion = np.full(vms, len(vm))
    row_of_deletion[vm[delete_rows]] = delete_rows
    complaint = "a VM must not be deleted in the second of its creation"
    lasting = problems.mark(lifetime == 0, table.rows[create_rows], complaint, table.vmid.select(create_rows))
    create_rows = create_rows[lasting]
    cpu, memory, arrival = (table.numbers[name][create_rows] for name in ("cpu", "mem", "time"))
    deleted_before = np.searchsorted(create_rows, row_of_deletion[vm[create_rows]]).astype(np.float64)
    return cpu, memory, arrival, lifetime[lasting], deleted_before


def _read_npy(file: Path, skip_invalid: bool, never_ending: NeverEnding) -> TraceReading:
    array = map_array(file)
    if array.dtype != np.float64 or array.ndim != 2 or len(array) != 4 or not array.flags.c_contiguous:
        raise UserError(
            f"{file}: {array.dtype} array of shape {array.shape}; a trace is float64 of shape (4, n) in C "
            "order: cpu, memory, arrival, lifetime"
        )
    columns = dict(zip(("cpu", "mem", "at", "lt"), array, strict=True))
    index = np.arange(array.shape[1])
    problems = RowProblems(str(file), unit="column", skip=skip_invalid)
    # An infinite lifetime is how this form says that a VM never ends.
    finite = {**columns, "lt": np.where(columns["lt"] == np.inf, 1.0, columns["lt"])}
    good = valid_numbers(finite, index, problems)
    late = np.zeros(len(good), dtype=bool)
    late[good] = ~in_order(columns["at"][good])
    good &= problems.mark(late, index, "at must not be before an earlier column's", columns["at"])
    skipped = problems.finish()
    # A slice, unlike a mask, leaves the memory-mapped file in place.
    cpu, memory, arrival, lifetime = array if good.all() else array[:, good]
    return _finish(file, (cpu, memory, arrival, lifetime, None), never_ending, array.shape[1], skipped)


def _finish(
    file: Path, columns: Columns, never_ending: NeverEnding, rows: int, skipped: dict[str, int]
) -> TraceReading:
    cpu, memory, arrival, lifetime, deleted_before = columns
    name = file.name.removesuffix(".gz").removesuffix(".csv").removesuffix(".npy")
    trace = VmTrace(cpu, memory, arrival, lifetime, name, deleted_before)
    ends = np.isfinite(trace.lifetime)
    if never_ending == "drop" and not ends.all():
        trace = trace.select(ends)
    return TraceReading(trace, ReadReport(rows, len(trace), int((~ends).sum()), skipped))
