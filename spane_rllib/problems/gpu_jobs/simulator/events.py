"""The corrected rules: jobs arrive, start and end at any time, several at the same instant.

At an instant everything that ends gives its GPUs back, everything that arrives joins the queue, and then the
policy starts jobs until it wants no more. A job that has started keeps its GPUs to its end.
"""

from __future__ import annotations

import numpy as np

from spane_rllib.core.compiled_arrays import borrowed
from spane_rllib.core.compiling import compiled, inlined
from spane_rllib.problems.gpu_jobs.simulator.cluster import ClusterArrays
from spane_rllib.problems.gpu_jobs.simulator.placing import fits, largest_of, largest_share, place, release
from spane_rllib.problems.gpu_jobs.simulator.queue import dequeue, enqueue, pop_end, push_end
from spane_rllib.problems.gpu_jobs.simulator.state import (
    CHOICES,
    COMPLETED,
    COST,
    NEXT,
    NOW,
    RUNNING,
    STARTED,
    WAITING,
    WEIGHT,
    JobArrays,
    Queue,
    State,
)


@inlined
def next_event(state: State, jobs: JobArrays) -> float:
    """When something arrives or ends next; infinity: never again."""
    at = np.inf
    if state.count[NEXT] < len(jobs.arrival):
        at = jobs.arrival[state.count[NEXT]]
    if state.count[RUNNING] > 0:
        at = min(at, state.end_time[0])
    return at


@inlined
def pass_time(state: State, until: float) -> None:
    """The clock moves, and what waiting jobs cost adds up."""
    state.clock[COST] += state.clock[WEIGHT] * (until - state.clock[NOW])
    state.clock[NOW] = until


@inlined
def handle_events(state: State, jobs: JobArrays, queue: Queue) -> None:
    """Everything that ends or arrives by now."""
    now = state.clock[NOW]
    while state.count[RUNNING] > 0 and state.end_time[0] <= now:
        job = pop_end(state)
        release(state, jobs, job)
        state.count[COMPLETED] += 1
    while state.count[NEXT] < len(jobs.arrival) and jobs.arrival[state.count[NEXT]] <= now:
        job = state.count[NEXT]
        state.count[NEXT] += 1
        state.clock[WEIGHT] += jobs.priority[job]
        enqueue(state, jobs, queue, job)


@compiled
def start(
    state: State, jobs: JobArrays, cluster: ClusterArrays, queue: Queue, gradient: bool, job: int
) -> None:
    """Start a waiting job that fits, where the fewest fragments arise or in the fastest pool."""
    state, jobs, cluster, queue = borrowed(state), borrowed(jobs), borrowed(cluster), borrowed(queue)
    now = state.clock[NOW]
    speed = place(state, jobs, cluster, queue, gradient, job)
    dequeue(state, queue, job)
    state.order[job] = state.count[STARTED]
    state.count[STARTED] += 1
    state.count[CHOICES] += 1
    state.start[job] = now
    state.finish[job] = now + jobs.runtime[job] / speed
    state.expected[job] = now + jobs.estimate[job] / speed
    state.clock[WEIGHT] -= jobs.priority[job]
    state.clock[COST] += jobs.priority[job] * (state.finish[job] - now - jobs.runtime[job])
    push_end(state, state.finish[job], job)


@inlined
def first_that_fits(state: State, queue: Queue, largest: int, share: int) -> int:
    """The first job of the queue among those that fit; -1 if none does."""
    best = len(queue.rank)
    for kind in range(len(queue.milli)):
        if state.head[kind] < best and fits(queue.milli[kind], largest, share):
            best = state.head[kind]
    return queue.by_rank[best] if best < len(queue.rank) else -1


@inlined
def head_of_queue(state: State, queue: Queue) -> int:
    """The first job of the queue; -1 if nobody waits."""
    best = len(queue.rank)
    for kind in range(len(queue.milli)):
        best = min(best, state.head[kind])
    return queue.by_rank[best] if best < len(queue.rank) else -1


@compiled
def advance(state: State, jobs: JobArrays, queue: Queue, horizon: float) -> bool:
    """Go on to the next event and handle it; False where there is none up to `horizon`."""
    state, jobs, queue = borrowed(state), borrowed(jobs), borrowed(queue)
    at = next_event(state, jobs)
    if not at <= horizon or at == np.inf:
        return False
    pass_time(state, at)
    handle_events(state, jobs, queue)
    return True


@compiled
def play(
    state: State,
    jobs: JobArrays,
    cluster: ClusterArrays,
    queue: Queue,
    strict: bool,
    gradient: bool,
    horizon: float,
) -> None:
    """A whole simulation up to `horizon`, seconds, of a policy that goes by the order of the queue.

    Args:
        strict: the first of the queue blocks the others; else the first that fits starts.
        gradient: place by the fragmentation gradient, else in the fastest pool.
    """
    state, jobs, cluster, queue = borrowed(state), borrowed(jobs), borrowed(cluster), borrowed(queue)
    while advance(state, jobs, queue, horizon):
        while state.count[WAITING] > 0:
            largest, share = largest_of(state.whole, cluster), largest_share(state)
            if strict:
                job = head_of_queue(state, queue)
                if not fits(jobs.milli[job], largest, share):
                    break
            else:
                job = first_that_fits(state, queue, largest, share)
                if job < 0:
                    break
            start(state, jobs, cluster, queue, gradient, job)
