"""The allocations objective: VMs are placed until the first that fits nowhere; nobody waits.

These are the rules of the VMAgent scheduling environment (arXiv 2112.04785), and of a cluster that grows:
servers are added when the used share of the cluster has reached a threshold after a placement, or when a VM
fits nowhere. Slots of servers that are not there yet have nothing free.
"""

from __future__ import annotations

import numpy as np

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    ARRIVAL,
    CAPPED,
    CPU,
    CPU_RATE,
    FINISHED,
    FIRST_SLOT,
    HEAD,
    MEMORY,
    MEMORY_RATE,
    NEXT_END,
    NOW,
    RUNNING,
    SERVER_SECONDS,
    SERVERS,
    STATUS,
    STOP,
    STUCK,
    LaneState,
    first_after,
    first_fit,
    release_until,
    reset_lane,
)
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays

# Positions in WorkloadArrays.growth.
INITIAL_SERVERS, ADDED_SERVERS, USED_THRESHOLD = range(3)


@inlined
def _add_servers(work: WorkloadArrays, state: LaneState, lane: int, count: int) -> None:
    """Add `count` empty servers, as far as there is room for them."""
    free, share, counters = state.free[lane], state.share[lane], state.counters[lane]
    first = counters[SERVERS]
    counters[SERVERS] = min(first + count, free.shape[1] // 2)
    for slot in range(2 * first, 2 * counters[SERVERS]):
        cpu, memory = work.capacity[1 + slot, CPU], work.capacity[1 + slot, MEMORY]
        free[CPU, slot], free[MEMORY, slot] = cpu, memory
        share[slot] = min(cpu / work.capacity[0, CPU], memory / work.capacity[0, MEMORY])


@inlined
def _used_share(work: WorkloadArrays, state: LaneState, lane: int, resource: int) -> float:
    """The used share of `resource` in the servers that are there."""
    free, capacity = np.int64(0), np.int64(0)
    for slot in range(2 * state.counters[lane, SERVERS]):
        free += state.free[lane, resource, slot]
        capacity += work.capacity[1 + slot, resource]
    return (capacity - free) / capacity


@inlined
def begin_allocations(work: WorkloadArrays, state: LaneState, lane: int, start: int, vm_count: int) -> None:
    """Begin an episode of up to `vm_count` VMs at row `start` on empty servers."""
    reset_lane(work, state, lane, start, vm_count)
    state.free[lane] = 0
    state.share[lane] = 0.0
    counters = state.counters[lane]
    counters[SERVERS] = 0
    _add_servers(work, state, lane, int(work.growth[INITIAL_SERVERS]))
    counters[NEXT_END] = first_after(work.end_time, start)
    settle_allocations(work, state, lane)


@inlined
def settle_allocations(work: WorkloadArrays, state: LaneState, lane: int) -> None:
    """Bring the lane to the creation of its head VM: the next decision, or the end of the episode."""
    counters, clocks = state.counters[lane], state.clocks[lane]
    head, added = counters[HEAD], int(work.growth[ADDED_SERVERS])
    if added > 0:
        used = max(_used_share(work, state, lane, CPU), _used_share(work, state, lane, MEMORY))
        if used >= work.growth[USED_THRESHOLD]:
            _add_servers(work, state, lane, added)
    now, arrival = clocks[NOW], work.times[head, ARRIVAL]
    clocks[SERVER_SECONDS] += counters[SERVERS] * (arrival - now)
    release_until(work, state, lane, head)  # moves the clock to a row, since rows are what deletions have
    clocks[NOW] = arrival
    if head == work.times.shape[0] - 1:
        counters[STATUS] = FINISHED
    else:
        slot = first_fit(state.free[lane], work.need[head])
        if slot < 0 and added > 0:
            _add_servers(work, state, lane, added)
            slot = first_fit(state.free[lane], work.need[head])
        counters[FIRST_SLOT] = slot
        if slot < 0:
            counters[STATUS] = STUCK
        elif head == counters[STOP]:
            counters[STATUS] = CAPPED
    if counters[STATUS] != RUNNING:
        clocks[CPU_RATE] = _used_share(work, state, lane, CPU)
        clocks[MEMORY_RATE] = _used_share(work, state, lane, MEMORY)
