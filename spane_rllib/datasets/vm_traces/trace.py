"""The VM trace: what arrives when, how large it is and how long it runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class VmTrace:
    """An immutable trace as columns, one row per VM in order of arrival.

    Args:
        cpu: (n,) CPU cores.
        memory: (n,) memory, GiB.
        arrival: (n,) arrival time, seconds, not decreasing.
        lifetime: (n,) running time, seconds, positive; `inf` for a VM that never ends.
        name: what to call the trace in tables and reports.
        deleted_before: (n,) row of the first VM that was created after the VM's deletion, n if none was;
            None where the source does not tell the order of events within a second. Not part of the hash.

    The arrays are made read-only and never copied when they already are contiguous float64: pickled with
    protocol 5 (Ray's object store) or memory-mapped, every process of a node shares one copy.
    Readers validate; this class only checks shapes.
    """

    cpu: Column
    memory: Column
    arrival: Column
    lifetime: Column
    name: str = "trace"
    deleted_before: Column | None = None

    def __post_init__(self) -> None:
        optional = () if self.deleted_before is None else ("deleted_before",)
        for field in ("cpu", "memory", "arrival", "lifetime", *optional):
            column = np.ascontiguousarray(getattr(self, field), dtype=np.float64)
            if column.ndim != 1 or len(column) != len(self.cpu):
                raise ValueError(
                    f"{field} must be one-dimensional and as long as cpu, got shape {column.shape}"
                )
            view = column.view()
            view.flags.writeable = False
            object.__setattr__(self, field, view)

    def __deepcopy__(self, memo: object) -> VmTrace:
        """The trace itself: RLlib deep-copies configurations, and nobody can change a trace."""
        return self

    def __len__(self) -> int:
        return len(self.cpu)

    def select(self, kept: npt.NDArray[np.bool_]) -> VmTrace:
        """The VMs where `kept` (n,) holds, under the same name."""
        columns = (self.cpu[kept], self.memory[kept], self.arrival[kept], self.lifetime[kept])
        deleted_before = None
        if self.deleted_before is not None:
            row_among_kept = np.concatenate([[0], np.cumsum(kept)])
            deleted_before = row_among_kept[self.deleted_before[kept].astype(np.int64)]
        return VmTrace(*columns, self.name, deleted_before)

    def denser(self, factor: float) -> VmTrace:
        """The same VMs, running as long, but arriving `factor` times as densely: so much larger a cluster
        has the same load."""
        arrival = self.arrival / factor
        return VmTrace(self.cpu, self.memory, arrival, self.lifetime, f"{self.name}-x{factor:g}")

    @cached_property
    def sha256(self) -> str:
        """Hash of the content (not of any file it was read from), in hexadecimal."""
        digest = hashlib.sha256()
        for column in (self.cpu, self.memory, self.arrival, self.lifetime):
            digest.update(column.astype("<f8", copy=False).tobytes())
        return digest.hexdigest()
