"""Scheduling of GPU jobs as it is usually written with simpy, measured in the same run; our own code.

A process brings the jobs, a process for each job holds its GPUs, and after every event the queue, a list in
order, is gone through from its beginning.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import simpy

from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster
from spane_rllib.problems.gpu_jobs.simulator.jobs import WHOLE, Floats, Jobs

ORDERS: dict[str, Callable[[float, float, float], tuple[float, ...]]] = {
    "fcfs": lambda priority, arrival, runtime: (-priority, arrival),
    "sjf": lambda priority, arrival, runtime: (runtime, -priority, arrival),
}
"""What the queue is sorted by."""


class SimpyScheduler:
    """Plays whole GPUs of several types without nodes; a job that no type can hold is spread over all.

    Args:
        jobs: the workload.
        cluster: the GPUs.
        policy: one of `ORDERS`.
    """

    def __init__(self, jobs: Jobs, cluster: Cluster, policy: str) -> None:
        self.start: Floats = np.full(len(jobs), np.nan)
        self._environment = simpy.Environment()
        self._free = [each.count for each in cluster.ordered]
        self._queue: list[tuple[tuple[float, ...], int]] = []
        self._gpus = (jobs.milli // WHOLE).tolist()
        self._runtime = jobs.runtime.tolist()
        self._arrival = jobs.arrival.tolist()
        key, priority = ORDERS[policy], jobs.priority.tolist()
        self._keys = [key(*values) for values in zip(priority, self._arrival, self._runtime, strict=True)]

    def play(self) -> Floats:
        """(N,) seconds at which the jobs start."""
        self._environment.process(self._arrivals())
        while self._environment.peek() < float("inf"):
            now = self._environment.peek()
            while self._environment.peek() <= now:  # everything of an instant, then the policy
                self._environment.step()
            self._start_jobs()
        return self.start

    def _arrivals(self) -> Iterator[Any]:
        for job, arrival in enumerate(self._arrival):
            if arrival > self._environment.now:
                yield self._environment.timeout(arrival - self._environment.now)
            insort(self._queue, (self._keys[job], job))

    def _run(self, job: int, taken: list[int]) -> Iterator[Any]:
        yield self._environment.timeout(self._runtime[job])
        for kind, count in enumerate(taken):
            self._free[kind] += count

    def _start_jobs(self) -> None:
        place = 0
        while place < len(self._queue):  # jobs without GPUs always fit
            job = self._queue[place][1]
            taken = self._allocate(self._gpus[job])
            if taken is None:
                place += 1
                continue
            del self._queue[place]
            self.start[job] = self._environment.now
            self._environment.process(self._run(job, taken))

    def _allocate(self, gpus: int) -> list[int] | None:
        """GPUs of each type, the fastest type first; None if there are not enough."""
        if gpus > sum(self._free):
            return None
        taken = [0] * len(self._free)
        for kind, free in enumerate(self._free):
            if free >= gpus:
                taken[kind] = gpus
                break
        else:
            left = gpus
            for kind, free in enumerate(self._free):
                taken[kind] = min(left, free)
                left -= taken[kind]
        self._free = [free - count for free, count in zip(self._free, taken, strict=True)]
        return taken
