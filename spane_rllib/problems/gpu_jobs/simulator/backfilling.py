"""EASY and conservative backfilling (Mu'alem and Feitelson, IEEE TPDS 2001) by estimated run times."""

from __future__ import annotations

import numpy as np

from spane_rllib.core.compiled_arrays import borrowed, copy_into
from spane_rllib.core.compiling import compiled, inlined
from spane_rllib.problems.gpu_jobs.simulator.cluster import ClusterArrays
from spane_rllib.problems.gpu_jobs.simulator.events import advance, head_of_queue, start
from spane_rllib.problems.gpu_jobs.simulator.jobs import WHOLE, Floats, Ints
from spane_rllib.problems.gpu_jobs.simulator.placing import (
    choose_pool,
    fits,
    fuller,
    largest_of,
    largest_share,
    spread,
)
from spane_rllib.problems.gpu_jobs.simulator.queue import first_within, waiting_at
from spane_rllib.problems.gpu_jobs.simulator.state import (
    NOW,
    NOWHERE,
    OPENED,
    RUNNING,
    SPREAD,
    WAITING,
    JobArrays,
    Queue,
    State,
)


@inlined
def _expected_ends(state: State) -> tuple[Floats, Ints]:
    """Expected ends of running jobs, ascending, and the jobs; who is late ends now."""
    size = state.count[RUNNING]
    ends, order = np.empty(size), np.empty(size, np.int64)
    for count in range(size):
        job = state.end_job[count]
        end = max(state.expected[job], state.clock[NOW])
        at = count
        while at > 0 and ends[at - 1] > end:
            ends[at], order[at] = ends[at - 1], order[at - 1]
            at -= 1
        ends[at], order[at] = end, job
    return ends, order


@inlined
def _give_back(state: State, jobs: JobArrays, job: int, whole: Ints, opened: Ints) -> None:
    """What the running `job` will have given back, in `whole` and the free shares `opened`."""
    milli, pool = jobs.milli[job], state.pool[job]
    if milli == 0:
        return
    if milli < WHOLE:
        row = state.opened[job]
        opened[row] += milli
        if opened[row] == WHOLE:
            whole[pool] += 1
    elif pool == SPREAD:
        for index in range(len(whole)):
            whole[index] += state.spread[state.row[job], index]
    else:
        whole[pool] += milli // WHOLE


@inlined
def _share_of(state: State, whole: Ints, opened: Ints) -> int:
    best = 0
    for pool in range(len(whole)):
        if whole[pool] > 0:
            return WHOLE
    for row in range(state.count[OPENED]):
        if state.opened_pool[row] >= 0:
            best = max(best, opened[row])
    return best


@inlined
def _where(state: State, cluster: ClusterArrays, queue: Queue, milli: int, counts: Ints) -> int:
    """Where a job that fits now would go: GPUs of each pool in `counts`, or the row of an opened GPU."""
    counts[:] = 0
    if milli == 0:
        return -1
    if milli < WHOLE:
        chosen = -1
        for row in range(state.count[OPENED]):
            if (
                state.opened_pool[row] >= 0
                and state.opened_free[row] >= milli
                and (chosen < 0 or fuller(state, row, chosen))
            ):
                chosen = row
        if chosen < 0:
            for pool in range(len(counts)):
                if state.whole[pool] > 0:
                    counts[pool] = 1
                    break
        return chosen
    pool = choose_pool(state.whole, milli // WHOLE, queue, False)
    if pool == NOWHERE:
        spread(state.whole, milli // WHOLE, cluster, counts)
    else:
        counts[pool] = milli // WHOLE
    return -1


@inlined
def _easy_choice(
    state: State, jobs: JobArrays, cluster: ClusterArrays, queue: Queue, largest: int, share: int
) -> int:
    """The first job that fits and does not delay the head of the queue, which does not fit; -1: none.

    It must end by the time at which the head is expected to start, or leave enough for the head then.
    """
    head = len(queue.rank)
    for kind in range(len(queue.milli)):
        head = min(head, state.head[kind])
    wanted = jobs.milli[queue.by_rank[head]]
    ends, order = _expected_ends(state)
    whole, opened = state.whole.copy(), state.opened_free.copy()
    shadow = np.inf
    for at in range(len(order)):
        if ends[at] > shadow:
            break
        _give_back(state, jobs, order[at], whole, opened)
        # All that ends at the same time is there for others, too.
        if fits(wanted, largest_of(whole, cluster), _share_of(state, whole, opened)):
            shadow = ends[at]
    best = len(queue.rank)
    counts = np.empty(len(whole), np.int64)
    for kind in range(len(queue.milli)):
        milli = queue.milli[kind]
        if state.head[kind] >= best or not fits(milli, largest, share):
            continue
        row = _where(state, cluster, queue, milli, counts)
        speed = np.inf
        if row >= 0:
            speed = cluster.speed[state.opened_pool[row]]
        for pool in range(len(counts)):
            if counts[pool] > 0:
                speed = min(speed, cluster.speed[pool])
        if milli == 0:
            speed = 1.0
        limit = (shadow - state.clock[NOW]) * speed
        left = whole - counts
        if row >= 0 and opened[row] == WHOLE:  # by then it would have been closed
            left[state.opened_pool[row]] -= 1
        remains = True
        for pool in range(len(left)):
            if left[pool] < 0:
                remains = False
        if remains:
            after = opened.copy()
            if row >= 0:
                after[row] -= milli
            if fits(wanted, largest_of(left, cluster), _share_of(state, left, after)):
                limit = np.finfo(np.float64).max
        job = first_within(state, queue, kind, limit)
        if job >= 0:
            best = min(best, queue.rank[job])
    return queue.by_rank[best] if best < len(queue.rank) else -1


@inlined
def _conservative_choice(
    state: State, jobs: JobArrays, cluster: ClusterArrays, queue: Queue, depth: int
) -> int:
    """The first of `depth` jobs whose reservation begins now, each behind those before it; -1: none.

    Reservations are made anew at every event, in the order of the queue, at the earliest time at which a job
    fits for all of its estimated run time. Whole GPUs only.
    """
    now = state.clock[NOW]
    ends, order = _expected_ends(state)
    count = min(depth, state.count[WAITING])
    most = len(order) + 2 * count + 2
    pools = len(state.whole)
    times, free = np.empty(most), np.empty((most, pools), np.int64)
    times[0] = now
    copy_into(free[0], state.whole)
    steps = 1
    opened = state.opened_free.copy()
    for at in range(len(order)):
        if ends[at] > times[steps - 1]:
            times[steps] = ends[at]
            copy_into(free[steps], free[steps - 1])
            steps += 1
        _give_back(state, jobs, order[at], free[steps - 1], opened)
    lowest, counts = np.empty(pools, np.int64), np.empty(pools, np.int64)
    for place in range(count):
        job = waiting_at(state, queue, place)
        gpus = jobs.milli[job] // WHOLE
        for first in range(steps):
            if gpus > largest_of(free[first], cluster):
                continue
            # With what is free from then on; the pools may be slower than the first.
            lowest[:] = free[first]
            speed = _speed_in(lowest, gpus, cluster, queue, counts)
            last = first + 1
            end = times[first] + jobs.estimate[job] / speed
            fitting = True
            while last < steps and times[last] < end:
                lowest[:] = np.minimum(lowest, free[last])
                if gpus > largest_of(lowest, cluster):
                    fitting = False
                    break
                speed = _speed_in(lowest, gpus, cluster, queue, counts)
                end = max(end, times[first] + jobs.estimate[job] / speed)
                last += 1
            if not fitting:
                continue
            if first == 0:
                return job
            if last == steps or times[last] > end:  # a new step where the reservation ends
                for step in range(steps, last, -1):
                    times[step], free[step] = times[step - 1], free[step - 1]
                times[last], free[last] = end, free[last - 1]
                steps += 1
            for step in range(first, last):
                free[step] -= counts
            break
    return -1


@inlined
def _speed_in(whole: Ints, gpus: int, cluster: ClusterArrays, queue: Queue, counts: Ints) -> float:
    """Where `gpus` would go, in `counts`, and how fast they would be."""
    counts[:] = 0
    if gpus == 0:
        return 1.0
    pool = choose_pool(whole, gpus, queue, False)
    if pool == NOWHERE:
        spread(whole, gpus, cluster, counts)
    else:
        counts[pool] = gpus
    speed = np.inf
    for index in range(len(counts)):
        if counts[index] > 0:
            speed = min(speed, cluster.speed[index])
    return speed


@compiled
def play_easy(state: State, jobs: JobArrays, cluster: ClusterArrays, queue: Queue, horizon: float) -> None:
    """A whole simulation up to `horizon`, seconds, with EASY backfilling."""
    state, jobs, cluster, queue = borrowed(state), borrowed(jobs), borrowed(cluster), borrowed(queue)
    while advance(state, jobs, queue, horizon):
        while state.count[WAITING] > 0:
            largest, share = largest_of(state.whole, cluster), largest_share(state)
            job = head_of_queue(state, queue)
            if not fits(jobs.milli[job], largest, share):
                job = _easy_choice(state, jobs, cluster, queue, largest, share)
                if job < 0:
                    break
            start(state, jobs, cluster, queue, False, job)


@compiled
def play_conservative(
    state: State, jobs: JobArrays, cluster: ClusterArrays, queue: Queue, depth: int, horizon: float
) -> None:
    """A whole simulation up to `horizon`, seconds, with reservations for the first `depth` jobs."""
    state, jobs, cluster, queue = borrowed(state), borrowed(jobs), borrowed(cluster), borrowed(queue)
    while advance(state, jobs, queue, horizon):
        while state.count[WAITING] > 0:
            job = _conservative_choice(state, jobs, cluster, queue, depth)
            if job < 0:
                break
            start(state, jobs, cluster, queue, False, job)
