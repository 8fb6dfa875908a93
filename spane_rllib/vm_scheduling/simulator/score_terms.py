"""The terms that a `PlacementScore` adds to the loss of capacity, compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spane_rllib.compiling import inlined
from spane_rllib.vm_scheduling.simulator.rules import ARRIVAL, CPU, DOUBLE, HEAD, MEMORY, START, LaneState
from spane_rllib.vm_scheduling.simulator.workload import WorkloadArrays

if TYPE_CHECKING:
    from spane_rllib.vm_scheduling.simulator.fragmentation import FragmentationArrays

SERVER_TERMS = ("opening", "imbalance", "mismatch", "remnant")
COMPANY_TERMS = ("siblings", "sibling_share", "companions")
BURST_S = 1.0
"""VMs that arrive within this many seconds count as one burst."""
LONGEST_BURST = 64
"""How many VMs of a burst are looked back at."""


@inlined
def server_terms(
    free: npt.NDArray[np.int32], need: npt.NDArray[np.int32], slot: int, fragmentation: FragmentationArrays
) -> float:
    """The weighted `SERVER_TERMS` of placing `need` on `slot`."""
    terms = fragmentation.terms
    sibling = slot ^ 1
    most_cpu = len(fragmentation.hosted_by_cpu) - 1
    most_memory = len(fragmentation.hosted_by_memory) - 1
    cpu, memory = free[CPU, slot] / most_cpu, free[MEMORY, slot] / most_memory
    sibling_cpu, sibling_memory = free[CPU, sibling] / most_cpu, free[MEMORY, sibling] / most_memory
    cpu_after = (free[CPU, slot] - need[CPU]) / most_cpu
    memory_after = (free[MEMORY, slot] - need[MEMORY]) / most_memory
    # A small VM leaves the sibling as it is.
    sibling_cpu_after = (free[CPU, sibling] - need[DOUBLE] * need[CPU]) / most_cpu
    sibling_memory_after = (free[MEMORY, sibling] - need[DOUBLE] * need[MEMORY]) / most_memory
    cost = 0.0
    if free[CPU, slot] == most_cpu and free[CPU, sibling] == most_cpu:
        cost += terms[0]
    cost += terms[1] * (abs(cpu_after - sibling_cpu_after) - abs(cpu - sibling_cpu))
    cost += terms[2] * (
        abs(cpu_after - memory_after)
        + abs(sibling_cpu_after - sibling_memory_after)
        - abs(cpu - memory)
        - abs(sibling_cpu - sibling_memory)
    )
    if free[CPU, slot] > need[CPU]:
        cost += terms[3]
    return cost


@inlined
def discount_company(
    work: WorkloadArrays, state: LaneState, lane: int, fragmentation: FragmentationArrays
) -> None:
    """Write to `fragmentation.discount` what the weighted `COMPANY_TERMS` take off the cost of each server.

    Of the VMs that arrived in one burst with the head VM and were placed before it, siblings are those of its
    own flavour and companions the others. Where they were placed counts, whether or not they still run.
    """
    company, discount, seen = fragmentation.company, fragmentation.discount, fragmentation.seen
    discount[:] = 0.0
    seen[:] = 0
    start, head = state.counters[lane, START], state.counters[lane, HEAD]
    kind, arrival = fragmentation.kind[head], work.times[head, ARRIVAL]
    per_unit = company[1] / (2.0 * (len(fragmentation.hosted_by_cpu) - 1))
    for vm in range(head - 1, max(start, head - LONGEST_BURST) - 1, -1):
        if arrival - work.times[vm, ARRIVAL] > BURST_S:
            break
        slot = state.slot_of[lane, vm - start]
        server = (slot if slot >= 0 else -1 - slot) >> 1
        sibling = fragmentation.kind[vm] == kind
        if sibling:
            discount[server] += per_unit * work.need[vm, CPU] * (1 + work.need[vm, DOUBLE])
        flag = 1 if sibling else 2
        if not seen[server] & flag:
            seen[server] |= flag
            discount[server] += company[0] if sibling else company[2]
