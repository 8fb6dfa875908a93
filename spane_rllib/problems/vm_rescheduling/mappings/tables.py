"""A mapping as two plain tables, CSV or Parquet: `NAME.machines.csv` and `NAME.vms.csv` (or `.parquet`).

Machines: `machine`, `cores_0`, `cores_1`, `memory_0`, `memory_1` (MB). VMs: `vm`, `type`, `cores`, `memory`
(MB), `machine`, `node` (0 or 1, -1 for a double VM) and `group` (text, empty for none).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.files import replacing
from spane_rllib.core.reading import opened
from spane_rllib.datasets.table import Table, read_table
from spane_rllib.problems.vm_rescheduling.mappings.mapping import Integers, Mapping

SUFFIXES = (".machines.csv", ".machines.parquet")
_MACHINES = ("cores_0", "cores_1", "memory_0", "memory_1")
_VMS = ("cores", "memory", "node")
_MOST = 10**9  # cores or MB of anything: products of these fit into 64 bits
_ROWS, _COLUMNS = 10**6, 100  # of a Parquet file, which may be tiny and unpack to any size


def write_tables(mapping: Mapping, path: str | Path) -> None:
    """Write both tables; `path` is that of the machines, ending in one of `SUFFIXES`."""
    import pandas as pd

    machines, vms = _pair(Path(path))
    capacity = np.concatenate([mapping.capacity_cores, mapping.capacity_memory], axis=1)
    first = pd.DataFrame(capacity, columns=list(_MACHINES))
    first.insert(0, "machine", mapping.machine_ids)
    second = pd.DataFrame(
        {
            "vm": mapping.vm_ids,
            "type": mapping.vm_types,
            "cores": mapping.cores,
            "memory": mapping.memory,
            "machine": [mapping.machine_ids[machine] for machine in mapping.machine],
            "node": np.where(mapping.double, -1, mapping.node),
            "group": ["" if group < 0 else mapping.group_ids[group] for group in mapping.group],
        }
    )
    for file, table in ((machines, first), (vms, second)):
        with replacing(file) as temporary:
            if file.suffix == ".csv":
                table.to_csv(temporary, index=False)
            else:
                table.to_parquet(temporary, index=False)


def read_tables(path: str | Path) -> Mapping:
    """The mapping whose table of machines this is.

    Raises:
        UserError: names the file and the row, machine or VM that is wrong.
    """
    machines_file, vms_file = _pair(Path(path))
    machines, vms = _read(machines_file), _read(vms_file)
    names, ids = _ids(machines, "machine"), _ids(vms, "vm")
    capacity = [_whole(machines, column, 0) for column in _MACHINES]
    cores, memory, node = (_whole(vms, column, low) for column, low in zip(_VMS, (1, 0, -1), strict=True))
    numbers = {name: row for row, name in enumerate(names)}
    places = vms.text("machine").tolist()
    double = node < 0
    for row, name in enumerate(places):
        if name not in numbers:
            raise _wrong(vms, row, f"VM {ids[row]}: its machine {name} is not in {machines_file}")
        if node[row] > 1:
            raise _wrong(vms, row, f"VM {ids[row]}: node must be 0, 1 or -1, got {node[row]}")
        if double[row] and (cores[row] % 2 or memory[row] % 2):
            raise _wrong(vms, row, f"VM {ids[row]}: is on both nodes, but is not even")
    groups = vms.text("group").tolist() if vms.has("group") else [""] * len(ids)
    group_ids = tuple(dict.fromkeys(name for name in groups if name))
    of_group = {name: number for number, name in enumerate(group_ids)} | {"": -1}
    return Mapping(
        name=machines_file.name.partition(".machines.")[0],
        machine_ids=tuple(names),
        capacity_cores=np.stack(capacity[:2], axis=1),
        capacity_memory=np.stack(capacity[2:], axis=1),
        vm_ids=tuple(ids),
        vm_types=tuple(vms.text("type")) if vms.has("type") else ("",) * len(ids),
        cores=cores,
        memory=memory,
        double=double,
        machine=np.array([numbers[name] for name in places], np.int64),
        node=np.where(double, 0, node),
        group=np.array([of_group[name] for name in groups], np.int64),
        group_ids=group_ids,
    ).checked(str(machines_file))


def _pair(path: Path) -> tuple[Path, Path]:
    return path, path.with_name(path.name.replace(".machines.", ".vms."))


def _read(file: Path) -> Table:
    table = read_table(file) if file.suffix == ".csv" else _read_parquet(file)
    if table.rows.empty:
        raise UserError(f"{file}: has no rows")
    return table


def _read_parquet(file: Path) -> Table:
    from pyarrow.parquet import ParquetFile

    with opened(file) as stream:
        try:
            content = ParquetFile(stream)
            rows, columns = content.metadata.num_rows, content.metadata.num_columns
            if rows > _ROWS or columns > _COLUMNS:
                raise UserError(
                    f"{file}: {rows:,} rows of {columns:,} columns; read are at most {_ROWS:,} and {_COLUMNS}"
                )
            frame = content.read().to_pandas()
        except (UserError, MemoryError):
            raise
        except Exception as error:  # whatever a parser of damaged files raises
            raise UserError(one_line(f"{file}: is damaged: {error}")) from error
    return Table(file, frame.astype(object).where(frame.notna(), "").astype(str), 1)


def _ids(table: Table, column: str) -> list[str]:
    """Names that must differ."""
    names = table.text(column).tolist()
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        if first.setdefault(name, row) != row:
            raise _wrong(table, row, f"{column} {name} is there twice")
    return names


def _whole(table: Table, column: str, least: int) -> Integers:
    values = table.numbers(column, low=least, high=_MOST)
    wrong = np.flatnonzero(values % 1)
    if len(wrong):
        raise _wrong(table, wrong[0], f"{column} must be a whole number, got {values[wrong[0]]:g}")
    return values.astype(np.int64)


def _wrong(table: Table, row: int, text: str) -> UserError:
    return table.complain(int(row), one_line(text))
