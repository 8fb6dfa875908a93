"""Which GPUs every run of a schedule held: the simulator only counts them."""

from __future__ import annotations

import heapq

from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster, ClusterArrays
from spane_rllib.problems.gpu_jobs.simulator.jobs import WHOLE
from spane_rllib.problems.gpu_jobs.simulator.schedule import Schedule
from spane_rllib.problems.gpu_jobs.simulator.state import SPREAD


def gpus_of_runs(schedule: Schedule, cluster: Cluster) -> list[list[int]]:
    """The GPUs of each of `schedule.runs`, counted from 0 in the order of the pools.

    The runs are gone through once more in their order, and each takes the first free GPUs of where it ran.
    """
    runs, milli, pools = schedule.runs, schedule.jobs.milli, cluster.arrays()
    free: list[list[int]] = []
    for size in pools.whole.tolist():
        first = free[-1][-1] + 1 if free else 0
        free.append(list(range(first, first + size)))
    pool_of = [pool for pool, gpus in enumerate(free) for _ in gpus]
    opened: dict[int, tuple[int, int]] = {}  # shared GPUs by their row: the GPU, and thousandths in use
    ends: list[tuple[float, int]] = []
    result: list[list[int]] = []

    def release(run: int) -> None:
        asked, row = int(milli[runs.job[run]]), int(runs.shared[run])
        gpus = result[run]
        if 0 < asked < WHOLE:
            gpu, used = opened.pop(row)
            if used > asked:
                opened[row] = gpu, used - asked
                return
        for gpu in gpus:
            heapq.heappush(free[pool_of[gpu]], gpu)

    columns = (runs.job.tolist(), runs.start.tolist(), runs.finish.tolist(), runs.pool.tolist())
    for run, (job, start, finish, pool) in enumerate(zip(*columns, strict=True)):
        while ends and ends[0][0] <= start:
            release(heapq.heappop(ends)[1])
        asked, row = int(milli[job]), int(runs.shared[run])
        if asked == 0:
            gpus = []
        elif asked < WHOLE:
            gpu, used = opened[row] if row in opened else (heapq.heappop(free[pool]), 0)
            opened[row] = gpu, used + asked
            gpus = [gpu]
        elif pool == SPREAD:
            gpus = _spread(free, asked // WHOLE, pools)
        else:
            gpus = [heapq.heappop(free[pool]) for _ in range(asked // WHOLE)]
        result.append(gpus)
        if finish == finish:  # NaN: held to the end
            heapq.heappush(ends, (finish, run))
    return result


def _spread(free: list[list[int]], gpus: int, pools: ClusterArrays) -> list[int]:
    """GPUs of several pools, as `placing.spread` takes them: of one type if it has enough, else of all."""
    kinds, chosen = pools.kind.tolist(), list(range(len(free)))
    if pools.split >= 1:
        for kind in dict.fromkeys(kinds):
            of_type = [pool for pool in chosen if kinds[pool] == kind]
            if sum(len(free[pool]) for pool in of_type) >= gpus:
                chosen = of_type
                break
    taken: list[int] = []
    for pool in chosen:
        taken += [heapq.heappop(free[pool]) for _ in range(min(len(free[pool]), gpus - len(taken)))]
    return taken
