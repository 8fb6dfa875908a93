"""The Azure Trace for Packing 2020: an SQLite file with the tables `vm` and `vmType`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.reading import opened
from spane_rllib.datasets.table import Floats
from spane_rllib.datasets.text import MAX_LINES

_MAGIC = b"SQLite format 3\x00"
_MAX_TYPES = 100_000
_NUMBERS = "typeof({0}) in ('integer', 'real')"


@dataclass(frozen=True)
class PackingVms:
    """VMs in the order of the file.

    Args:
        machine: of whose resources the shares are: the one on which most VMs may run.
        core, memory: (n,) shares of that machine, NaN for VMs that it cannot hold.
        start: (n,) days since the records begin; negative for VMs that ran before.
        end: (n,) days, infinite for VMs that outlived the records.
    """

    machine: int
    core: Floats
    memory: Floats
    start: Floats
    end: Floats


def read_azure_packing(file: Path) -> PackingVms:
    """Read the published file; a `UserError` if it is no SQLite file with these tables.

    SQL that strangers have put into the file is not run: only tables are read, without what a schema can
    hang on them.
    """
    with opened(file) as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise UserError(f"{file}: no SQLite file; unpack AzurePackingTraceV1.zip and give what is in it")
    try:
        # immutable: no lock and no journal beside it are looked at, nothing is written.
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as base:
            base.execute("PRAGMA trusted_schema = OFF")
            base.execute("PRAGMA cell_size_check = ON")
            return _read(base, file)
    except (sqlite3.Error, OverflowError) as error:
        raise UserError(f"{file}: not the published SQLite file: {one_line(str(error))}") from error


def _read(base: sqlite3.Connection, file: Path) -> PackingVms:
    for table in ("vm", "vmType"):
        query = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ? AND rootpage > 0"
        if base.execute(query, (table,)).fetchone() != (1,):
            raise UserError(f"{file}: has no table {table}; the published file has the tables vm and vmType")
    types = base.execute(
        f"SELECT vmTypeId, machineId, core, memory FROM vmType LIMIT {_MAX_TYPES + 1}"
    ).fetchall()
    for name in ("vmTypeId", "machineId", "core", "memory"):
        _check(base, file, "vmType", name)
    for name in ("vmTypeId", "starttime", "endtime"):
        _check(base, file, "vm", name, nullable=name == "endtime")
    if len(types) > _MAX_TYPES:
        raise UserError(f"{file}: more than {_MAX_TYPES:,} rows of vmType")
    cursor = base.execute(f"SELECT vmTypeId, starttime, endtime FROM vm ORDER BY rowid LIMIT {MAX_LINES + 1}")
    rows = np.array(
        [(kind, start, np.inf if end is None else end) for kind, start, end in cursor], np.float64
    ).reshape(-1, 3)
    if len(rows) > MAX_LINES:
        raise UserError(f"{file}: more than {MAX_LINES:,} VMs")
    kinds, counts = np.unique(rows[:, 0], return_counts=True)
    asked = dict(zip(kinds.tolist(), counts.tolist(), strict=True))
    holds: dict[int, int] = {}
    for kind, machine, _, _ in types:
        holds[machine] = holds.get(machine, 0) + asked.get(float(kind), 0)
    if not holds:
        raise UserError(f"{file}: vmType is empty")
    chosen = min(holds, key=lambda machine: (-holds[machine], machine))
    sizes = {float(kind): (core, memory) for kind, machine, core, memory in types if machine == chosen}
    shares = np.array([sizes.get(kind, (np.nan, np.nan)) for kind in kinds.tolist()], np.float64)
    core, memory = shares.reshape(-1, 2)[np.searchsorted(kinds, rows[:, 0])].T
    return PackingVms(int(chosen), core, memory, rows[:, 1], rows[:, 2])


def _check(base: sqlite3.Connection, file: Path, table: str, column: str, nullable: bool = False) -> None:
    good = _NUMBERS.format(column) + (f" OR {column} IS NULL" if nullable else "")
    found = base.execute(f"SELECT rowid, {column} FROM {table} WHERE NOT ({good}) LIMIT 1").fetchone()
    if found is not None:
        raise UserError(
            f"{file}, table {table}, row {found[0]}: {column} must be a number, got {str(found[1])[:40]!r}"
        )
