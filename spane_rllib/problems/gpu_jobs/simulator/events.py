"""The corrected rules: jobs arrive, start and end at any time, several at the same instant.

At an instant everything that ends gives its GPUs back, everything that arrives joins the queue, and then the
policy starts jobs until it wants no more. A job that has started keeps its GPUs to its end.
"""

from __future__ import annotations

import numpy as np

from spane_rllib.core.compiling import borrowed, compiled, inlined
from spane_rllib.problems.gpu_jobs.simulator.backfilling import conservative_choice, easy_choice
from spane_rllib.problems.gpu_jobs.simulator.cluster import ClusterArrays
from spane_rllib.problems.gpu_jobs.simulator.jobs import WHOLE
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

STRICT, FIRST_FIT, EASY, CONSERVATIVE, WFP3, UNICEP = range(6)


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


@inlined
def start(
    state: State, jobs: JobArrays, cluster: ClusterArrays, queue: Queue, gradient: bool, job: int
) -> None:
    """Start a waiting job that fits."""
    now = state.clock[NOW]
    speed = place(state, jobs, cluster, queue, gradient, job)
    dequeue(state, queue, job)
    state.order[job] = state.count[STARTED]
    state.count[STARTED] += 1
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


@inlined
def _best_score(
    state: State, jobs: JobArrays, pending: np.ndarray, largest: int, share: int, mode: int
) -> int:
    """The job of highest WFP3 or UNICEP score that fits, of equals the first; -1 if none does."""
    best, chosen = -np.inf, -1
    now = state.clock[NOW]
    for at in range(state.count[WAITING]):
        job = pending[at]
        if fits(jobs.milli[job], largest, share):
            wait = now - jobs.arrival[job]
            # Of jobs without GPUs, scores would all be 0, or divided by the logarithm of 1.
            gpus = max(jobs.milli[job], 1) / WHOLE
            if mode == WFP3:
                ratio = wait / jobs.estimate[job]
                score = ratio * ratio * ratio * gpus
            else:
                score = wait / (np.log2(gpus + 1.0) * jobs.estimate[job])
            if score > best or (score == best and job < chosen):
                best, chosen = score, job
    return chosen


@compiled
def play(
    state: State,
    jobs: JobArrays,
    cluster: ClusterArrays,
    queue: Queue,
    mode: int,
    gradient: bool,
    depth: int,
    horizon: float,
) -> None:
    """A whole simulation up to `horizon`, seconds.

    Args:
        mode: how the policy goes through its order, or its score.
        gradient: place by the fragmentation gradient, else in the fastest pool.
        depth: jobs of conservative backfilling that have reservations.
    """
    state, jobs, cluster, queue = borrowed(state), borrowed(jobs), borrowed(cluster), borrowed(queue)
    scored = mode >= WFP3
    pending = np.empty(len(jobs.arrival) if scored else 0, np.int64)
    where = np.empty(len(pending), np.int64)
    arrived = 0
    while True:
        at = next_event(state, jobs)
        if not at <= horizon or at == np.inf:
            break
        pass_time(state, at)
        handle_events(state, jobs, queue)
        if scored:
            waited = state.count[WAITING] - (state.count[NEXT] - arrived)
            while arrived < state.count[NEXT]:
                pending[waited], where[arrived] = arrived, waited
                waited += 1
                arrived += 1
        while state.count[WAITING] > 0:
            largest, share = largest_of(state.whole, cluster), largest_share(state)
            if mode == FIRST_FIT:
                job = first_that_fits(state, queue, largest, share)
            elif scored:
                job = _best_score(state, jobs, pending, largest, share, mode)
            elif mode == CONSERVATIVE:
                job = conservative_choice(state, jobs, cluster, queue, gradient, depth)
            else:
                job = head_of_queue(state, queue)
                if not fits(jobs.milli[job], largest, share):
                    job = -1
                    if mode == EASY:
                        job = easy_choice(state, jobs, cluster, queue, gradient, largest, share)
            if job < 0:
                break
            start(state, jobs, cluster, queue, gradient, job)
            state.count[CHOICES] += 1
            if scored:
                last = pending[state.count[WAITING]]
                pending[where[job]], where[last] = last, where[job]


@compiled
def advance(state: State, jobs: JobArrays, cluster: ClusterArrays, queue: Queue, horizon: float) -> bool:
    """Go on to the next event and handle it; False where there is none up to `horizon`."""
    state, jobs, cluster, queue = borrowed(state), borrowed(jobs), borrowed(cluster), borrowed(queue)
    at = next_event(state, jobs)
    if not at <= horizon or at == np.inf:
        return False
    pass_time(state, at)
    handle_events(state, jobs, queue)
    return True


@compiled
def start_job(state: State, jobs: JobArrays, cluster: ClusterArrays, queue: Queue, job: int) -> None:
    """Start a waiting job that fits, in the fastest pool."""
    state, jobs, cluster, queue = borrowed(state), borrowed(jobs), borrowed(cluster), borrowed(queue)
    start(state, jobs, cluster, queue, False, job)
    state.count[CHOICES] += 1
