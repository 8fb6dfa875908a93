"""The rules of the reference: ticks of a second, one action each, and what happens is seen a tick late.

A tick at second k takes an action and then lets pass everything before k + 1. So a job that arrives at k is
seen at k + 1, and at most one job starts per second. Ticks at which nothing can change are skipped, unless
their rewards are asked for.
"""

from __future__ import annotations

import numpy as np

from spane_rllib.core.compiled_arrays import borrowed
from spane_rllib.core.compiling import compiled, inlined
from spane_rllib.problems.gpu_jobs.simulator.cluster import ClusterArrays
from spane_rllib.problems.gpu_jobs.simulator.events import first_that_fits, next_event, start
from spane_rllib.problems.gpu_jobs.simulator.jobs import WHOLE, Ints
from spane_rllib.problems.gpu_jobs.simulator.placing import fits, largest_of, largest_share, release
from spane_rllib.problems.gpu_jobs.simulator.queue import add, enqueue, pop_end, rank_at, smaller, waiting_at
from spane_rllib.problems.gpu_jobs.simulator.state import (
    BUSY,
    COMPLETED,
    NEXT,
    NOW,
    REWARD,
    RUNNING,
    WAITING,
    JobArrays,
    Queue,
    State,
)

TOP = 16
"""Jobs that the published observation and actions reach."""
_COMPLETE, _WAIT, _USE, _FLOW = 50.0, 0.05, 1.5, 0.3
INVALID = 0.1


@inlined
def _until(state: State, jobs: JobArrays, queue: Queue, second: float) -> float:
    """Handle everything before `second`, which becomes now; returns the priorities of completed jobs."""
    completed = 0.0
    while state.count[RUNNING] > 0 and state.end_time[0] < second:
        job = pop_end(state)
        release(state, jobs, job)
        state.count[COMPLETED] += 1
        completed += jobs.priority[job]
    while state.count[NEXT] < len(jobs.arrival) and jobs.arrival[state.count[NEXT]] < second:
        enqueue(state, jobs, queue, state.count[NEXT])
        state.count[NEXT] += 1
    state.clock[NOW] = second
    return completed


@inlined
def _act(state: State, jobs: JobArrays, cluster: ClusterArrays, queue: Queue, action: int) -> bool:
    """Start the job at place `action` of the queue if there is one and it fits; whether it was started."""
    if action >= state.count[WAITING]:
        return False
    job = waiting_at(state, queue, action)
    if not fits(jobs.milli[job], largest_of(state.whole, cluster), largest_share(state)):
        return False
    start(state, jobs, cluster, queue, False, job)
    return True


@inlined
def _reward(state: State, jobs: JobArrays, queue: Queue, waiting: Ints, completed: float, gpus: int) -> float:
    """Of a tick; sums are in the order of the reference, so that they agree to the last digit."""
    now, waits = state.clock[NOW], 0.0
    for place in range(state.count[WAITING]):
        waits += (now - jobs.arrival[queue.by_rank[rank_at(waiting, place)]]) / 1000.0
    busy = state.count[BUSY] / WHOLE
    use, flow = _USE * busy / gpus, _FLOW * (state.count[WAITING] + state.count[RUNNING])
    return _COMPLETE * completed - _WAIT * waits + use - flow


@compiled
def play_ticks(
    state: State,
    jobs: JobArrays,
    cluster: ClusterArrays,
    queue: Queue,
    order: Queue,
    constant: int,
    cap: int,
    single: bool,
    horizon: float,
    rewarded: bool,
) -> float:
    """A whole simulation of a policy of the reference; returns the sum of rewards if they are asked for.

    Args:
        queue: the order of the environment's queue.
        order: what the policy picks first, among jobs that fit.
        constant: place in the queue that is always chosen instead; -1: none.
        cap: places in the queue that actions reach; the others do nothing.
        single: whether the policy takes only jobs for fit that a single type can hold.
        horizon: seconds at which it is cut off.
        rewarded: pass every tick and add up its reward.
    """
    state, jobs, cluster = borrowed(state), borrowed(jobs), borrowed(cluster)
    queue, order = borrowed(queue), borrowed(order)
    gpus = state.whole.sum()
    total = 0.0
    waiting = np.zeros(len(jobs.arrival) + 1, np.int64)  # by their ranks in `queue`
    while state.clock[NOW] < horizon:
        now = state.clock[NOW]
        changed, penalty = False, 0.0
        if state.count[WAITING] > 0:
            if constant >= 0:
                if constant < state.count[WAITING]:
                    rank = rank_at(waiting, constant)
                    changed = _act(state, jobs, cluster, order, constant)
                    if changed:
                        add(waiting, rank, -1)
            else:
                largest = 0
                if single:
                    for pool in range(len(state.whole)):
                        largest = max(largest, state.whole[pool])
                else:
                    largest = largest_of(state.whole, cluster)
                job = first_that_fits(state, order, largest, largest_share(state))
                if job >= 0:
                    place = smaller(waiting, queue.rank[job])
                    if place < cap:
                        add(waiting, queue.rank[job], -1)
                        start(state, jobs, cluster, order, False, job)
                        changed = True
                    elif place > cap:
                        penalty = INVALID
        second = now + 1.0
        if not rewarded and not changed:
            event = next_event(state, jobs)
            if event == np.inf:
                break
            # Nothing changes before the tick that sees it.
            second = max(second, min(np.floor(event) + 1.0, horizon))
        before = state.count[NEXT]
        completed = _until(state, jobs, order, second)
        for job in range(before, state.count[NEXT]):
            add(waiting, queue.rank[job], 1)
        if rewarded:
            total += _reward(state, jobs, queue, waiting, completed, gpus) - penalty
        if state.count[NEXT] == len(jobs.arrival) and state.count[WAITING] == 0 and state.count[RUNNING] == 0:
            break
    return total


@compiled
def tick(
    state: State, jobs: JobArrays, cluster: ClusterArrays, queue: Queue, action: int, gpus: int, top: int
) -> None:
    """One tick of the environment with an action of its own; the reward is in the clock."""
    state, jobs, cluster, queue = borrowed(state), borrowed(jobs), borrowed(cluster), borrowed(queue)
    if action < top:
        _act(state, jobs, cluster, queue, action)
    completed = _until(state, jobs, queue, state.clock[NOW] + 1.0)
    state.clock[REWARD] = _reward(state, jobs, queue, state.waiting, completed, gpus)
