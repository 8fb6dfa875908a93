"""The rules of placing, and of scheduling VMs that wait: their one implementation, compiled.

Strict first come, first served with head-of-line blocking: the VM at the head of the queue is placed as soon
as it fits anywhere; a policy only chooses where. A VM that fits nowhere makes time jump from departure to
departure until it does. Fit is tested at arrival and at departures, never in between. There is no migration
and no preemption. These are the rules of the SPANE reference environment (arXiv 2504.14946);
`queue_rules` has those of other queue disciplines, `allocation_rules` those of VMs that do not wait, and
`objectives` chooses between them.

Every function works on one lane (one running episode) of a `LaneState`; `lanes`, `episodes` and
`lower_bound` are built from them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.reference_cluster import VM_SIZES
from spane_rllib.problems.vm_scheduling.simulator.server_index import (
    SLOTS_OF_LEAF,
    ServerIndex,
    after_subtree,
    least_of,
    may_fit,
    note_all,
    note_change,
)
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays

# Columns of LaneState.counters.
START, HEAD, STOP, NEXT_END, DELAYED, FIRST_SLOT, LAST_SLOT, STATUS, SERVERS, PLACED = range(10)
# Of queue disciplines, see `queue_rules`.
SEEN, WAITING, FIRST, LAST, CURSOR, PREVIOUS, BLOCKED, RESTRICTED, RUNNING_VMS = range(10, 19)
OVERTAKEN, PASSES, MOST_PASSES = range(19, 22)
COUNTERS = 22
# Columns of LaneState.clocks.
NOW, WAIT, TOTAL_WAIT, MAX_WAIT, RETURN, SERVER_SECONDS, CPU_RATE, MEMORY_RATE, SIZE_WAIT = range(9)
CLOCKS = SIZE_WAIT + len(VM_SIZES)
# Values of the STATUS counter. STUCK: the head VM can never be placed, since what blocks it never ends or
# nobody waits. CAPPED: it could be, but the allocations objective has counted enough.
IDLE, RUNNING, FINISHED, STUCK, CAPPED = range(5)

NOT_PLACED = -(2**30)
"""In LaneState.slot_of, a VM in the queue of a discipline other than first come, first served."""

CPU, MEMORY, DOUBLE, SIZE = range(4)
ARRIVAL, LIFETIME = range(2)


class LaneState(NamedTuple):
    """The running episodes, one row per lane; T is the largest number of VMs in an episode."""

    free: npt.NDArray[np.int32]  # (lanes, 2, slots) free units of cpu and memory on every NUMA node
    share: npt.NDArray[np.float64]  # (lanes, slots) free share of a node, the lesser of cpu and memory
    slot_of: npt.NDArray[
        np.int32
    ]  # (lanes, T) slot of the k-th VM of the episode, -1 - slot if it had to wait
    delayed_end: npt.NDArray[np.float64]  # (lanes, T) heap of the end times of VMs that had to wait, seconds
    delayed_vm: npt.NDArray[np.int32]  # (lanes, T) the VMs of that heap
    counters: npt.NDArray[np.int64]  # (lanes, COUNTERS) rows of the trace, heap size, slots, status, servers
    clocks: npt.NDArray[np.float64]  # (lanes, CLOCKS) now, waits, return; of allocations; waits by VM size
    # Of queue disciplines other than first come, first served, else None; see `queue_rules` and `plan`.
    room: Any = None  # (lanes, 2, slots) int32, what of `free` the VM at hand may take, if RESTRICTED
    behind: Any = None  # (lanes, T) int32, which VM of the episode is behind the k-th in the queue, or -1
    running: Any = None  # (lanes, T) int32, which VMs of the episode run
    running_at: Any = None  # (lanes, T) int32, where the k-th VM of the episode is in that list
    expected_end: Any = None  # (lanes, T) float64, when it is expected to end, seconds
    step_time: Any = None  # (S,) float64, begin of each step of the plan, seconds
    step_free: Any = None  # (S, 4) int32, free units of cpu on both nodes of its server, then of memory
    step_next: Any = None  # (S,) int32, the step after it on its server, or -1
    index: Any = None  # ServerIndex of the only lane, of a large cluster whose VMs wait in line


def allocate(
    lanes: int,
    slots: int,
    longest: int,
    waits: bool = True,
    queue: npt.NDArray[np.float64] | None = None,
    index: ServerIndex | None = None,
) -> LaneState:
    """Idle lanes with room for episodes of up to `longest` VMs, none of which waits unless `waits`.

    `queue` is that of `WorkloadArrays`. An `index` is for the only lane, where VMs wait in line.
    """
    delayed = longest if waits else 0
    queued: dict[str, Any] = {}
    if queue is not None:
        # A plan has a step for the present of each server, and one for each VM that runs or waits.
        reserving, listed, holding = queue[2] > 0, queue[3] > 0, queue[5] > 0
        running = longest if listed else 0
        steps = slots // 2 + longest if reserving else 0
        queued = {
            "room": np.zeros((lanes, 2, slots if reserving or holding else 0), np.int32),
            "behind": np.zeros((lanes, longest), np.int32),
            "running": np.zeros((lanes, running), np.int32),
            "running_at": np.zeros((lanes, running), np.int32),
            "expected_end": np.zeros((lanes, running)),
            "step_time": np.zeros(steps),
            "step_free": np.zeros((steps, 4), np.int32),
            "step_next": np.zeros(steps, np.int32),
        }
    return LaneState(
        free=np.zeros((lanes, 2, slots), np.int32),
        share=np.zeros((lanes, slots), np.float64),
        slot_of=np.zeros((lanes, longest), np.int32),
        delayed_end=np.zeros((lanes, delayed), np.float64),
        delayed_vm=np.zeros((lanes, delayed), np.int32),
        counters=np.zeros((lanes, COUNTERS), np.int64),
        clocks=np.zeros((lanes, CLOCKS), np.float64),
        index=index,
        **queued,
    )


@inlined
def room_of(
    room: Any, free: npt.NDArray[np.int32], counters: npt.NDArray[np.int64], lane: int
) -> npt.NDArray[np.int32]:
    """(2, slots) units that the VM at hand may take: all that are free unless some are reserved."""
    if room is not None:  # noqa: SIM102  # by itself, so that nothing is compiled where there is none
        if counters[RESTRICTED]:
            return room[lane]
    return free[lane]


@inlined
def fits_slot(free: npt.NDArray[np.int32], need: npt.NDArray[np.int32], slot: int) -> bool:
    """Whether a VM of `need` can be placed on `slot` of a cluster with `free` (2, slots)."""
    if need[DOUBLE]:
        first = slot & ~1
        return bool(
            (free[CPU, first] >= need[CPU])
            & (free[MEMORY, first] >= need[MEMORY])
            & (free[CPU, first + 1] >= need[CPU])
            & (free[MEMORY, first + 1] >= need[MEMORY])
        )
    return bool((free[CPU, slot] >= need[CPU]) & (free[MEMORY, slot] >= need[MEMORY]))


@inlined
def first_fit(free: npt.NDArray[np.int32], need: npt.NDArray[np.int32]) -> int:
    """The lowest slot that can hold a VM of `need`, or -1."""
    step = 2 if need[DOUBLE] else 1
    for slot in range(0, free.shape[1], step):
        if fits_slot(free, need, slot):
            return slot
    return -1


@inlined
def lowest_slot(
    index: Any, free: npt.NDArray[np.int32], need: npt.NDArray[np.int32], capacity: npt.NDArray[np.int32]
) -> int:
    """`first_fit` with the `LaneState.index`; `capacity` is that of `WorkloadArrays`."""
    if index is None:
        return first_fit(free, need)
    else:  # by itself, so that nothing is compiled where there is no index
        leaves = len(index.most) >> 1
        least = least_of(need, capacity[0])
        step = 2 if need[DOUBLE] else 1
        node = 1
        while node > 0:
            if may_fit(index.most[node], least):
                if node < leaves:
                    node *= 2
                    continue
                begin = (node - leaves) * SLOTS_OF_LEAF
                for slot in range(begin, min(begin + SLOTS_OF_LEAF, free.shape[1]), step):
                    if fits_slot(free, need, slot):
                        return slot
            node = after_subtree(node, 1)
        return -1


@inlined
def take(work: WorkloadArrays, state: LaneState, lane: int, vm: int, slot: int, sign: int) -> None:
    """Occupy (`sign` = 1) or give back (-1) the resources of a VM on `slot`."""
    need = work.need[vm]
    first, last = (slot & ~1, slot | 1) if need[DOUBLE] else (slot, slot)
    free, share = state.free[lane], state.share[lane]
    for node in range(first, last + 1):
        free[CPU, node] -= sign * need[CPU]
        free[MEMORY, node] -= sign * need[MEMORY]
        # Float64 on purpose: ties of the reference are ties after rounding, and its figures depend on them.
        share[node] = min(
            free[CPU, node] / work.capacity[0, CPU], free[MEMORY, node] / work.capacity[0, MEMORY]
        )
    note_change(state.index, free, share, slot)


@inlined
def first_after(times: npt.NDArray[np.float64], time: float) -> int:
    """`np.searchsorted(times, time, side="right")`, which takes numba a second to compile."""
    low, high = 0, times.shape[0]
    while low < high:
        middle = (low + high) >> 1
        if times[middle] <= time:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def reset_lane(work: WorkloadArrays, state: LaneState, lane: int, start: int, vm_count: int) -> None:
    """Begin an episode of `vm_count` VMs at row `start` on empty servers.

    The episode also ends when the last row of the trace is reached; that row is never placed.
    """
    capacity = work.capacity
    equal = capacity.shape[0] == 1
    for slot in range(state.free.shape[2]):
        row = 0 if equal else 1 + slot
        cpu, memory = capacity[row, CPU], capacity[row, MEMORY]
        state.free[lane, CPU, slot] = cpu
        state.free[lane, MEMORY, slot] = memory
        state.share[lane, slot] = min(cpu / capacity[0, CPU], memory / capacity[0, MEMORY])
    note_all(state.index, state.free, state.share, lane)
    arrival = work.times[start, ARRIVAL]
    counters, clocks = state.counters[lane], state.clocks[lane]
    counters[START] = start
    counters[HEAD] = start
    counters[STOP] = min(start + vm_count, work.times.shape[0] - 1)
    counters[NEXT_END] = first_after(work.end_time, arrival)
    counters[DELAYED] = 0
    # A small server may have no room for the first VM.
    counters[FIRST_SLOT] = 0 if equal else first_fit(state.free[lane], work.need[start])
    counters[LAST_SLOT] = -1
    counters[STATUS] = RUNNING
    counters[PLACED] = 0
    clocks[:] = 0.0
    clocks[NOW] = arrival


@inlined
def _push_delayed(state: LaneState, lane: int, end: float, vm: int) -> None:
    ends, vms = state.delayed_end[lane], state.delayed_vm[lane]
    child = state.counters[lane, DELAYED]
    state.counters[lane, DELAYED] = child + 1
    while child > 0:
        parent = (child - 1) >> 1
        if ends[parent] <= end:
            break
        ends[child] = ends[parent]
        vms[child] = vms[parent]
        child = parent
    ends[child] = end
    vms[child] = vm


@inlined
def _pop_delayed(state: LaneState, lane: int) -> int:
    ends, vms = state.delayed_end[lane], state.delayed_vm[lane]
    vm = vms[0]
    size = state.counters[lane, DELAYED] - 1
    state.counters[lane, DELAYED] = size
    end, last = ends[size], vms[size]
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= size:
            break
        if child + 1 < size and ends[child + 1] < ends[child]:
            child += 1
        if end <= ends[child]:
            break
        ends[parent] = ends[child]
        vms[parent] = vms[child]
        parent = child
    ends[parent] = end
    vms[parent] = last
    return vm


@inlined
def occupy(work: WorkloadArrays, state: LaneState, lane: int, slot: int) -> None:
    """Place the head VM on `slot` now, book its wait, and move the head to the next VM (rule 1)."""
    counters, clocks = state.counters[lane], state.clocks[lane]
    vm = counters[HEAD]
    now = clocks[NOW]
    wait = now - work.times[vm, ARRIVAL]
    take(work, state, lane, vm, slot, 1)
    if wait > 0.0:
        state.slot_of[lane, vm - counters[START]] = -1 - slot
        _push_delayed(state, lane, now + work.times[vm, LIFETIME], vm)
        clocks[TOTAL_WAIT] += wait
        clocks[MAX_WAIT] = max(clocks[MAX_WAIT], wait)
        clocks[RETURN] -= np.log1p(wait)
        clocks[SIZE_WAIT + work.need[vm, SIZE]] += wait
    else:
        state.slot_of[lane, vm - counters[START]] = slot
    clocks[WAIT] = wait
    counters[LAST_SLOT] = slot
    counters[PLACED] += 1
    counters[HEAD] = vm + 1


@inlined
def _seen(queue: Any, counters: npt.NDArray[np.int64]) -> int:
    """The first row of which nothing has happened yet."""
    if queue is None:
        return counters[HEAD]
    else:
        return counters[SEEN]


@inlined
def _forget(running: Any, state: LaneState, lane: int, position: int) -> None:
    """Take a VM of the episode that has ended from the list of what runs, where there is one."""
    if running is not None:  # noqa: SIM102  # by itself, so that nothing is compiled where there is none
        if running.shape[1] > 0:
            last = state.counters[lane, RUNNING_VMS] - 1
            state.counters[lane, RUNNING_VMS] = last
            place, other = state.running_at[lane, position], running[lane, last]
            running[lane, place] = other
            state.running_at[lane, other] = place


@inlined
def release_until(work: WorkloadArrays, state: LaneState, lane: int, time: float) -> None:
    """Process every departure with end <= `time`; the clock moves to the last one (rule 3)."""
    counters, clocks = state.counters[lane], state.clocks[lane]
    start, seen, rows = counters[START], _seen(work.queue, counters), work.end_time.shape[0]
    position = counters[NEXT_END]
    while position < rows and work.end_time[position] <= time:
        vm = work.end_vm[position]
        # Rows outside [start, seen) are not of this episode or not placed yet; a VM that is placed later
        # than its undelayed end leaves through the heap.
        if start <= vm < seen:
            slot = state.slot_of[lane, vm - start]
            if slot >= 0:
                take(work, state, lane, vm, slot, -1)
                _forget(state.running, state, lane, vm - start)
                clocks[NOW] = max(clocks[NOW], work.end_time[position])
        position += 1
    counters[NEXT_END] = position
    while counters[DELAYED] > 0 and state.delayed_end[lane, 0] <= time:
        clocks[NOW] = max(clocks[NOW], state.delayed_end[lane, 0])
        vm = _pop_delayed(state, lane)
        take(work, state, lane, vm, -1 - state.slot_of[lane, vm - start], -1)
        _forget(state.running, state, lane, vm - start)


@inlined
def next_end(work: WorkloadArrays, state: LaneState, lane: int) -> float:
    """The time of the next departure of the lane, seconds; `inf` if nothing that runs ever ends."""
    counters = state.counters[lane]
    start, seen, rows = counters[START], _seen(work.queue, counters), work.end_time.shape[0]
    heap_end = state.delayed_end[lane, 0] if counters[DELAYED] > 0 else np.inf
    position = counters[NEXT_END]
    while position < rows and work.end_time[position] < heap_end:
        vm = work.end_vm[position]
        if start <= vm < seen and state.slot_of[lane, vm - start] >= 0:
            return work.end_time[position]
        position += 1
    return heap_end
