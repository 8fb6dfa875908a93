"""What a `PlacementScore` knows about the VMs already placed, compiled.

All of it could be seen by a scheduler: which VMs run where, since when, and which arrived together. That a VM
has ended is read off its lifetime, but nothing about an end that is still to come.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.compiling import inlined
from spane_rllib.vm_scheduling.simulator.rules import (
    ARRIVAL,
    CPU,
    DELAYED,
    DOUBLE,
    HEAD,
    LIFETIME,
    MEMORY,
    NOW,
    START,
    LaneState,
)
from spane_rllib.vm_scheduling.simulator.workload import WorkloadArrays

BURST_S = 1.0
"""VMs that arrive within this many seconds count as one burst."""
LONGEST_BURST = 64
"""How many VMs of a burst are looked back at."""
# Columns of ResidentArrays.span: VMs in the list, the episode's first row, the row after the last VM seen.
COUNT, EPISODE, UP_TO = range(3)

Floats = npt.NDArray[np.float64]


class ResidentArrays(NamedTuple):
    """What is kept for siblings and for K horizons; without horizons all but the first two are empty."""

    siblings: float
    discount: Floats  # (N,) taken off the cost of each server for the siblings there
    weights: Floats  # (K, F) of the flavours at each horizon
    survival: Floats  # (K, A, kinds) chance to run for another horizon
    age_edges: Floats  # (A - 1,) seconds
    leaving: Floats  # (K, 2, slots) units expected to become free
    expected: npt.NDArray[np.int32]  # (K, 2, slots) units expected to be free
    vm: npt.NDArray[np.int64]  # (R,) running VMs
    since: Floats  # (R,) when they were placed, seconds
    end: Floats  # (R,) when they will be found to have ended, seconds
    span: npt.NDArray[np.int64]  # (3,)


def no_residents(servers: int) -> ResidentArrays:
    """Neither siblings nor horizons count."""
    return ResidentArrays(
        siblings=0.0,
        discount=np.zeros(servers),
        weights=np.zeros((0, 0)),
        survival=np.zeros((0, 0, 0)),
        age_edges=np.zeros(0),
        leaving=np.zeros((0, 2, 0)),
        expected=np.zeros((0, 2, 0), np.int32),
        vm=np.zeros(0, np.int64),
        since=np.zeros(0),
        end=np.zeros(0),
        span=np.zeros(3, np.int64),
    )


@inlined
def find_siblings(
    work: WorkloadArrays, state: LaneState, lane: int, kinds: npt.NDArray[np.int32], residents: ResidentArrays
) -> None:
    """Write to `residents.discount` the weight of siblings for the servers where one was placed.

    Siblings are the VMs of the head VM's flavour that arrived in one burst with it and were placed before.
    """
    discount = residents.discount
    discount[:] = 0.0
    start, head = state.counters[lane, START], state.counters[lane, HEAD]
    kind, arrival = kinds[head], work.times[head, ARRIVAL]
    for vm in range(head - 1, max(start, head - LONGEST_BURST) - 1, -1):
        if arrival - work.times[vm, ARRIVAL] > BURST_S:
            break
        if kinds[vm] == kind:
            slot = state.slot_of[lane, vm - start]
            discount[(slot if slot >= 0 else -1 - slot) >> 1] = residents.siblings


@inlined
def _delayed_start(work: WorkloadArrays, state: LaneState, lane: int, vm: int) -> float:
    """When a VM that had to wait was placed; -1 if it has ended."""
    for entry in range(state.counters[lane, DELAYED]):
        if state.delayed_vm[lane, entry] == vm:
            return state.delayed_end[lane, entry] - work.times[vm, LIFETIME]
    return -1.0


@inlined
def _follow(work: WorkloadArrays, state: LaneState, lane: int, residents: ResidentArrays) -> None:
    """Bring the list of running VMs up to the lane's present decision."""
    vms, since, ends, span = residents.vm, residents.since, residents.end, residents.span
    start, head, now = state.counters[lane, START], state.counters[lane, HEAD], state.clocks[lane, NOW]
    if span[EPISODE] != start or span[UP_TO] > head:
        span[COUNT], span[EPISODE], span[UP_TO] = 0, start, start
    count = 0
    for entry in range(span[COUNT]):
        if ends[entry] > now:
            vms[count], since[count], ends[count] = vms[entry], since[entry], ends[entry]
            count += 1
    for vm in range(span[UP_TO], head):
        placed = work.times[vm, ARRIVAL]
        if state.slot_of[lane, vm - start] < 0:
            placed = _delayed_start(work, state, lane, vm)
        end = placed + work.times[vm, LIFETIME]
        if placed >= 0 and end > now:
            vms[count], since[count], ends[count] = vm, placed, end
            count += 1
    span[COUNT], span[UP_TO] = count, head


@inlined
def expect_departures(
    work: WorkloadArrays, state: LaneState, lane: int, kinds: npt.NDArray[np.int32], residents: ResidentArrays
) -> None:
    """Write to `residents.expected` the units that are expected to be free at each horizon, rounded down.

    A running VM is expected to leave within a horizon with the chance that the survival table has for its
    flavour and age.
    """
    _follow(work, state, lane, residents)
    expected, survival, leaving = residents.expected, residents.survival, residents.leaving
    start, now = state.counters[lane, START], state.clocks[lane, NOW]
    leaving[:] = 0.0
    for entry in range(residents.span[COUNT]):
        vm = residents.vm[entry]
        age, row = now - residents.since[entry], 0
        while row < len(residents.age_edges) and age >= residents.age_edges[row]:
            row += 1
        slot = state.slot_of[lane, vm - start]
        slot = slot if slot >= 0 else -1 - slot
        double = work.need[vm, DOUBLE]
        first, last = (slot & ~1, slot | 1) if double else (slot, slot)
        for horizon in range(len(survival)):
            chance = 1.0 - survival[horizon, row, kinds[vm]]
            for node in range(first, last + 1):
                leaving[horizon, CPU, node] += chance * work.need[vm, CPU]
                leaving[horizon, MEMORY, node] += chance * work.need[vm, MEMORY]
    free = state.free[lane]
    for horizon in range(len(survival)):
        for resource in range(2):
            for slot in range(free.shape[1]):
                # The sum of many shares may miss a whole number by a rounding error.
                more = np.int32(leaving[horizon, resource, slot] + 1e-6)
                expected[horizon, resource, slot] = free[resource, slot] + more
