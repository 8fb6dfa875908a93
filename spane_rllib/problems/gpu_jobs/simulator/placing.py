"""Where a job goes, and what it gives back: the building blocks of all rules, compiled."""

from __future__ import annotations

import numpy as np

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.gpu_jobs.simulator.cluster import ClusterArrays
from spane_rllib.problems.gpu_jobs.simulator.jobs import WHOLE, Ints
from spane_rllib.problems.gpu_jobs.simulator.state import (
    BUSY,
    NOWHERE,
    OPENED,
    ROWS,
    SPREAD,
    JobArrays,
    Queue,
    State,
)


@inlined
def largest_of(whole: Ints, cluster: ClusterArrays) -> int:
    """GPUs of the largest job that fits into the free ones."""
    if cluster.split == 2:
        return whole.sum()
    best, together, kind = 0, 0, -1
    for pool in range(len(whole)):
        if cluster.split == 0 or cluster.kind[pool] != kind:
            together, kind = 0, cluster.kind[pool]
        together += whole[pool]
        best = max(best, together)
    return best


@inlined
def largest_share(state: State) -> int:
    """Thousandths of the largest share of a GPU that fits."""
    for pool in range(len(state.whole)):
        if state.whole[pool] > 0:
            return WHOLE
    best = 0
    for row in range(state.count[OPENED]):
        if state.opened_pool[row] >= 0:
            best = max(best, state.opened_free[row])
    return best


@inlined
def fits(milli: int, largest: int, share: int) -> bool:
    """Whether a request fits, `largest_of` and `largest_share` being known."""
    if milli >= WHOLE:
        return milli <= largest * WHOLE
    return milli <= share


@inlined
def fragments(whole: int, queue: Queue) -> float:
    """Free GPUs of a pool that a job of the workload cannot use, on average (USENIX ATC 2023)."""
    lost = 0.0
    for kind in range(len(queue.milli)):
        if queue.milli[kind] > whole * WHOLE:
            lost += queue.share[kind] * whole
    return lost


@inlined
def choose_pool(whole: Ints, gpus: int, queue: Queue, gradient: bool) -> int:
    """The pool that takes all of a job, NOWHERE if none can: the first, or that of least new fragments."""
    chosen, least = NOWHERE, np.inf
    for pool in range(len(whole)):
        if whole[pool] >= gpus:
            if not gradient:
                return pool
            change = fragments(whole[pool] - gpus, queue) - fragments(whole[pool], queue)
            if change < least - 1e-12:
                chosen, least = pool, change
    return chosen


@inlined
def spread(whole: Ints, gpus: int, cluster: ClusterArrays, counts: Ints) -> None:
    """GPUs of each pool for a job that fits only over several: those of one type if possible, then of all."""
    counts[:] = 0
    first, last = 0, len(whole)
    if cluster.split >= 1:
        begin = 0
        while begin < len(whole):
            end, together = begin, 0
            while end < len(whole) and cluster.kind[end] == cluster.kind[begin]:
                together += whole[end]
                end += 1
            if together >= gpus:
                first, last = begin, end
                break
            begin = end
    left = gpus
    for pool in range(first, last):
        counts[pool] = min(left, whole[pool])
        left -= counts[pool]


@inlined
def place(
    state: State, jobs: JobArrays, cluster: ClusterArrays, queue: Queue, gradient: bool, job: int
) -> float:
    """Give a job that fits its GPUs; returns the speed of the slowest."""
    milli = jobs.milli[job]
    if milli == 0:
        state.pool[job] = NOWHERE
        return 1.0
    state.count[BUSY] += milli
    if milli < WHOLE:
        return _share(state, cluster, job, milli)
    gpus = milli // WHOLE
    pool = choose_pool(state.whole, gpus, queue, gradient)
    if pool != NOWHERE:
        state.whole[pool] -= gpus
        state.pool[job] = pool
        state.taken[job, cluster.kind[pool]] = gpus
        return cluster.speed[pool]
    state.count[ROWS] -= 1
    row = state.rows[state.count[ROWS]]
    state.row[job], state.pool[job] = row, SPREAD
    counts = state.spread[row]
    spread(state.whole, gpus, cluster, counts)
    speed = np.inf
    for index in range(len(counts)):
        if counts[index] > 0:
            state.whole[index] -= counts[index]
            state.taken[job, cluster.kind[index]] += counts[index]
            speed = min(speed, cluster.speed[index])
    return speed


@inlined
def fuller(state: State, row: int, other: int) -> bool:
    """Whether an opened GPU has less left than another, or as much in a faster pool."""
    if state.opened_free[row] == state.opened_free[other]:
        return state.opened_pool[row] < state.opened_pool[other]
    return state.opened_free[row] < state.opened_free[other]


@inlined
def _share(state: State, cluster: ClusterArrays, job: int, milli: int) -> float:
    """A share of the fullest GPU that has room, else of a new one of the fastest pool."""
    chosen, closed = -1, state.count[OPENED]
    for row in range(state.count[OPENED]):
        if state.opened_pool[row] < 0:
            closed = min(closed, row)
        elif state.opened_free[row] >= milli and (chosen < 0 or fuller(state, row, chosen)):
            chosen = row
    if chosen < 0:
        chosen = closed
        state.count[OPENED] = max(state.count[OPENED], closed + 1)
        for pool in range(len(state.whole)):
            if state.whole[pool] > 0:
                state.whole[pool] -= 1
                state.opened_pool[chosen], state.opened_free[chosen] = pool, WHOLE
                break
    state.opened_free[chosen] -= milli
    state.opened[job] = chosen
    state.pool[job] = state.opened_pool[chosen]
    return cluster.speed[state.opened_pool[chosen]]


@inlined
def release(state: State, jobs: JobArrays, job: int) -> None:
    """Take back what a job holds."""
    milli = jobs.milli[job]
    if milli == 0:
        return
    state.count[BUSY] -= milli
    pool = state.pool[job]
    if milli < WHOLE:
        row = state.opened[job]
        state.opened_free[row] += milli
        if state.opened_free[row] == WHOLE:
            state.whole[pool] += 1
            state.opened_pool[row] = -1
    elif pool == SPREAD:
        row = state.row[job]
        for index in range(len(state.whole)):
            state.whole[index] += state.spread[row, index]
        state.rows[state.count[ROWS]] = row
        state.count[ROWS] += 1
    else:
        state.whole[pool] += milli // WHOLE
