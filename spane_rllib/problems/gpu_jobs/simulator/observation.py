"""What a policy sees of a simulation, compiled: `SLOT_FEATURES` of the first K waiting jobs, and so on.

Everything is known to a scheduler: run times are estimates, and a job that runs longer than expected is
expected to end now.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiled_arrays import borrowed
from spane_rllib.core.compiling import compiled
from spane_rllib.problems.gpu_jobs.simulator.cluster import ClusterArrays
from spane_rllib.problems.gpu_jobs.simulator.events import advance, start
from spane_rllib.problems.gpu_jobs.simulator.jobs import WHOLE, Floats
from spane_rllib.problems.gpu_jobs.simulator.placing import fits, largest_of, largest_share
from spane_rllib.problems.gpu_jobs.simulator.queue import waiting_at
from spane_rllib.problems.gpu_jobs.simulator.state import (
    NEXT,
    NOW,
    RUNNING,
    WAITING,
    JobArrays,
    Queue,
    State,
)

SLOT_FEATURES = (
    "there is a job",
    "log10 of its estimated run time, over 5",
    "its GPUs, over 8",
    "its priority, over 5",
    "log10 of 1 + its wait in seconds, over 5",
    "it fits",
    "log10 of its estimated run time over its priority, over 5",
    "log10 of 1 + seconds until it is expected to fit, over 5",
)
TYPE_FEATURES = (
    "free share of its GPUs",
    "its share of all GPUs",
    "log10 of 1 + seconds until some are expected to be free, over 5",
    "free GPUs, over 8, at most 1",
)
OVERALL_FEATURES = (
    "free share of all GPUs",
    "log2 of 1 + waiting jobs, over 10",
    "log10 of 1 + GPU-seconds per GPU of the first waiting jobs, over 5",
    "running jobs, over the number of GPUs",
)
Reals = npt.NDArray[np.float32]


@compiled
def observe(
    state: State,
    jobs: JobArrays,
    cluster: ClusterArrays,
    queue: Queue,
    total: npt.NDArray[np.int64],
    slots: Reals,
    types: Reals,
    overall: Reals,
    mask: npt.NDArray[np.int8],
    shown_jobs: npt.NDArray[np.int64],
) -> int:
    """Fill the arrays of an observation; returns how many of the jobs in it fit.

    Args:
        total: (T,) GPUs of each type.
        slots: (K, len(SLOT_FEATURES)), types: (T, len(TYPE_FEATURES)), overall: (len(OVERALL_FEATURES),).
        mask: (K + 1,), whose last entry is left as it is.
        shown_jobs: (K,) the jobs, -1 where there is none.
    """
    state, jobs, cluster, queue = borrowed(state), borrowed(jobs), borrowed(cluster), borrowed(queue)
    now, gpus = state.clock[NOW], total.sum()
    slots[:] = 0
    largest, share = largest_of(state.whole, cluster), largest_share(state)
    kinds = len(total)
    free, soonest = np.zeros(kinds), np.full(kinds, np.inf)
    for pool in range(len(state.whole)):
        free[cluster.kind[pool]] += state.whole[pool]
    running = state.count[RUNNING]
    ends, sizes = np.empty(running), np.empty(running)  # ascending
    for index in range(running):
        job = state.end_job[index]
        end = max(state.expected[job] - now, 0.0)
        at = index
        while at > 0 and ends[at - 1] > end:
            ends[at], sizes[at] = ends[at - 1], sizes[at - 1]
            at -= 1
        ends[at], sizes[at] = end, jobs.milli[job] / WHOLE
        for kind in range(kinds):
            if state.taken[job, kind] > 0:
                soonest[kind] = min(soonest[kind], end)
    count = 0
    work = 0.0
    shown = min(len(slots), state.count[WAITING])
    for place in range(shown):
        job = waiting_at(state, queue, place)
        shown_jobs[place] = job
        milli = jobs.milli[job]
        does = fits(milli, largest, share)
        demand, weight = max(milli, 1) / WHOLE, max(jobs.priority[job], 1e-9)
        estimate = max(jobs.estimate[job], 1.0)
        work += estimate * demand
        slots[place, 0] = 1
        slots[place, 1] = np.log10(estimate) / 5
        slots[place, 2] = demand / 8
        slots[place, 3] = weight / 5
        slots[place, 4] = np.log10(1 + now - jobs.arrival[job]) / 5
        slots[place, 5] = does
        slots[place, 6] = np.log10(max(estimate / weight, 1e-3)) / 5
        if not does:
            room, until = free.sum(), 0.0
            for at in range(running):
                if room >= demand:
                    break
                room += sizes[at]
                until = ends[at]
            slots[place, 7] = np.log10(1 + until) / 5
        mask[place] = does
        count += does
    for place in range(shown, len(slots)):
        mask[place], shown_jobs[place] = 0, -1
    for kind in range(kinds):
        types[kind, 0] = free[kind] / total[kind]
        types[kind, 1] = total[kind] / gpus
        types[kind, 2] = np.log10(1 + min(soonest[kind], 1e6)) / 5
        types[kind, 3] = min(free[kind] / 8, 1.0)
    overall[0] = free.sum() / gpus
    overall[1] = np.log2(1.0 + state.count[WAITING]) / 10
    overall[2] = np.log10(1 + work / gpus) / 5
    overall[3] = running / gpus
    return count


@compiled
def next_choice(
    state: State,
    jobs: JobArrays,
    cluster: ClusterArrays,
    queue: Queue,
    job: int,
    stay: bool,
    horizon: float,
    total: npt.NDArray[np.int64],
    slots: Reals,
    types: Reals,
    overall: Reals,
    mask: npt.NDArray[np.int8],
    shown_jobs: npt.NDArray[np.int64],
) -> bool:
    """Start `job` unless it is -1, and go on until a job that is seen fits; False where that is never.

    With `stay` this very instant counts, too. The arrays are those of `observe`.
    """
    if job >= 0:
        start(state, jobs, cluster, queue, False, job)
    fitting = observe(state, jobs, cluster, queue, total, slots, types, overall, mask, shown_jobs)
    going = True
    while going and not (stay and fitting > 0):
        stay = True
        going = advance(state, jobs, queue, horizon)
        fitting = 0
        if going and state.count[WAITING] > 0:
            fitting = observe(state, jobs, cluster, queue, total, slots, types, overall, mask, shown_jobs)
    if not going:
        observe(state, jobs, cluster, queue, total, slots, types, overall, mask, shown_jobs)
    # Who starts none must have something to wait for.
    mask[len(slots)] = state.count[NEXT] < len(jobs.arrival) or state.count[RUNNING] > 0
    return going


@compiled
def observe_published(
    state: State, jobs: JobArrays, queue: Queue, flops: Floats, gpus: int, top: int, seen: Reals
) -> None:
    """Fill `seen`, (4 top + 2,), with the observation of the reference.

    It is not within the bounds that the reference declares: waiting jobs count over 200, and FLOPS of jobs of
    traces over 5e12.
    """
    state, jobs, queue = borrowed(state), borrowed(jobs), borrowed(queue)
    seen[:] = 0
    seen[0] = state.whole.sum() / gpus
    for place in range(min(top, state.count[WAITING])):
        job = waiting_at(state, queue, place)
        at = 1 + 4 * place
        seen[at] = jobs.priority[job] / 5.0
        seen[at + 1] = flops[job] / 5e12
        seen[at + 2] = jobs.milli[job] / WHOLE / gpus
        seen[at + 3] = min(jobs.estimate[job], 15000.0) / 15000.0
    seen[4 * top + 1] = state.count[WAITING] / 200.0
