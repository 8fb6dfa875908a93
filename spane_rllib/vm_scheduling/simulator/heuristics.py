"""Placement heuristics, compiled: they differ only in the slot they choose for the head of the queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.compiling import inlined
from spane_rllib.errors import UserError
from spane_rllib.traces.trace import VmTrace
from spane_rllib.vm_scheduling.heuristic_names import HEURISTICS
from spane_rllib.vm_scheduling.simulator.cluster import NODES_PER_SERVER
from spane_rllib.vm_scheduling.simulator.rules import CPU, DOUBLE, MEMORY, first_fit, fits_slot
from spane_rllib.vm_scheduling.simulator.workload import Workload

_NAMES = tuple(HEURISTICS)
FIRST_FIT, BEST_FIT, WORST_FIT, BALANCE_FIT, RANDOM, MOVE_TO_FRONT, SBF, FGD, _KEEP_64 = range(len(_NAMES))


class FragmentationArrays(NamedTuple):
    """A `FragmentationGradient` in the units of a workload."""

    flavours: npt.NDArray[np.int32]  # (F, 3) as WorkloadArrays.need
    weights: npt.NDArray[np.float64]  # (F,)
    fullness: float


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

    @classmethod
    def of_trace(
        cls, trace: VmTrace, first: int = 0, last: int | None = None, fullness: float = 1.0
    ) -> FragmentationGradient:
        """Flavours of rows [first, last), weighted sqrt(share of arrivals) * cpu; give the training rows."""
        sizes = np.stack([trace.cpu[first:last], trace.memory[first:last]], axis=1)
        flavours, counts = np.unique(sizes, axis=0, return_counts=True)
        weights = np.sqrt(counts / counts.sum()) * flavours[:, 0]
        pairs = tuple((float(cpu), float(memory)) for cpu, memory in flavours)
        return cls(pairs, tuple(map(float, weights)), fullness)

    def compile(self, workload: Workload) -> FragmentationArrays:
        """The same in the workload's units; a flavour too fine for them is rounded up."""
        threshold = workload.cluster.double_memory_threshold
        need = np.zeros((len(self.flavours), 3), np.int32)
        for row, (cpu, memory) in enumerate(self.flavours):
            double = memory > threshold
            scale = workload.units_per_core / (NODES_PER_SERVER if double else 1)
            # Less than a millionth of a unit is a rounding error of the product, not a finer flavour.
            units = (max(1, np.ceil(size * scale - 1e-6)) for size in (cpu, memory))
            need[row] = *units, double
        return FragmentationArrays(need, np.array(self.weights, np.float64), float(self.fullness))


KEEP_64 = FragmentationGradient(flavours=((64.0, 128.0),), weights=(1.0,), fullness=0.0)


@dataclass(frozen=True)
class Heuristic:
    """A heuristic by name; `fragmentation` holds the parameters of `fgd` and is ignored by the others."""

    name: str
    fragmentation: FragmentationGradient | None = None

    def __post_init__(self) -> None:
        if self.name not in HEURISTICS:
            raise UserError(f"{self.name}: not a heuristic; allowed are {', '.join(HEURISTICS)}")

    def compile(self, workload: Workload) -> tuple[int, FragmentationArrays]:
        """The code and parameters that `choose` takes."""
        code = _NAMES.index(self.name)
        if code == _KEEP_64:
            return FGD, KEEP_64.compile(workload)
        if code == FGD:
            gradient = self.fragmentation or FragmentationGradient.of_trace(workload.trace)
            return FGD, gradient.compile(workload)
        return code, _NO_FRAGMENTATION


_NO_FRAGMENTATION = FragmentationArrays(np.zeros((0, 3), np.int32), np.zeros(0), 0.0)


@inlined
def _remaining(free: npt.NDArray[np.int32], capacity: npt.NDArray[np.int32], slot: int) -> float:
    """min(free cpu / C, free memory / M) of a node.

    Float64 on purpose: ties of the reference are ties after rounding, and its figures depend on them.
    """
    return min(free[CPU, slot] / capacity[CPU], free[MEMORY, slot] / capacity[MEMORY])


@inlined
def _extreme_fit(
    free: npt.NDArray[np.int32], need: npt.NDArray[np.int32], capacity: npt.NDArray[np.int32], sign: int
) -> int:
    """Best Fit (`sign` = 1) or Worst Fit (-1)."""
    chosen, least = -1, 0.0
    step = 2 if need[DOUBLE] else 1
    for slot in range(0, free.shape[1], step):
        if fits_slot(free, need, slot):
            remaining = _remaining(free, capacity, slot)
            if need[DOUBLE]:
                remaining += _remaining(free, capacity, slot + 1)
            remaining *= sign
            if chosen < 0 or remaining < least:
                chosen, least = slot, remaining
    return chosen


@inlined
def _balance_fit(
    free: npt.NDArray[np.int32], need: npt.NDArray[np.int32], capacity: npt.NDArray[np.int32]
) -> int:
    if need[DOUBLE]:
        return first_fit(free, need)
    chosen, largest = -1, 0.0
    for first in range(0, free.shape[1], 2):
        fits_0, fits_1 = fits_slot(free, need, first), fits_slot(free, need, first + 1)
        if fits_0 or fits_1:
            difference = _remaining(free, capacity, first) - _remaining(free, capacity, first + 1)
            # A strict comparison from 0 leaves first fit's choice when every server is in balance.
            if chosen < 0 or abs(difference) > largest:
                largest = abs(difference)
                roomier = first if difference >= 0 else first + 1
                chosen = roomier if (fits_0 and fits_1) else (first if fits_0 else first + 1)
    return chosen


@inlined
def _random_fit(
    free: npt.NDArray[np.int32], need: npt.NDArray[np.int32], random: npt.NDArray[np.uint64]
) -> int:
    count = 0
    for slot in range(free.shape[1]):
        count += fits_slot(free, need, slot)
    if count == 0:
        return -1
    pick = np.int64(next_random(random) % np.uint64(count))
    for slot in range(free.shape[1]):
        if fits_slot(free, need, slot):
            if pick == 0:
                return slot
            pick -= 1
    return -1


@inlined
def next_random(random: npt.NDArray[np.uint64]) -> np.uint64:
    """The next number of the SplitMix64 generator whose state is `random` (1,)."""
    random[0] += np.uint64(0x9E3779B97F4A7C15)
    mixed = random[0]
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@inlined
def _capacity_for(
    flavour: npt.NDArray[np.int32], cpu_0: int, memory_0: int, cpu_1: int, memory_1: int
) -> int:
    """How many VMs of `flavour` a server with these free units could still host."""
    node_0 = min(cpu_0 // flavour[CPU], memory_0 // flavour[MEMORY])
    node_1 = min(cpu_1 // flavour[CPU], memory_1 // flavour[MEMORY])
    return min(node_0, node_1) if flavour[DOUBLE] else node_0 + node_1


@inlined
def _capacity_lost(
    free: npt.NDArray[np.int32], need: npt.NDArray[np.int32], slot: int, fragmentation: FragmentationArrays
) -> float:
    first = slot & ~1
    cpu_0, cpu_1 = free[CPU, first], free[CPU, first + 1]
    memory_0, memory_1 = free[MEMORY, first], free[MEMORY, first + 1]
    on_0, on_1 = need[DOUBLE] or slot == first, need[DOUBLE] or slot != first
    lost = 0.0
    for index in range(len(fragmentation.weights)):
        flavour = fragmentation.flavours[index]
        before = _capacity_for(flavour, cpu_0, memory_0, cpu_1, memory_1)
        if before == 0:
            continue
        after = _capacity_for(
            flavour,
            cpu_0 - on_0 * need[CPU],
            memory_0 - on_0 * need[MEMORY],
            cpu_1 - on_1 * need[CPU],
            memory_1 - on_1 * need[MEMORY],
        )
        lost += fragmentation.weights[index] * (before - after)
    return lost


@inlined
def _server_best_fit(
    free: npt.NDArray[np.int32],
    need: npt.NDArray[np.int32],
    capacity: npt.NDArray[np.int32],
    fragmentation: FragmentationArrays,
) -> int:
    """SBF, and FGD when there are flavours: least cost, then fullest server, roomier node, lowest slot."""
    chosen, least_cost, least_server, most_node = -1, 0.0, 0.0, 0.0
    step = 2 if need[DOUBLE] else 1
    for slot in range(0, free.shape[1], step):
        if not fits_slot(free, need, slot):
            continue
        node, sibling = _remaining(free, capacity, slot), _remaining(free, capacity, slot ^ 1)
        if need[DOUBLE] and sibling > node:
            # Both slots of the server are the same placement; name the roomier node, as the rule does.
            slot, node, sibling = slot + 1, sibling, node
        server = node + sibling
        cost = 0.0
        if len(fragmentation.weights):
            cost = _capacity_lost(free, need, slot, fragmentation) + fragmentation.fullness * server
        if (
            chosen < 0
            or cost < least_cost
            or (
                cost == least_cost
                and (server < least_server or (server == least_server and node > most_node))
            )
        ):
            chosen, least_cost, least_server, most_node = slot, cost, server, node
    return chosen


@inlined
def choose(
    code: int,
    free: npt.NDArray[np.int32],
    need: npt.NDArray[np.int32],
    capacity: npt.NDArray[np.int32],
    last_slot: int,
    random: npt.NDArray[np.uint64],
    fragmentation: FragmentationArrays,
) -> int:
    """The slot heuristic `code` chooses on a cluster with `free` (2, slots) for `need`; -1 if none fits."""
    if code == FIRST_FIT:
        return first_fit(free, need)
    if code == BEST_FIT:
        return _extreme_fit(free, need, capacity, 1)
    if code == WORST_FIT:
        return _extreme_fit(free, need, capacity, -1)
    if code == BALANCE_FIT:
        return _balance_fit(free, need, capacity)
    if code == RANDOM:
        return _random_fit(free, need, random)
    if code == MOVE_TO_FRONT:
        if last_slot >= 0 and fits_slot(free, need, last_slot):
            return last_slot
        return first_fit(free, need)
    return _server_best_fit(free, need, capacity, fragmentation)
