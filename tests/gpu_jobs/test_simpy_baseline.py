"""What the simulator is measured against plays the same game, and queues stay as long as they should."""

from __future__ import annotations

import numpy as np
import pytest
from test_second_implementation import random_jobs

from benchmarks.gpu_jobs import steady_queue
from benchmarks.simpy_baseline import ORDERS, SimpyScheduler
from spane_rllib.problems.gpu_jobs.policies import HEURISTICS, Rules
from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster, GpuType


@pytest.mark.parametrize("policy", ORDERS)
def test_the_baseline_starts_jobs_when_the_simulator_does(policy: str) -> None:
    for cluster in (Cluster(), Cluster((GpuType("fast", 4, 2e13), GpuType("slow", 6, 1e13)))):
        for seed in range(3):
            jobs = random_jobs(seed)
            found = HEURISTICS[policy].schedule(jobs, cluster, Rules())
            np.testing.assert_array_equal(SimpyScheduler(jobs, cluster, policy).play(), found.start)


def test_a_steady_queue_stays_as_long() -> None:
    cluster = Cluster()
    jobs = steady_queue(300, 5000, cluster.gpus)
    start = HEURISTICS["fcfs"].schedule(jobs, cluster, Rules()).start
    times = np.linspace(0.05, 0.95, 50) * jobs.arrival[-1]
    waiting = [(jobs.arrival <= time).sum() - (start <= time).sum() for time in times]
    assert 150 < np.mean(waiting) < 450
