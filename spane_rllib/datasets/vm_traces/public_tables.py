"""Public tables of VMs and tasks as traces, where their fields allow it.

What a table cannot say (a size above its largest bucket, the beginning of a VM that ran before the records
begin) is not made up: such rows are dropped and counted by reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.table import Floats, Table, read_table
from spane_rllib.datasets.task_events import GOOGLE_2011, GOOGLE_2019, EventForm, request_column, task_spans
from spane_rllib.datasets.text import MAX_LINES
from spane_rllib.datasets.vm_traces.azure_packing import read_azure_packing
from spane_rllib.datasets.vm_traces.checks import LARGEST
from spane_rllib.datasets.vm_traces.readers import NeverEnding, ReadReport, TraceReading
from spane_rllib.datasets.vm_traces.trace import VmTrace

_AZURE = (
    *("vmid", "subscriptionid", "deploymentid", "vmcreated", "vmdeleted", "maxcpu", "avgcpu", "p95maxcpu"),
    *("vmcategory", "vmcorecount", "vmmemory"),
)
_ALIBABA_TASKS = (
    *("task_name", "instance_num", "job_name", "task_type", "status", "start_time", "end_time"),
    *("plan_cpu", "plan_mem"),
)
_AFTER_THE_END = 2.0**62 / 1e6  # seconds: Google writes 2^63 - 1 us for what ends after the records do


@dataclass
class _Rows:
    """VMs of a table, dropped reason by reason."""

    cpu: Floats
    memory: Floats
    arrival: Floats
    lifetime: Floats
    rows: int
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, which: npt.NDArray[np.bool_], reason: str) -> None:
        """Without the VMs where `which` holds."""
        if which.any():
            self.dropped[reason] = self.dropped.get(reason, 0) + int(which.sum())
            for name in ("cpu", "memory", "arrival", "lifetime"):
                setattr(self, name, getattr(self, name)[~which])


def read_public(
    path: str | os.PathLike[str],
    form: str,
    *,
    machine: tuple[float, float] | None = None,
    never_ending: NeverEnding = "drop",
) -> TraceReading:
    """Read a public table; the trace is in order of arrival and begins at second 0.

    Args:
        path: the file; text may be gzip.
        form: one of `catalog.PUBLIC_FORMS`.
        machine: cores and GiB of the machine whose shares the table has; needed by `SHARES`.
        never_ending: what becomes of VMs without an end.

    Raises:
        UserError: the file is not of this form, `machine` is missing or not needed, or no VM is left.
    """
    file = Path(path)
    if (machine is not None) != (form in SHARES):
        raise UserError(
            f"--form {form} has shares of a machine; say what one has, as in --machine 64x256"
            if machine is None
            else f"--machine: --form {form} has cores and GiB, no shares"
        )
    vms = _READERS[form](file, machine or (1.0, 1.0))
    vms.drop(~((vms.cpu > 0) & (vms.memory > 0)), "no cores or no memory")
    vms.drop(~(vms.lifetime > 0), "no lifetime")
    numbers = (vms.cpu, vms.memory, vms.arrival, np.where(vms.lifetime == np.inf, 0, vms.lifetime))
    vms.drop(np.any([~(np.abs(values) <= LARGEST) for values in numbers], axis=0), "a number beyond 2^53")
    ends = np.isfinite(vms.lifetime)
    unfinished = int((~ends).sum())
    order = np.argsort(vms.arrival, kind="stable")
    if never_ending == "drop":
        order = order[ends[order]]
    if not len(order):
        raise UserError(f"{file}: no VM is left of {vms.rows:,} rows; is it of the form {form}?")
    arrival = vms.arrival[order]
    name = file.name.removesuffix(".gz").removesuffix(".csv").removesuffix(".sqlite")
    trace = VmTrace(vms.cpu[order], vms.memory[order], arrival - arrival[0], vms.lifetime[order], name)
    return TraceReading(trace, ReadReport(vms.rows, len(trace), unfinished, vms.dropped))


def _azure_packing(file: Path, machine: tuple[float, float]) -> _Rows:
    """Azure 2020, SQLite: shares of the machine that most VMs may run on; days."""
    found = read_azure_packing(file)
    vms = _Rows(found.core * machine[0], found.memory * machine[1], found.start, found.end, len(found.core))
    vms.lifetime = (vms.lifetime - vms.arrival) * 86_400.0
    vms.arrival = vms.arrival * 86_400.0
    vms.drop(np.isnan(vms.cpu), f"a VM type that machine {found.machine} cannot hold")
    vms.drop(vms.arrival < 0, "began before the records did")
    return vms


def _azure(file: Path, _: tuple[float, float]) -> _Rows:
    """Azure 2017 and 2019, `vmtable`: cores, GiB, seconds; in 2019 sizes of buckets, the last one open."""
    table = read_table(file, _AZURE)
    cores = next((name for name in ("vmcorecount", "vmcorecountbucket") if table.has(name)), "vmcorecount")
    memory = next((name for name in ("vmmemory", "vmmemorybucket") if table.has(name)), "vmmemory")
    start = table.numbers("vmcreated", low=0.0)
    end = table.numbers("vmdeleted", low=0.0, empty=np.inf)
    unknown = np.zeros(len(start), bool)
    sizes = []
    for name in (cores, memory):
        open_bucket = table.text(name).str.strip().str.startswith(">") if table.has(name) else unknown
        unknown = unknown | np.asarray(open_bucket)
        closed = table.rows.assign(**{name: table.text(name).where(~np.asarray(open_bucket), "1")})
        sizes.append(Table(table.file, closed, table.first).numbers(name, low=0.0))
    vms = _Rows(sizes[0], sizes[1], start, end - start, len(start))
    vms.drop(unknown, "a size above the largest bucket")
    return vms


def _alibaba2018(file: Path, machine: tuple[float, float]) -> _Rows:
    """Alibaba 2018, `batch_task`: an instance is a VM; percent of a core, of the largest memory; seconds."""
    table = read_table(file, _ALIBABA_TASKS)
    instances = table.numbers("instance_num", low=0.0, empty=1)
    if instances.sum() > MAX_LINES:
        raise UserError(f"{file}: {instances.sum():,.0f} instances; read are at most {MAX_LINES:,}")
    start, end = table.numbers("start_time", empty=0), table.numbers("end_time", empty=0)
    cores, memory = table.numbers("plan_cpu", empty=0), table.numbers("plan_mem", empty=0)
    count = instances.astype(np.int64)
    lifetime = np.where(end > 0, end - start, np.inf)
    columns = np.stack([cores / 100, memory / 100 * machine[1], start, lifetime])
    cpu, gib, arrival, lasting = np.repeat(columns, count, axis=1)
    vms = _Rows(cpu, gib, arrival, lasting, len(count))
    vms.drop(vms.arrival <= 0, "began before the records did")
    return vms


def _google(form: EventForm) -> Callable[[Path, tuple[float, float]], _Rows]:
    def read(file: Path, machine: tuple[float, float]) -> _Rows:
        """A task is a VM, from its first SUBMIT; it runs from its last SCHEDULE to its end."""
        import pandas as pd

        table = read_table(file, form.headless)
        cpu = request_column(table, ("cpu_request", "resource_request.cpus", "cpus"), "CPUs")
        memory = request_column(table, ("memory_request", "resource_request.memory", "memory"), "memory")
        columns = pd.DataFrame(
            {"cpu": table.numbers(cpu, low=0.0, empty=0), "memory": table.numbers(memory, low=0.0, empty=0)}
        )
        spans = task_spans(table, form, form.ended, columns)
        submitted, begun, over = (spans[name].to_numpy(float) for name in ("submitted", "begun", "over"))
        # An end before the last start is that of an earlier attempt.
        running = np.isnan(over) | (over < begun) | (over > _AFTER_THE_END)
        lifetime = np.where(running, np.inf, over - begun)
        sizes = (spans["cpu"].to_numpy(float) * machine[0], spans["memory"].to_numpy(float) * machine[1])
        vms = _Rows(*sizes, submitted, lifetime, len(table.rows))
        vms.drop(submitted <= 0, "submitted before the records begin")
        return vms

    return read


_READERS: dict[str, Callable[[Path, Any], _Rows]] = {
    "azure-packing2020": _azure_packing,
    "azure-vmtable": _azure,
    "alibaba2018": _alibaba2018,
    "google2011": _google(GOOGLE_2011),
    "google2019": _google(GOOGLE_2019),
}
SHARES = ("azure-packing2020", "alibaba2018", "google2011", "google2019")
