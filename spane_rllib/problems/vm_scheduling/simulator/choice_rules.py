"""The rules where it is a policy's choice which of the VMs that wait is placed, and whether any is.

VMs join the queue when they arrive. Whenever one of the first K in the queue fits somewhere, after departures
(those of an instant together), an arrival, or a decision, the policy places one of these, or waits for the
next departure or arrival. Departures of an instant come before its arrivals, as in `queue_rules`, whose list
of waiting VMs this is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiled_arrays import borrowed
from spane_rllib.core.compiling import compiled, inlined
from spane_rllib.problems.vm_scheduling.simulator.queue_rules import begin_queue, join_queue, leave_queue
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    ARRIVAL,
    BLOCKED,
    CPU,
    CURSOR,
    DOUBLE,
    FINISHED,
    FIRST,
    HEAD,
    MEMORY,
    NOW,
    PREVIOUS,
    RUNNING,
    SEEN,
    START,
    STATUS,
    STOP,
    STUCK,
    WAITING,
    LaneState,
    first_fit,
    fits_slot,
    next_end,
    occupy,
    release_until,
)
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays

Mask = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float32]

# What `act` returns beside the status of the lane: the action was not feasible, and nothing has changed.
REFUSED = -1


@inlined
def _any_fits(work: WorkloadArrays, state: LaneState, first: int) -> bool:
    position = state.counters[0, FIRST]
    for _ in range(first):
        if position < 0:
            return False
        if first_fit(state.free[0], work.need[state.counters[0, START] + position]) >= 0:
            return True
        position = state.behind[0, position]
    return False


@inlined
def _next_moment(work: WorkloadArrays, state: LaneState) -> tuple[float, float]:
    """When the next VM of the episode arrives, and when the next one ends; `inf` for never."""
    seen = state.counters[0, SEEN]
    arrival = work.times[seen, ARRIVAL] if seen < state.counters[0, STOP] else np.inf
    return arrival, next_end(work, state, 0)


@inlined
def _go_on(work: WorkloadArrays, state: LaneState, first: int) -> None:
    """Let the next event happen, and those after it until one of the first VMs fits, or the end."""
    counters, clocks = state.counters[0], state.clocks[0]
    while True:
        if counters[WAITING] == 0 and counters[SEEN] == counters[STOP]:
            counters[STATUS] = FINISHED
            return
        arrival, end = _next_moment(work, state)
        if counters[WAITING] == 0:
            end = np.inf  # nobody is there whom it would concern
        moment = min(arrival, end)
        if moment == np.inf:
            counters[STATUS] = STUCK
            return
        release_until(work, state, 0, moment)
        clocks[NOW] = moment
        if arrival < end:
            join_queue(work, state, 0, counters[SEEN] - counters[START])
            counters[SEEN] += 1
        if _any_fits(work, state, first):
            return


@compiled
def begin_choice(work: WorkloadArrays, state: LaneState, start: int, vm_count: int) -> None:
    """Begin an episode in lane 0 of an idle `state`; its first VM waits, and fits."""
    work, state = borrowed(work), borrowed(state)
    begin_queue(work, state, 0, start, vm_count)
    join_queue(work, state, 0, 0)


@compiled
def act(work: WorkloadArrays, state: LaneState, first: int, whom: int, slot: int) -> int:
    """Place the VM that is `whom`-th in the queue on `slot`, or wait where `whom` is `first`.

    Returns:
        The status of the lane, or `REFUSED`.
    """
    work, state = borrowed(work), borrowed(state)
    counters = state.counters[0]
    if counters[STATUS] != RUNNING or whom < 0 or whom > first:
        return REFUSED
    if whom == first:
        arrival, end = _next_moment(work, state)
        if min(arrival, end) == np.inf:
            return REFUSED
        _go_on(work, state, first)
        return counters[STATUS]
    if whom >= counters[WAITING] or slot < 0 or slot >= state.free.shape[2]:
        return REFUSED
    previous, position = np.int64(-1), counters[FIRST]
    for _ in range(whom):
        previous, position = position, np.int64(state.behind[0, position])
    vm = counters[START] + position
    if not fits_slot(state.free[0], work.need[vm], slot):
        return REFUSED
    counters[HEAD], counters[CURSOR], counters[PREVIOUS], counters[BLOCKED] = vm, position, previous, whom
    leave_queue(work, state, 0)
    occupy(work, state, 0, slot)
    if not _any_fits(work, state, first):
        _go_on(work, state, first)
    return counters[STATUS]


@compiled
def observe_choice(
    work: WorkloadArrays,
    state: LaneState,
    servers: Floats,
    waiting: Floats,
    whom: Mask,
    slots: Mask,
) -> None:
    """Write what is seen in lane 0.

    Args:
        work, state: of the episode.
        servers: (N, 2, 2) free shares by server, node and (cpu, memory), or (N, 2, 4) as in `Observations`.
        waiting: (K, 4) of the first VMs in the queue cpu and memory in shares of a node, 1 if double, and
            log(1 + seconds they have waited); 0 where there are fewer.
        whom: (K + 1,) 1 for those that fit somewhere, and for waiting where something is still to happen.
        slots: (K, 2N) 1 where each of them fits.
    """
    work, state = borrowed(work), borrowed(state)
    counters, free = state.counters[0], state.free[0]
    capacity_cpu, capacity_memory = np.float32(work.capacity[0, CPU]), np.float32(work.capacity[0, MEMORY])
    for slot in range(free.shape[1]):
        servers[slot >> 1, slot & 1, CPU] = np.float32(free[CPU, slot]) / capacity_cpu
        servers[slot >> 1, slot & 1, MEMORY] = np.float32(free[MEMORY, slot]) / capacity_memory
    waiting[:] = 0.0
    whom[:] = 0
    slots[:] = 0
    if counters[STATUS] != RUNNING:
        return
    position = counters[FIRST]
    for index in range(len(waiting)):
        if position < 0:
            break
        vm = counters[START] + position
        need = work.need[vm]
        nodes = 1 + need[DOUBLE]
        waiting[index, 0] = np.float32(need[CPU] * nodes) / capacity_cpu
        waiting[index, 1] = np.float32(need[MEMORY] * nodes) / capacity_memory
        waiting[index, 2] = need[DOUBLE]
        waiting[index, 3] = np.log1p(state.clocks[0, NOW] - work.times[vm, ARRIVAL])
        for slot in range(free.shape[1]):
            fits = fits_slot(free, need, slot)
            slots[index, slot] = fits
            whom[index] |= fits
        position = np.int64(state.behind[0, position])
    arrival, end = _next_moment(work, state)
    whom[len(waiting)] = min(arrival, end) < np.inf
