"""Policies that interrupt jobs: a job that waits takes the place of running ones whose key is larger.

Keys are the remaining run time (SRTF), or the queue of Tiresias (Gu et al., NSDI 2019) and then the time of
arrival (LAS): a job is in the first queue until it has used so many GPU-seconds, then in the second for ever.
An interrupted job keeps what it has done and pays a restart before it goes on.
"""

from __future__ import annotations

import numpy as np

from spane_rllib.core.compiled_arrays import borrowed
from spane_rllib.core.compiling import compiled, inlined
from spane_rllib.problems.gpu_jobs.simulator.cluster import ClusterArrays
from spane_rllib.problems.gpu_jobs.simulator.events import next_event
from spane_rllib.problems.gpu_jobs.simulator.jobs import WHOLE, Floats, Ints
from spane_rllib.problems.gpu_jobs.simulator.placing import fits, largest_of, largest_share, place, release
from spane_rllib.problems.gpu_jobs.simulator.queue import pop_end, push_end, set_leaf, sift_up
from spane_rllib.problems.gpu_jobs.simulator.state import (
    ABSENT,
    CHOICES,
    COMPLETED,
    NEXT,
    NOW,
    RUNNING,
    STARTED,
    WAITING,
    JobArrays,
    Queue,
    State,
)

SRTF, LAS = range(2)
_SECOND = 1e15
"""Added to the key of jobs in the second queue."""


@inlined
def _key(jobs: JobArrays, mode: int, threshold: float, job: int, done: float) -> float:
    """Of a job that has run for `done` seconds of speed 1."""
    if mode == SRTF:
        return max(jobs.estimate[job] - done, 0.0)
    used = done * jobs.milli[job] / WHOLE
    return jobs.arrival[job] + (_SECOND if used >= threshold * (1 - 1e-12) else 0.0)


@inlined
def _done(state: State, done: Floats, since: Floats, speed: Floats, job: int) -> float:
    """Seconds of speed 1 that a running job has run by now."""
    return done[job] + max(state.clock[NOW] - since[job], 0.0) * speed[job]


@inlined
def _first(state: State, queue: Queue, kind: int) -> int:
    """The job of a class with the least key."""
    base, node = queue.base[kind], 1
    while node < queue.size[kind]:
        node *= 2
        if state.tree[base + node] > state.tree[base + node // 2]:
            node += 1
    return queue.job[base + node]


@compiled
def play_preemptive(
    state: State,
    jobs: JobArrays,
    cluster: ClusterArrays,
    queue: Queue,
    mode: int,
    threshold: float,
    restart: float,
    horizon: float,
) -> tuple[Floats, Ints, Floats]:
    """A whole simulation up to `horizon`, seconds.

    Args:
        mode: SRTF or LAS.
        threshold: GPU-seconds after which LAS puts a job into the second queue.
        restart: seconds that every start after the first costs.

    Returns:
        (N,) seconds that jobs have held their GPUs, (N,) how often they were interrupted, and (R, 5) runs in
        the order of their starts: job, start, end (infinity: at the horizon it had not come), pool, and row
        of a shared GPU.
    """
    state, jobs, cluster, queue = borrowed(state), borrowed(jobs), borrowed(cluster), borrowed(queue)
    count = len(jobs.arrival)
    done, since, speed = np.zeros(count), np.zeros(count), np.ones(count)
    held, cuts = np.zeros(count), np.zeros(count, np.int64)
    last = np.zeros(count)
    runs, latest = np.empty((count, 5)), np.zeros(count, np.int64)
    skipped = np.zeros(len(queue.milli), np.bool_)
    while True:
        at = next_event(state, jobs)
        if mode == LAS:
            for place_in_heap in range(state.count[RUNNING]):
                job = state.end_job[place_in_heap]
                left = threshold - done[job] * jobs.milli[job] / WHOLE
                if jobs.milli[job] > 0 and left > threshold * 1e-12:
                    falls = since[job] + left / (speed[job] * jobs.milli[job] / WHOLE)
                    if falls > state.clock[NOW]:
                        at = min(at, falls)
        if not at <= horizon or at == np.inf:
            break
        state.clock[NOW] = at
        while state.count[RUNNING] > 0 and state.end_time[0] <= at:
            job = pop_end(state)
            release(state, jobs, job)
            held[job] += at - last[job]
            runs[latest[job], 2] = at
            state.count[COMPLETED] += 1
        while state.count[NEXT] < count and jobs.arrival[state.count[NEXT]] <= at:
            job = state.count[NEXT]
            state.count[NEXT] += 1
            state.count[WAITING] += 1
            set_leaf(state, queue, job, _key(jobs, mode, threshold, job, 0.0))
        skipped[:] = False
        while state.count[WAITING] > 0:
            kind, key = -1, ABSENT
            for index in range(len(skipped)):
                if not skipped[index] and state.tree[queue.base[index] + 1] < key:
                    kind, key = index, state.tree[queue.base[index] + 1]
            if kind < 0:
                break
            job = _first(state, queue, kind)
            milli = queue.milli[kind]
            if not fits(milli, largest_of(state.whole, cluster), largest_share(state)):
                victims = _victims(state, jobs, cluster, mode, threshold, done, since, speed, milli, key)
                if len(victims) == 0:
                    skipped[kind] = True
                    continue
                for victim in victims:
                    at_heap = 0
                    while state.end_job[at_heap] != victim:
                        at_heap += 1
                    sift_up(state, at_heap, -np.inf, victim)
                    pop_end(state)
                    release(state, jobs, victim)
                    done[victim] = _done(state, done, since, speed, victim)
                    held[victim] += at - last[victim]
                    runs[latest[victim], 2] = at
                    cuts[victim] += 1
                    state.pool[victim] = -1
                    state.count[WAITING] += 1
                    set_leaf(state, queue, victim, _key(jobs, mode, threshold, victim, done[victim]))
                skipped[:] = False
            set_leaf(state, queue, job, ABSENT)
            state.count[WAITING] -= 1
            state.taken[job] = 0
            speed[job] = place(state, jobs, cluster, queue, False, job)
            if state.count[STARTED] == len(runs):
                runs = np.concatenate((runs, np.empty_like(runs)))
            latest[job] = state.order[job] = state.count[STARTED]
            run = runs[latest[job]]
            run[0], run[1], run[2] = job, at, np.inf
            run[3], run[4] = state.pool[job], state.opened[job]
            state.count[STARTED] += 1
            state.count[CHOICES] += 1
            if np.isnan(state.start[job]):
                state.start[job] = at
            last[job] = at
            since[job] = at + (restart if cuts[job] > 0 else 0.0)
            state.finish[job] = since[job] + (jobs.runtime[job] - done[job]) / speed[job]
            push_end(state, state.finish[job], job)
    if horizon < np.inf:
        for at_heap in range(state.count[RUNNING]):
            held[state.end_job[at_heap]] += horizon - last[state.end_job[at_heap]]
    return held, cuts, runs[: state.count[STARTED]]


@compiled
def _victims(
    state: State,
    jobs: JobArrays,
    cluster: ClusterArrays,
    mode: int,
    threshold: float,
    done: Floats,
    since: Floats,
    speed: Floats,
    milli: int,
    key: float,
) -> Ints:
    """Running jobs of larger key than `key` that make room for a request, largest first; none if in vain."""
    size = 0
    keys, order = np.empty(state.count[RUNNING]), np.empty(state.count[RUNNING], np.int64)
    for index in range(len(keys)):
        job = state.end_job[index]
        other = _key(jobs, mode, threshold, job, _done(state, done, since, speed, job))
        if jobs.milli[job] > 0 and other > key:
            at = size
            while at > 0 and (keys[at - 1] < other or (keys[at - 1] == other and order[at - 1] < job)):
                keys[at], order[at] = keys[at - 1], order[at - 1]
                at -= 1
            keys[at], order[at] = other, job
            size += 1
    whole, opened = state.whole.copy(), state.opened_free.copy()
    share = 0
    for count in range(size):
        job = order[count]
        pool = state.pool[job]
        if jobs.milli[job] < WHOLE:
            row = state.opened[job]
            opened[row] += jobs.milli[job]
            share = max(share, opened[row])
            if opened[row] == WHOLE:
                whole[pool] += 1
        elif pool == -2:
            for index in range(len(whole)):
                whole[index] += state.spread[state.row[job], index]
        else:
            whole[pool] += jobs.milli[job] // WHOLE
        if whole.sum() > 0:
            share = WHOLE
        if fits(milli, largest_of(whole, cluster), share):
            return order[: count + 1].copy()
    return np.empty(0, np.int64)
