"""Waiting and running jobs in order: every change and every look costs the logarithm of their number."""

from __future__ import annotations

import numpy as np

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.gpu_jobs.simulator.jobs import Ints
from spane_rllib.problems.gpu_jobs.simulator.state import ABSENT, RUNNING, WAITING, JobArrays, Queue, State


@inlined
def enqueue(state: State, jobs: JobArrays, queue: Queue, job: int) -> None:
    """A job begins to wait."""
    set_leaf(state, queue, job, jobs.estimate[job])
    kind = queue.kind[job]
    state.head[kind] = min(state.head[kind], queue.rank[job])
    state.count[WAITING] += 1
    add(state.waiting, queue.rank[job], 1)


@inlined
def dequeue(state: State, queue: Queue, job: int) -> None:
    """A job waits no longer."""
    set_leaf(state, queue, job, ABSENT)
    kind = queue.kind[job]
    if state.head[kind] == queue.rank[job]:
        first = first_within(state, queue, kind, np.finfo(np.float64).max)
        state.head[kind] = queue.rank[first] if first >= 0 else len(queue.rank)
    state.count[WAITING] -= 1
    add(state.waiting, queue.rank[job], -1)


@inlined
def first_within(state: State, queue: Queue, kind: int, limit: float) -> int:
    """The first waiting job of a class whose estimate is at most `limit`, -1 if there is none."""
    base, size = queue.base[kind], queue.size[kind]
    if not state.tree[base + 1] <= limit:
        return -1
    node = 1
    while node < size:
        node *= 2
        if not state.tree[base + node] <= limit:
            node += 1
    return queue.job[base + node]


@inlined
def set_leaf(state: State, queue: Queue, job: int, value: float) -> None:
    """What the tree of its class holds for a job."""
    base = queue.base[queue.kind[job]]
    node = queue.leaf[job] - base
    state.tree[base + node] = value
    while node > 1:
        node //= 2
        least = min(state.tree[base + 2 * node], state.tree[base + 2 * node + 1])
        if state.tree[base + node] == least:
            break
        state.tree[base + node] = least


@inlined
def add(tree: Ints, rank: int, change: int) -> None:
    """Count `change` more jobs of a rank in a Fenwick tree over ranks."""
    at = rank + 1
    while at < len(tree):
        tree[at] += change
        at += at & -at


@inlined
def smaller(tree: Ints, rank: int) -> int:
    """How many jobs of a Fenwick tree have a smaller rank."""
    total, at = 0, rank
    while at > 0:
        total += tree[at]
        at -= at & -at
    return total


@inlined
def rank_at(tree: Ints, place: int) -> int:
    """The rank that has `place` jobs of a Fenwick tree below it."""
    at, step = 0, 1
    while 2 * step < len(tree):
        step *= 2
    left = place
    while step > 0:
        if at + step < len(tree) and tree[at + step] <= left:
            at += step
            left -= tree[at]
        step //= 2
    return at


@inlined
def waiting_at(state: State, queue: Queue, place: int) -> int:
    """The waiting job that has `place` others in front of it."""
    return queue.by_rank[rank_at(state.waiting, place)]


@inlined
def push_end(state: State, time: float, job: int) -> None:
    """A running job ends at `time`."""
    state.count[RUNNING] += 1
    sift_up(state, state.count[RUNNING] - 1, time, job)


@inlined
def sift_up(state: State, at: int, time: float, job: int) -> None:
    """Put a job into the heap from place `at` upwards."""
    while at > 0:
        above = (at - 1) // 2
        if not _earlier(time, state.order[job], state, above):
            break
        state.end_time[at], state.end_job[at] = state.end_time[above], state.end_job[above]
        at = above
    state.end_time[at], state.end_job[at] = time, job


@inlined
def pop_end(state: State) -> int:
    """The running job that ends first, of equals the one started first; it runs no longer."""
    first = state.end_job[0]
    state.count[RUNNING] -= 1
    size = state.count[RUNNING]
    if size > 0:
        time, job = state.end_time[size], state.end_job[size]
        at = 0
        while True:
            below = 2 * at + 1
            if below >= size:
                break
            if below + 1 < size and _earlier(
                state.end_time[below + 1], state.order[state.end_job[below + 1]], state, below
            ):
                below += 1
            if _earlier(time, state.order[job], state, below):
                break
            state.end_time[at], state.end_job[at] = state.end_time[below], state.end_job[below]
            at = below
        state.end_time[at], state.end_job[at] = time, job
    return first


@inlined
def _earlier(time: float, order: int, state: State, at: int) -> bool:
    other = state.end_time[at]
    return time < other or (time == other and order < state.order[state.end_job[at]])
