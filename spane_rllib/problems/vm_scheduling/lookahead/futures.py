"""A future of a running episode as an episode of its own: what runs, who waits, and who may come.

Its rows are the VMs that run, then those that wait, in order, the VM at hand among them, then arrivals. The
rules of the simulator play it on, under any queue discipline.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiled_arrays import borrowed, copy_into
from spane_rllib.core.compiling import compiled, inlined
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    ARRIVAL,
    BLOCKED,
    CURSOR,
    DELAYED,
    FIRST,
    FIRST_SLOT,
    HEAD,
    LAST,
    LAST_SLOT,
    LIFETIME,
    NEXT_END,
    NOW,
    PLACED,
    PREVIOUS,
    RESTRICTED,
    RUNNING,
    RUNNING_VMS,
    SEEN,
    SIZE,
    START,
    STATUS,
    STOP,
    WAITING,
    LaneState,
)
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays

_TRIES = 8  # to draw a lifetime that fits a prediction and the age


class History(NamedTuple):
    """What is known of VMs in general: the first rows of the trace, which no evaluated episode plays."""

    rows: int  # of the trace
    lifetimes: npt.NDArray[np.float64]  # (rows,) seconds, by size, each size sorted
    first: npt.NDArray[np.int64]  # (sizes + 1,) where each size begins in `lifetimes`


class FutureArrays(NamedTuple):
    """Room for the rows of a future, as in `WorkloadArrays`."""

    need: npt.NDArray[np.int32]  # (M, 4)
    times: npt.NDArray[np.float64]  # (M, 2)
    end_time: npt.NDArray[np.float64]  # (M,)
    end_vm: npt.NDArray[np.int32]  # (M,)
    estimate: npt.NDArray[np.float64]  # (M,)
    kind: npt.NDArray[np.int32]  # (M,)


def allocate_future(rows: int) -> FutureArrays:
    """Room for futures of up to so many rows."""
    return FutureArrays(
        np.zeros((rows, 4), np.int32),
        np.zeros((rows, 2)),
        np.zeros(rows),
        np.zeros(rows, np.int32),
        np.zeros(rows),
        np.zeros(rows, np.int32),
    )


def history_of(arrays: WorkloadArrays, rows: int) -> History:
    """What the first `rows` rows of a workload tell."""
    size = arrays.need[:rows, SIZE]
    lifetimes = arrays.times[:rows, LIFETIME]
    order = np.lexsort((lifetimes, size))
    sizes = int(arrays.need[:, SIZE].max()) + 1
    first = np.searchsorted(size[order], np.arange(sizes + 1)).astype(np.int64)
    return History(rows, np.ascontiguousarray(lifetimes[order]), first)


@inlined
def _typical(history: History, size: int, age: float, random: np.random.Generator) -> float:
    """A lifetime of more than `age` seconds that VMs of this size have had."""
    first, last = history.first[size], history.first[size + 1]
    longer = first + np.searchsorted(history.lifetimes[first:last], age, side="right")
    if longer == last:
        return 2.0 * age + 1.0
    return history.lifetimes[longer + np.int64(random.random() * (last - longer))]


@inlined
def _lifetime(
    work: WorkloadArrays,
    row: int,
    age: float,
    sigma: float,
    history: History,
    random: np.random.Generator,
) -> float:
    """A lifetime that the VM of `row`, which has run for `age` seconds, may have, by what is known of it.

    `sigma` is negative where nothing is known, else that of `Lifetimes`.
    """
    if sigma == 0.0:
        return work.times[row, LIFETIME]
    if sigma > 0.0:
        for _ in range(_TRIES):
            lifetime = work.estimate[row] * np.exp(sigma * random.standard_normal())
            if lifetime > age:
                return lifetime
    return _typical(history, work.need[row, SIZE], age, random)


@inlined
def _append(
    work: WorkloadArrays, kind: npt.NDArray[np.int32], future: FutureArrays, at: int, row: int
) -> None:
    copy_into(future.need[at], work.need[row])
    future.kind[at] = kind[row]
    future.estimate[at] = work.estimate[row]
    future.times[at, ARRIVAL] = work.times[row, ARRIVAL]


@compiled
def begin_future(
    work: WorkloadArrays,
    kind: npt.NDArray[np.int32],
    state: LaneState,
    sigma: float,
    history: History,
    vms: int,
    announced: float,
    true_future: bool,
    random: np.random.Generator,
    future: FutureArrays,
    base: LaneState,
) -> tuple[int, int]:
    """Write a future of the episode in lane 0 of `state` to `future`, and where it begins to `base`.

    Args:
        work: of the episode; running VMs are listed, and estimates are the truth where `sigma` is 0.
        kind: `Workload.kind`.
        state: of the episode, which waits for a decision.
        sigma: what is known of lifetimes, see `_lifetime`.
        history: what is known of VMs in general.
        vms: arrivals.
        announced: seconds from now on of which the arrivals are known.
        true_future: the arrivals are what really comes until the episode ends.
        random: draws what is not known.
        future: with room for all that.
        base: one lane with as much room, of the same queue discipline.

    Returns:
        The number of rows, and how many of them run when it begins.
    """
    work, state, future, base = borrowed(work), borrowed(state), borrowed(future), borrowed(base)
    counters, clocks, target = state.counters[0], state.clocks[0], base.counters[0]
    start, now = counters[START], clocks[NOW]
    target[:] = 0
    base.clocks[0] = 0.0
    base.clocks[0, NOW] = now
    copy_into(base.free[0], state.free[0])
    copy_into(base.share[0], state.share[0])
    if counters[RESTRICTED]:
        copy_into(base.room[0], state.room[0])
    running = counters[RUNNING_VMS]
    for at in range(running):
        position = state.running[0, at]
        row, slot, end = start + position, state.slot_of[0, position], state.expected_end[0, position]
        _append(work, kind, future, at, row)
        base.expected_end[0, at] = end
        base.running[0, at] = at
        base.running_at[0, at] = at
        base.slot_of[0, at] = slot if slot < 0 else -1 - slot
        if sigma != 0.0:
            placed = end - work.estimate[row]
            age = max(0.0, now - placed) if placed == placed else 0.0  # not where it never ends
            end = now - age + _lifetime(work, row, age, sigma, history, random)
        future.times[at, LIFETIME] = max(0.0, end - now)
        base.delayed_end[0, at] = end
        base.delayed_vm[0, at] = at
    # A sorted list is a heap.
    order = np.argsort(base.delayed_end[0, :running])
    ends = base.delayed_end[0, :running].copy()
    for at in range(running):
        base.delayed_end[0, at] = ends[order[at]]
        base.delayed_vm[0, at] = order[at]
    rows = running
    for pointer in (FIRST, LAST, CURSOR, PREVIOUS):
        target[pointer] = -1
    position = counters[FIRST]
    while position >= 0:
        _append(work, kind, future, rows, start + position)
        future.times[rows, LIFETIME] = _lifetime(work, start + position, 0.0, sigma, history, random)
        base.slot_of[0, rows] = state.slot_of[0, position]
        base.behind[0, rows] = -1
        if target[LAST] < 0:
            target[FIRST] = rows
        else:
            base.behind[0, target[LAST]] = rows
        target[LAST] = rows
        if position == counters[CURSOR]:
            target[CURSOR] = rows
        if position == counters[PREVIOUS]:
            target[PREVIOUS] = rows
        rows += 1
        position = np.int64(state.behind[0, position])
    target[HEAD] = target[CURSOR]
    if counters[CURSOR] < 0:  # the VM at hand has just arrived
        target[HEAD] = rows
        _append(work, kind, future, rows, counters[HEAD])
        future.times[rows, LIFETIME] = _lifetime(work, counters[HEAD], 0.0, sigma, history, random)
        rows += 1
    target[SEEN] = rows
    row, last = counters[SEEN], counters[STOP] if true_future else work.times.shape[0] - 1
    while row < last and work.times[row, ARRIVAL] < now:  # those behind the end of the episode never came
        row += 1
    most = future.times.shape[0] if true_future else rows + vms
    while row < last and rows < most and (true_future or work.times[row, ARRIVAL] <= now + announced):
        _append(work, kind, future, rows, row)
        future.times[rows, LIFETIME] = _lifetime(work, row, 0.0, sigma, history, random)
        rows += 1
        row += 1
    if not true_future:
        # A stretch of history from a random row on. Arrivals go on after what has been announced.
        row = int(random.random() * (history.rows - (most - rows)))
        arrival = now + announced
        while rows < most:
            _append(work, kind, future, rows, row)
            future.times[rows, LIFETIME] = future.estimate[rows] = work.times[row, LIFETIME]
            if row > 0:
                arrival += work.times[row, ARRIVAL] - work.times[row - 1, ARRIVAL]
            future.times[rows, ARRIVAL] = arrival
            rows += 1
            row += 1
    coming = future.times[running:rows, ARRIVAL] + future.times[running:rows, LIFETIME]
    order = np.argsort(coming)
    for at in range(rows - running):
        future.end_time[at] = coming[order[at]]
        future.end_vm[at] = running + order[at]
    target[STOP] = rows
    target[NEXT_END] = 0
    target[DELAYED] = running
    target[RUNNING_VMS] = running
    target[PLACED] = running
    target[STATUS] = RUNNING
    for copied in (WAITING, BLOCKED, RESTRICTED, FIRST_SLOT, LAST_SLOT):
        target[copied] = counters[copied]
    return rows, running
