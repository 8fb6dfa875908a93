"""Playing a future on after each of several decisions, compiled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiled_arrays import borrowed, copy_into
from spane_rllib.core.compiling import compiled, inlined
from spane_rllib.problems.vm_scheduling.simulator.fragmentation import FragmentationArrays
from spane_rllib.problems.vm_scheduling.simulator.heuristics import choose
from spane_rllib.problems.vm_scheduling.simulator.objectives import place
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    DELAYED,
    DOUBLE,
    HEAD,
    RESTRICTED,
    RUNNING,
    RUNNING_VMS,
    STATUS,
    STOP,
    STUCK,
    TOTAL_WAIT,
    LaneState,
    fits_slot,
    room_of,
)
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays

Slots = npt.NDArray[np.int64]


@inlined
def _copy(base: LaneState, to: LaneState) -> None:
    counters = base.counters[0]
    rows, delayed, running = counters[STOP], counters[DELAYED], counters[RUNNING_VMS]
    copy_into(to.counters[0], counters)
    copy_into(to.clocks[0], base.clocks[0])
    copy_into(to.free[0], base.free[0])
    copy_into(to.share[0], base.share[0])
    copy_into(to.slot_of[0, :rows], base.slot_of[0, :rows])
    copy_into(to.behind[0, :rows], base.behind[0, :rows])
    copy_into(to.delayed_end[0, :delayed], base.delayed_end[0, :delayed])
    copy_into(to.delayed_vm[0, :delayed], base.delayed_vm[0, :delayed])
    copy_into(to.running[0, :running], base.running[0, :running])
    copy_into(to.running_at[0, :running], base.running_at[0, :running])
    copy_into(to.expected_end[0, :running], base.expected_end[0, :running])
    if counters[RESTRICTED]:
        copy_into(to.room[0], base.room[0])


@compiled
def play_alternatives(
    work: WorkloadArrays,
    base: LaneState,
    scratch: LaneState,
    code: int,
    fragmentation: FragmentationArrays,
    slots: Slots,
    waits: npt.NDArray[np.float64],
) -> None:
    """Write to `waits` (C,) the total wait, seconds, if the VM at hand goes to each of `slots` (C,).

    The heuristic `code` decides all that follows. `inf` where a VM can never be placed.
    """
    work, base, scratch = borrowed(work), borrowed(base), borrowed(scratch)
    fragmentation, slots, waits = borrowed(fragmentation), borrowed(slots), borrowed(waits)
    random = np.zeros(1, np.uint64)
    for index in range(len(slots)):
        _copy(base, scratch)
        place(work, scratch, 0, slots[index])
        while scratch.counters[0, STATUS] == RUNNING:
            place(work, scratch, 0, choose(code, work, scratch, 0, random, fragmentation))
        waits[index] = np.inf if scratch.counters[0, STATUS] == STUCK else scratch.clocks[0, TOTAL_WAIT]


@compiled
def decide(
    work: WorkloadArrays,
    state: LaneState,
    code: int,
    fragmentation: FragmentationArrays,
    random: npt.NDArray[np.uint64],
    most: int,
) -> Slots:
    """The slot that heuristic `code` chooses in lane 0, then up to `most` - 1 others, fullest servers first.

    Slots that mean the same are named once: both of a double VM, and all of empty servers.
    """
    work, state, fragmentation = borrowed(work), borrowed(state), borrowed(fragmentation)
    free, share, need = state.free[0], state.share[0], work.need[state.counters[0, HEAD]]
    room = room_of(state.room, state.free, state.counters[0], 0)
    chosen = choose(code, work, state, 0, random, fragmentation)
    slots = np.empty(free.shape[1], np.int64)
    fullness = np.empty(free.shape[1])
    count, empty_seen = 0, share[chosen] == 1.0 and share[chosen ^ 1] == 1.0
    for slot in range(0, free.shape[1], 2 if need[DOUBLE] else 1):
        if slot == chosen or (need[DOUBLE] and slot == chosen & ~1) or not fits_slot(room, need, slot):
            continue
        if share[slot] == 1.0 and share[slot ^ 1] == 1.0:
            if empty_seen:
                continue
            empty_seen = True
        slots[count] = slot
        fullness[count] = share[slot] + share[slot ^ 1]
        count += 1
    kept = min(count, most - 1)
    result = np.empty(1 + kept, np.int64)
    result[0] = chosen
    order = np.argsort(fullness[:count], kind="mergesort")
    for index in range(kept):
        result[1 + index] = slots[order[index]]
    return result
