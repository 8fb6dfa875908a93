"""What reservations leave to others: the free units of every server from now on, as far as that is known.

A plan is a list of steps for each server. The first step is the present; another begins whenever a VM is
expected to end, or a reservation begins or ends. A VM that has outlived its estimate is expected to end right
now: in a second step that begins now, too. The steps are scratch, shared by all lanes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiled_arrays import copy_into
from spane_rllib.core.compiling import compiled, inlined
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    CPU,
    DOUBLE,
    FIRST,
    MEMORY,
    RUNNING_VMS,
    START,
)

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Plan = tuple[int, int, int]
"""How many steps it has, how many VMs hold a reservation in it, and the place in the queue behind these."""

NO_PLAN: Plan = (0, 0, 0)

# A row of `free` has cpu of both nodes of a server, then memory of both.
_NODES = 2


@compiled
def extend_plan(
    plan: Plan,
    reservations: int,
    counters: npt.NDArray[np.int64],
    now: float,
    vm: int,
    need: Ints,
    estimate: Floats,
    free_now: Ints,
    slot_of: Ints,
    behind: Ints,
    running: Ints,
    expected_end: Floats,
    time: Floats,
    free: Ints,
    following: Ints,
    room: Ints,
) -> Plan:
    """Add what `plan`, made at the same moment, lacks of the first `reservations` in the queue.

    Writes to `room` what stays free on every node for as long as `vm` would run. Not inlined, since compiling
    it into every kernel would take long.

    Args:
        plan: to go on with, or `NO_PLAN`.
        reservations: VMs before `vm` in the queue that hold one.
        counters, slot_of, behind, running, expected_end: of the lane, as in `LaneState`.
        now: the time, seconds.
        vm: the VM that is tried.
        need, estimate: as in `WorkloadArrays`.
        free_now: `LaneState.free` of the lane.
        time, free, following: steps; `LaneState.step_time`, `.step_free` and `.step_next`.
        room: `LaneState.room` of the lane.
    """
    steps, reserved, holder = plan
    start = counters[START]
    if steps == 0:
        steps = _begin(
            counters[RUNNING_VMS],
            start,
            now,
            need,
            free_now,
            slot_of,
            running,
            expected_end,
            time,
            free,
            following,
        )
        reserved, holder = 0, counters[FIRST]
    while reserved < reservations:
        other = start + holder
        steps = _reserve(need[other], estimate[other], len(free_now[0]), steps, time, free, following)
        reserved, holder = reserved + 1, int(behind[holder])
    end = now + estimate[vm]
    for server in range(free_now.shape[1] // _NODES):
        step = server
        while True:
            for node in range(_NODES):
                slot = _NODES * server + node
                if step == server:
                    room[CPU, slot], room[MEMORY, slot] = free[step, node], free[step, _NODES + node]
                else:
                    room[CPU, slot] = min(room[CPU, slot], free[step, node])
                    room[MEMORY, slot] = min(room[MEMORY, slot], free[step, _NODES + node])
            step = following[step]
            if step < 0 or time[step] >= end:
                break
    return steps, reserved, holder


@inlined
def _change(free: Ints, need: Ints, slot: int, sign: int) -> None:
    """Give back (`sign` = 1) or take (-1) what a VM on `slot` needs in one step."""
    for node in range(_NODES):
        if need[DOUBLE] or node == (slot & 1):
            free[node] += sign * need[CPU]
            free[_NODES + node] += sign * need[MEMORY]


@inlined
def _fits_step(free: Ints, need: Ints, slot: int) -> bool:
    for node in range(_NODES):
        taken = need[DOUBLE] or node == (slot & 1)
        if taken and (free[node] < need[CPU] or free[_NODES + node] < need[MEMORY]):
            return False
    return True


@inlined
def _begin(
    count: int,
    start: int,
    now: float,
    need: Ints,
    free_now: Ints,
    slot_of: Ints,
    running: Ints,
    expected_end: Floats,
    time: Floats,
    free: Ints,
    following: Ints,
) -> int:
    """Plan with what runs alone; returns the number of steps."""
    servers = free_now.shape[1] // _NODES
    for server in range(servers):
        time[server] = now
        following[server] = -1
        for node in range(_NODES):
            free[server, node] = free_now[CPU, _NODES * server + node]
            free[server, _NODES + node] = free_now[MEMORY, _NODES * server + node]
    steps = servers
    for index in range(count):  # first what is given back in each step
        position = running[index]
        end = max(expected_end[position], now)
        if end == np.inf:
            continue
        slot = slot_of[position]
        slot = slot if slot >= 0 else -1 - slot
        before = slot >> 1
        after = following[before]
        while after >= 0 and time[after] <= end:
            before = after
            after = following[after]
        if before < servers or time[before] < end:
            time[steps] = end
            free[steps] = 0
            following[steps] = after
            following[before] = steps
            before = steps
            steps += 1
        _change(free[before], need[start + position], slot, 1)
    for server in range(servers):
        step = server
        while following[step] >= 0:
            for quantity in range(2 * _NODES):
                free[following[step], quantity] += free[step, quantity]
            step = following[step]
    return steps


@inlined
def _reserve(
    need: Ints, lasts: float, slots: int, steps: int, time: Floats, free: Ints, following: Ints
) -> int:
    """Reserve the earliest time after the present, and then the lowest slot, from which a VM fits to its end.

    Nothing is reserved where there is none. Returns the number of steps.
    """
    begin, chosen, earliest = -1, -1, np.inf
    for slot in range(0, slots, 2 if need[DOUBLE] else 1):
        # The steps from `candidate` to before `step` have room.
        candidate = step = following[slot >> 1]
        while candidate >= 0 and time[candidate] < earliest:
            if step < 0 or time[step] >= time[candidate] + lasts:
                begin, chosen, earliest = candidate, slot, time[candidate]
                break
            if _fits_step(free[step], need, slot):
                step = following[step]
            else:
                candidate = step = following[step]
    if begin < 0:
        return steps
    end, step = earliest + lasts, begin
    while step >= 0 and time[step] < end:
        after = following[step]
        if end < np.inf and (after < 0 or time[after] > end):
            time[steps] = end
            copy_into(free[steps], free[step])
            following[steps] = after
            following[step] = after = steps
            steps += 1
        _change(free[step], need, chosen, -1)
        step = after
    return steps
