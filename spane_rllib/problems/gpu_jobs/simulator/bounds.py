"""Lower bounds on completion times and makespan that hold for every policy; docs/gpu_jobs.md proves them.

They let one machine do the work of all GPUs together, at any rate.
"""

from __future__ import annotations

import heapq

import numpy as np

from spane_rllib.core.compiling import compiled
from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster
from spane_rllib.problems.gpu_jobs.simulator.jobs import Floats, Jobs


def lower_bound_jct(jobs: Jobs, cluster: Cluster, horizon: float = np.inf, weighted: bool = False) -> float:
    """No policy has a smaller mean completion time, seconds; interruptions do not help.

    Args:
        jobs: what is scheduled.
        cluster: on what.
        horizon: second at which it is cut off; jobs that have not ended by then count the time since arrival.
        weighted: bound the mean weighted by priority.
    """
    inside = jobs.arrival <= horizon
    arrival, weight = jobs.arrival[inside], jobs.priority[inside] if weighted else np.ones(int(inside.sum()))
    if not len(arrival):
        return np.nan
    shortest = jobs.runtime[inside] / max(each.speed for each in cluster.types)
    work = jobs.runtime[inside] * jobs.gpus[inside] / _capacity(cluster)
    alone = float((weight * np.minimum(shortest, horizon - arrival)).sum())
    best = alone
    busy = work > 0
    rest = float((weight * np.minimum(shortest, horizon - arrival))[~busy].sum())
    if not weighted:
        best = max(best, rest + _shortest_remaining(arrival[busy], work[busy], horizon))
    if horizon == np.inf:
        means = _mean_busy_times(arrival[busy], work[busy], weight[busy] / work[busy])
        flow = weight[busy] * (means + shortest[busy] / 2 - arrival[busy])
        best = max(best, rest + float(flow.sum()))
    return best / float(weight.sum())


def lower_bound_makespan(jobs: Jobs, cluster: Cluster) -> float:
    """No policy ends the last job earlier, in seconds after the first arrival."""
    if not len(jobs):
        return 0.0
    alone = jobs.arrival + jobs.runtime / max(each.speed for each in cluster.types)
    work = jobs.runtime * jobs.gpus / _capacity(cluster)
    later = jobs.arrival + np.cumsum(work[::-1])[::-1]
    return float(max(alone.max(), later.max()) - jobs.arrival[0])


def _capacity(cluster: Cluster) -> float:
    """GPU-seconds of speed 1 that the cluster does in a second."""
    return sum(each.count * each.speed for each in cluster.types)


@compiled
def _shortest_remaining(arrival: Floats, work: Floats, horizon: float) -> float:
    """Sum of flow times on one machine that always does the shortest remaining work, cut off at `horizon`."""
    heap = [0.0 for _ in range(0)]
    now, total, index = 0.0, 0.0, 0
    while index < len(arrival) or len(heap) > 0:
        if len(heap) == 0:
            now = max(now, arrival[index])
        following = arrival[index] if index < len(arrival) else np.inf
        if following <= now:
            heapq.heappush(heap, work[index])
            index += 1
            continue
        if now >= horizon:
            break
        left = heapq.heappop(heap)
        step = min(min(left, following - now), horizon - now)
        total += step * (len(heap) + 1)
        now += step
        if left - step > 0:
            heapq.heappush(heap, left - step)
    return total


@compiled
def _mean_busy_times(arrival: Floats, work: Floats, urgency: Floats) -> Floats:
    """Mean time at which each job is worked on, by one machine that does the most urgent one."""
    count = len(arrival)
    heap = [(0.0, 0) for _ in range(0)]
    left, moment = work.copy(), np.zeros(count)
    now, index = 0.0, 0
    while index < count or len(heap) > 0:
        if len(heap) == 0:
            now = max(now, arrival[index])
        following = arrival[index] if index < count else np.inf
        if following <= now:
            heapq.heappush(heap, (-urgency[index], index))
            index += 1
            continue
        job = heap[0][1]
        if left[job] <= following - now:
            step = left[job]
            heapq.heappop(heap)
            left[job] = 0.0
        else:
            step = following - now
            left[job] -= step
        moment[job] += step * (now + step / 2)
        now = following if left[job] > 0 else now + step
    return moment / work
