"""A mapping as two plain tables, CSV or Parquet: `NAME.machines.csv` and `NAME.vms.csv` (or `.parquet`).

Machines: `machine`, `cores_0`, `cores_1`, `memory_0`, `memory_1` (MB). VMs: `vm`, `type`, `cores`, `memory`
(MB), `machine`, `node` (0 or 1, -1 for a double VM) and `group` (text, empty for none).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.files import replacing
from spane_rllib.problems.vm_rescheduling.mappings.mapping import Integers, Mapping

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".machines.csv", ".machines.parquet")
_MACHINES = ("cores_0", "cores_1", "memory_0", "memory_1")
_VMS = ("cores", "memory", "node")


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
        UserError: names the file and the machine or VM that is wrong.
    """
    machines_file, vms_file = _pair(Path(path))
    machines = _read(machines_file, ("machine", *_MACHINES))
    vms = _read(vms_file, ("vm", "machine", *_VMS))
    names, ids = machines["machine"].tolist(), vms["vm"].tolist()
    for file, found in ((machines_file, names), (vms_file, ids)):
        if len(set(found)) < len(found):
            twice = next(name for row, name in enumerate(found) if found.index(name) != row)
            raise UserError(one_line(f"{file}: {twice} is there twice"))
    capacity = [_whole(machines, machines_file, column, "machine", 0) for column in _MACHINES]
    cores, memory, node = (
        _whole(vms, vms_file, column, "vm", low) for column, low in zip(_VMS, (1, 0, -1), strict=True)
    )
    numbers = {name: row for row, name in enumerate(names)}
    double = node < 0
    for row, name in enumerate(vms["machine"].tolist()):
        if name not in numbers:
            raise UserError(
                one_line(f"{vms_file}: VM {ids[row]}: its machine {name} is not in {machines_file}")
            )
        if node[row] > 1:
            raise UserError(one_line(f"{vms_file}: VM {ids[row]}: node must be 0, 1 or -1, got {node[row]}"))
        if double[row] and (cores[row] % 2 or memory[row] % 2):
            raise UserError(one_line(f"{vms_file}: VM {ids[row]}: is on both nodes, but is not even"))
    groups = vms["group"].fillna("").astype(str).tolist() if "group" in vms else [""] * len(ids)
    group_ids = tuple(dict.fromkeys(name for name in groups if name))
    of_group = {name: number for number, name in enumerate(group_ids)} | {"": -1}
    return Mapping(
        name=machines_file.name.partition(".machines.")[0],
        machine_ids=tuple(names),
        capacity_cores=np.stack(capacity[:2], axis=1),
        capacity_memory=np.stack(capacity[2:], axis=1),
        vm_ids=tuple(ids),
        vm_types=tuple(vms["type"].astype(str)) if "type" in vms else ("",) * len(ids),
        cores=cores,
        memory=memory,
        double=double,
        machine=np.array([numbers[name] for name in vms["machine"]], np.int64),
        node=np.where(double, 0, node),
        group=np.array([of_group[name] for name in groups], np.int64),
        group_ids=group_ids,
    ).checked(str(machines_file))


def _pair(path: Path) -> tuple[Path, Path]:
    return path, path.with_name(path.name.replace(".machines.", ".vms."))


def _read(file: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    try:
        if file.suffix == ".parquet":
            table = pd.read_parquet(file)
        else:
            table = pd.read_csv(file, dtype={"machine": str, "vm": str, "type": str, "group": str})
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
    except Exception as error:  # whatever a parser of damaged files raises
        raise UserError(one_line(f"{file}: is damaged: {error}")) from error
    for column in columns:
        if column not in table:
            raise UserError(f"{file}: has no column {column}; needs {', '.join(columns)}")
    if table.empty:
        raise UserError(f"{file}: has no rows")
    return table


def _whole(table: pd.DataFrame, file: Path, column: str, name: str, least: int) -> Integers:
    values = table[column]
    good = values.map(lambda value: isinstance(value, int | float) and value == value // 1)
    good &= values.map(lambda value: least <= value <= 10**9) if good.all() else good
    if not good.all():
        row = int((~good).to_numpy().argmax())
        raise UserError(
            one_line(
                f"{file}: {table[name].iloc[row]}: {column} must be a whole number from {least}, "
                f"got {values.iloc[row]!r}"
            )
        )
    return values.to_numpy().astype(np.int64)
