"""Fragmentation gradient descent: place where the least capacity for the flavours of the trace is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import inlined
from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.simulator.cluster import NODES_PER_SERVER
from spane_rllib.problems.vm_scheduling.simulator.rules import CPU, DOUBLE, MEMORY, fits_slot
from spane_rllib.problems.vm_scheduling.simulator.workload import Workload

_MEMO_ROWS = 64  # a power of 2
_LARGEST_TABLE = 2**26  # entries, of 4 bytes each


class FragmentationArrays(NamedTuple):
    """A `FragmentationGradient` in the units of a workload, and the costs it has found."""

    hosted_by_cpu: npt.NDArray[np.int32]  # (C + 1, F) VMs of each flavour by the free cpu of a node
    hosted_by_memory: npt.NDArray[np.int32]  # (M + 1, F) the same by its free memory
    double: npt.NDArray[np.bool_]  # (F,) whether a VM of the flavour is on both nodes
    weights: npt.NDArray[np.float64]  # (F,)
    fullness: float
    imbalance: float
    siblings: float
    exits: float  # for each bucket by which a VM delays the exit of its server
    discount: npt.NDArray[np.float64]  # (N,) taken off the cost of each server, for siblings or exits
    # Few servers change between two VMs of one kind, so costs are remembered with the free units they are
    # true for. Kind k has row k modulo R; zeros stand for a full server, where nothing is placed.
    kind: npt.NDArray[np.int32]  # (n,) as Workload.kind
    memo_kind: npt.NDArray[np.int32]  # (R,) the kind whose costs the row holds
    memo_free: npt.NDArray[np.int32]  # (R, N, 4) free units of cpu on both nodes, then of memory
    memo_cost: npt.NDArray[np.float64]  # (R, N, 2) cost of placing on either node


@dataclass(frozen=True)
class FragmentationGradient:
    """Parameters of `fgd`, after Fragmentation Gradient Descent (USENIX ATC 2023) applied to NUMA servers.

    A placement costs sum over flavours of weight * (VMs of the flavour the server alone could host before -
    after) + fullness * (share of the server's two nodes that is free before); the cheapest wins.

    Args:
        flavours: (cpu, GiB) pairs.
        weights: one weight per flavour.
        fullness: weight of the server-best-fit term.
    """

    flavours: tuple[tuple[float, float], ...]
    weights: tuple[float, ...]
    fullness: float = 0.0

    def __post_init__(self) -> None:
        if len(self.flavours) != len(self.weights):
            raise UserError(
                f"fgd: {len(self.flavours)} flavours but {len(self.weights)} weights; give one for each"
            )
        if not np.isfinite([*np.ravel(self.flavours), *self.weights, self.fullness]).all():
            raise UserError("fgd: flavours, weights and fullness must be finite numbers")

    @classmethod
    def of_trace(
        cls, trace: VmTrace, first: int = 0, last: int | None = None, fullness: float = 1.0
    ) -> FragmentationGradient:
        """Flavours of rows [first, last), weighted sqrt(share of arrivals) * cpu; give the training rows."""
        # Complex numbers sort like pairs, ten times as fast as rows do.
        sizes = trace.cpu[first:last] + 1j * trace.memory[first:last]
        flavours, counts = np.unique(sizes, return_counts=True)
        weights = np.sqrt(counts / counts.sum()) * flavours.real
        pairs = tuple((float(size.real), float(size.imag)) for size in flavours)
        return cls(pairs, tuple(map(float, weights)), fullness)

    def compile(self, workload: Workload, servers: int) -> FragmentationArrays:
        """The same in the workload's units; a flavour too fine for them is rounded up."""
        need = np.zeros((len(self.flavours), 3), np.int32)
        for row, (cpu, memory) in enumerate(self.flavours):
            double = bool(workload.is_double(cpu, memory))
            scale = workload.units_per_core / (NODES_PER_SERVER if double else 1)
            # Less than a millionth of a unit is a rounding error of the product, not a finer flavour.
            units = (max(1, np.ceil(size * scale - 1e-6)) for size in (cpu, memory))
            need[row] = *units, double
        capacity = workload.arrays.capacity[0]
        if (int(capacity.max()) + 1) * len(need) > _LARGEST_TABLE:
            raise UserError(
                f"fgd: {len(need)} flavours on nodes of {capacity.max()} units need too large a table; "
                f"give fewer flavours or round cpu and memory to coarser units"
            )
        # Tables, since divisions would be most of the time that fgd takes.
        by_cpu, by_memory = (
            np.arange(capacity[resource] + 1, dtype=np.int32)[:, None] // need[:, resource]
            for resource in (CPU, MEMORY)
        )
        return FragmentationArrays(
            by_cpu,
            by_memory,
            need[:, DOUBLE].astype(np.bool_),
            np.array(self.weights, np.float64),
            float(self.fullness),
            0.0,
            0.0,
            0.0,
            np.zeros(servers),
            workload.kind,
            np.full(_MEMO_ROWS, -1, np.int32),
            np.zeros((_MEMO_ROWS, servers, 4), np.int32),
            np.zeros((_MEMO_ROWS, servers, 2), np.float64),
        )


KEEP_64 = FragmentationGradient(flavours=((64.0, 128.0),), weights=(1.0,), fullness=0.0)

NO_FLAVOURS = FragmentationGradient(flavours=(), weights=())

NO_FRAGMENTATION = FragmentationArrays(
    np.zeros((0, 0), np.int32),
    np.zeros((0, 0), np.int32),
    np.zeros(0, np.bool_),
    np.zeros(0),
    0.0,
    0.0,
    0.0,
    0.0,
    np.zeros(0),
    np.zeros(0, np.int32),
    np.zeros(0, np.int32),
    np.zeros((0, 0, 4), np.int32),
    np.zeros((0, 0, 2)),
)


@inlined
def capacity_lost(
    free: npt.NDArray[np.int32], need: npt.NDArray[np.int32], slot: int, fragmentation: FragmentationArrays
) -> float:
    """Weighted sum over flavours of the VMs the server could host before - after placing `need` on `slot`.

    Weighted too, the change of the difference between the free CPU shares of its nodes is added.
    """
    by_cpu, by_memory = fragmentation.hosted_by_cpu, fragmentation.hosted_by_memory
    sibling = slot ^ 1
    cpu, memory = by_cpu[free[CPU, slot]], by_memory[free[MEMORY, slot]]
    sibling_cpu, sibling_memory = by_cpu[free[CPU, sibling]], by_memory[free[MEMORY, sibling]]
    cpu_after = by_cpu[free[CPU, slot] - need[CPU]]
    memory_after = by_memory[free[MEMORY, slot] - need[MEMORY]]
    # A small VM leaves the sibling as it is.
    sibling_cpu_after = by_cpu[free[CPU, sibling] - need[DOUBLE] * need[CPU]]
    sibling_memory_after = by_memory[free[MEMORY, sibling] - need[DOUBLE] * need[MEMORY]]
    lost = 0.0
    for flavour in range(len(fragmentation.weights)):
        before = min(cpu[flavour], memory[flavour])
        sibling_before = min(sibling_cpu[flavour], sibling_memory[flavour])
        after = min(cpu_after[flavour], memory_after[flavour])
        sibling_after = min(sibling_cpu_after[flavour], sibling_memory_after[flavour])
        if fragmentation.double[flavour]:
            fewer = min(before, sibling_before) - min(after, sibling_after)
        else:
            fewer = before + sibling_before - after - sibling_after
        lost += fragmentation.weights[flavour] * fewer
    if fragmentation.imbalance != 0.0 and not need[DOUBLE]:
        before = free[CPU, slot] - free[CPU, sibling]
        added = (abs(before - need[CPU]) - abs(before)) / (len(by_cpu) - 1)
        lost += fragmentation.imbalance * added
    return lost


@inlined
def least_fragmenting(
    free: npt.NDArray[np.int32],
    room: npt.NDArray[np.int32],
    share: npt.NDArray[np.float64],
    need: npt.NDArray[np.int32],
    kind: int,
    fragmentation: FragmentationArrays,
) -> int:
    """The slot of least cost, then as server best fit, for a VM of `need`; -1 if none has `room` for it.

    `kind` is that of the VM in `Workload.kind`.
    """
    row = kind & (_MEMO_ROWS - 1)
    memo_free, memo_cost = fragmentation.memo_free[row], fragmentation.memo_cost[row]
    if fragmentation.memo_kind[row] != kind:
        fragmentation.memo_kind[row] = kind
        memo_free[:] = 0
    chosen, least_cost, least_server, most_node = -1, np.inf, np.inf, 0.0
    for first in range(0, free.shape[1], 2):
        fits_0, fits_1 = fits_slot(room, need, first), fits_slot(room, need, first + 1)
        if not (fits_0 or fits_1):
            continue
        server = share[first] + share[first + 1]
        known, cost = memo_free[first >> 1], memo_cost[first >> 1]
        if not (
            (known[0] == free[CPU, first])
            & (known[1] == free[CPU, first + 1])
            & (known[2] == free[MEMORY, first])
            & (known[3] == free[MEMORY, first + 1])
        ):
            known[0], known[1] = free[CPU, first], free[CPU, first + 1]
            known[2], known[3] = free[MEMORY, first], free[MEMORY, first + 1]
            full = fragmentation.fullness * server
            # Whoever remembers them may have more room.
            if fits_slot(free, need, first):
                cost[0] = capacity_lost(free, need, first, fragmentation) + full
            if fits_slot(free, need, first + 1):
                cost[1] = capacity_lost(free, need, first + 1, fragmentation) + full
        for node in range(2):
            if not (fits_1 if node else fits_0):
                continue
            slot, own = first + node, cost[node] - fragmentation.discount[first >> 1]
            if own <= least_cost and (
                own < least_cost
                or server < least_server
                or (server == least_server and share[slot] > most_node)
            ):
                chosen, least_cost, least_server, most_node = slot, own, server, share[slot]
    return chosen
