"""The rules of scheduling VMs that wait, under any queue discipline but first come, first served.

Departures of an instant come before its arrivals, and are released together. After departures the waiting VMs
are tried in order of arrival, or of size; a VM is also tried when it arrives. `Queue` says who is tried, and
how many of the VMs that could not be placed hold a reservation; `plan` says what these leave to others. A VM
that fits when it is tried is placed at once; a policy chooses where. docs/queue_disciplines.md has all rules.

The queue is a list: the k-th VM of the episode is followed by `LaneState.behind[k]`. The counter HEAD holds
the VM at hand.
"""

from __future__ import annotations

import numpy as np

from spane_rllib.core.compiled_arrays import copy_into
from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.simulator.plan import NO_PLAN, extend_plan
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    ARRIVAL,
    BLOCKED,
    CPU,
    CURSOR,
    DOUBLE,
    FINISHED,
    FIRST,
    FIRST_SLOT,
    HEAD,
    LAST,
    MEMORY,
    MOST_PASSES,
    NOT_PLACED,
    NOW,
    OVERTAKEN,
    PASSES,
    PLACED,
    PREVIOUS,
    RESTRICTED,
    RUNNING_VMS,
    SEEN,
    START,
    STATUS,
    STOP,
    STUCK,
    WAITING,
    LaneState,
    first_fit,
    next_end,
    release_until,
    reset_lane,
    room_of,
)
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays

# Positions in WorkloadArrays.queue.
DEPTH, PATIENCE, RESERVATIONS, LISTED, ORDER, HOLDS = range(6)


@inlined
def begin_queue(work: WorkloadArrays, state: LaneState, lane: int, start: int, vm_count: int) -> None:
    """Begin an episode of `vm_count` VMs at row `start` on empty servers, where the first one fits."""
    reset_lane(work, state, lane, start, vm_count)
    counters = state.counters[lane]
    counters[SEEN] = start + 1
    counters[WAITING] = 0
    for pointer in (FIRST, LAST, CURSOR, PREVIOUS):
        counters[pointer] = -1
    counters[BLOCKED] = 0
    counters[RUNNING_VMS] = 0
    counters[RESTRICTED] = 0
    for total in (OVERTAKEN, PASSES, MOST_PASSES):
        counters[total] = 0


@inlined
def leave_queue(work: WorkloadArrays, state: LaneState, lane: int) -> None:
    """Before the VM at hand is placed: it leaves the queue, and those who passed it are counted."""
    counters = state.counters[lane]
    position = counters[HEAD] - counters[START]
    if work.queue[LISTED] > 0:
        _note_running(work, state, lane, position)
    if counters[CURSOR] < 0:  # it has just arrived
        return
    # Of the VMs that came before it, those still in the queue are the blocked ones before it.
    earlier = counters[BLOCKED]
    if work.queue[ORDER] != 0:
        earlier = _earlier(state, lane, position)
    passes = counters[PLACED] - (position - earlier)
    counters[OVERTAKEN] += passes > 0
    counters[PASSES] += passes
    counters[MOST_PASSES] = max(counters[MOST_PASSES], passes)
    following = state.behind[lane, position]
    if counters[PREVIOUS] < 0:
        counters[FIRST] = following
    else:
        state.behind[lane, counters[PREVIOUS]] = following
    if following < 0:
        counters[LAST] = counters[PREVIOUS]
    counters[WAITING] -= 1
    counters[CURSOR] = following


@inlined
def _note_running(work: WorkloadArrays, state: LaneState, lane: int, position: int) -> None:
    """Add a VM that is placed now to the list of what runs."""
    last = state.counters[lane, RUNNING_VMS]
    state.counters[lane, RUNNING_VMS] = last + 1
    state.running[lane, last] = position
    state.running_at[lane, position] = last
    now, estimate = state.clocks[lane, NOW], work.estimate[state.counters[lane, START] + position]
    state.expected_end[lane, position] = now + estimate


@inlined
def _earlier(state: LaneState, lane: int, position: int) -> int:
    """How many VMs in the queue came before the one at `position`."""
    count, other = 0, state.counters[lane, FIRST]
    while other >= 0:
        count += other < position
        other = np.int64(state.behind[lane, other])
    return count


@inlined
def _size(work: WorkloadArrays, vm: int) -> int:
    """The share of a server that a VM takes, of cpu or memory, whichever is larger; in units times units."""
    need, capacity = work.need[vm], work.capacity[0]
    cpu = np.int64(need[CPU]) * capacity[MEMORY]
    return max(cpu, np.int64(need[MEMORY]) * capacity[CPU]) * (1 + need[DOUBLE])


@inlined
def _last_before(work: WorkloadArrays, state: LaneState, lane: int, position: int) -> int:
    """Of a queue in order of size, whom the VM at `position` is to stand behind; -1 for nobody."""
    counters, order = state.counters[lane], work.queue[ORDER]
    size = _size(work, counters[START] + position)
    last, other = np.int64(-1), counters[FIRST]
    while other >= 0 and order * _size(work, counters[START] + other) <= order * size:
        last, other = other, np.int64(state.behind[lane, other])
    return int(last)


@inlined
def join_queue(work: WorkloadArrays, state: LaneState, lane: int, position: int) -> None:
    """Put a VM that has arrived into the queue: at its end, or behind those of its size."""
    counters = state.counters[lane]
    state.slot_of[lane, position] = NOT_PLACED
    before = counters[LAST]
    if work.queue[ORDER] != 0:
        before = _last_before(work, state, lane, position)
    following = counters[FIRST]
    if before >= 0:
        following = np.int64(state.behind[lane, before])
        state.behind[lane, before] = position
    else:
        counters[FIRST] = position
    state.behind[lane, position] = following
    if following < 0:
        counters[LAST] = position
    counters[WAITING] += 1


@inlined
def _is_tried(work: WorkloadArrays, state: LaneState, lane: int, blocked: int) -> bool:
    """Whether a VM is tried that has `blocked` VMs before it in the queue."""
    if blocked == 0:
        return True
    counters = state.counters[lane]
    waited = state.clocks[lane, NOW] - work.times[counters[START] + counters[FIRST], ARRIVAL]
    return bool((blocked < work.queue[DEPTH]) & (waited < work.queue[PATIENCE]))


@inlined
def _share_of_need(work: WorkloadArrays, state: LaneState, lane: int, vm: int, slot: int) -> float:
    """How much of what a VM needs on a node is free on `slot`, of the scarcer resource; -1: too small."""
    need, row = work.need[vm], 0 if work.capacity.shape[0] == 1 else 1 + slot
    if work.capacity[row, CPU] < need[CPU] or work.capacity[row, MEMORY] < need[MEMORY]:
        return -1.0
    free = state.free[lane]
    return min(free[CPU, slot] / need[CPU], free[MEMORY, slot] / need[MEMORY])


@inlined
def _hold_server(work: WorkloadArrays, state: LaneState, lane: int) -> None:
    """Write to `room` what is free, but for the server on which the first in the queue lacks least."""
    vm = state.counters[lane, START] + state.counters[lane, FIRST]
    room = state.room[lane]
    copy_into(room, state.free[lane])
    held, most = -1, -1.0
    for first in range(0, room.shape[1], 2):
        share = _share_of_need(work, state, lane, vm, first)
        other = _share_of_need(work, state, lane, vm, first + 1)
        share = min(share, other) if work.need[vm, DOUBLE] else max(share, other)
        if share > most:
            held, most = first, share
    if held >= 0:
        for slot in (held, held + 1):
            room[CPU, slot] = 0
            room[MEMORY, slot] = 0


@inlined
def settle_queue(work: WorkloadArrays, state: LaneState, lane: int) -> None:
    """Bring the lane to the next VM that is placed, or to the end."""
    counters, clocks = state.counters[lane], state.clocks[lane]
    start, stop = counters[START], counters[STOP]
    plan = NO_PLAN  # it is of one moment and one decision
    while True:
        if counters[CURSOR] >= 0:
            position, before = counters[CURSOR], counters[BLOCKED]
        else:
            if counters[WAITING] == 0 and counters[SEEN] == stop:
                counters[HEAD] = stop
                counters[STATUS] = FINISHED
                return
            arrival = work.times[counters[SEEN], ARRIVAL] if counters[SEEN] < stop else np.inf
            end = next_end(work, state, lane) if counters[WAITING] > 0 else np.inf
            moment = min(arrival, end)
            if moment == np.inf:
                counters[HEAD] = start + counters[FIRST]
                counters[STATUS] = STUCK
                return
            release_until(work, state, lane, moment)
            clocks[NOW] = moment
            plan = NO_PLAN
            if end <= arrival:
                counters[CURSOR], counters[PREVIOUS], counters[BLOCKED] = counters[FIRST], -1, 0
                continue
            position, before = counters[SEEN] - start, counters[WAITING]
            counters[SEEN] += 1
        slot = -1
        if _is_tried(work, state, lane, before):
            counters[RESTRICTED] = before > 0 and work.queue[RESERVATIONS] > 0
            if counters[RESTRICTED]:
                plan = extend_plan(
                    plan,
                    min(before, work.queue[RESERVATIONS]),
                    counters,
                    clocks[NOW],
                    start + position,
                    work.need,
                    work.estimate,
                    state.free[lane],
                    state.slot_of[lane],
                    state.behind[lane],
                    state.running[lane],
                    state.expected_end[lane],
                    state.step_time,
                    state.step_free,
                    state.step_next,
                    state.room[lane],
                )
            elif before > 0 and work.queue[HOLDS] > 0:
                counters[RESTRICTED] = 1
                _hold_server(work, state, lane)
            room = room_of(state.room, state.free, counters, lane)
            slot = first_fit(room, work.need[start + position])
        elif counters[CURSOR] >= 0:
            counters[CURSOR] = -1  # nor is anybody behind it
            continue
        if slot >= 0:
            counters[HEAD] = start + position
            counters[FIRST_SLOT] = slot
            return
        if counters[CURSOR] >= 0:
            counters[PREVIOUS], counters[CURSOR] = position, np.int64(state.behind[lane, position])
            counters[BLOCKED] += 1
        else:
            join_queue(work, state, lane, position)
