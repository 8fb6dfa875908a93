"""The compiled simulator agrees, job by job, with a plain one in simpy."""

import numpy as np
import pytest
from gpu_jobs_plain import simulate

from spane_rllib.problems.gpu_jobs.policies import HEURISTICS, Rules
from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster, GpuType
from spane_rllib.problems.gpu_jobs.simulator.jobs import Jobs, make_jobs
from spane_rllib.problems.gpu_jobs.simulator.state import estimates

CLUSTERS = {
    "published": Cluster(),
    "small": Cluster((GpuType("fast", 4, 2e13), GpuType("slow", 6, 1e13)), "any"),
    "speeds": Cluster((GpuType("fast", 4, 2e13, speed=2.0), GpuType("slow", 6, 1e13, speed=0.5)), "any"),
    "nodes": Cluster((GpuType("a", 8, 2e13, node=4), GpuType("b", 8, 1e13, node=8)), "never"),
    "gangs": Cluster((GpuType("a", 8, 2e13, node=2), GpuType("b", 12, 1e13, node=4)), "type"),
}


def random_jobs(seed: int, count: int = 60, shares: bool = False) -> Jobs:
    """A busy workload with many equal times."""
    rng = np.random.default_rng(seed)
    sizes = [0, 1, 1, 2, 4, 8, *([0.25, 0.5, 0.75] if shares else [])]
    return make_jobs(
        np.sort(rng.integers(0, 200, count)),
        rng.integers(2, 60, count),
        rng.choice(sizes, count),
        rng.choice([0.5, 1.0, 2.5, 5.0], count),
    )


def same(jobs: Jobs, cluster: Cluster, policy: str, runtimes: str = "known") -> None:
    rules = Rules(runtimes=runtimes, seed=3)
    found = HEURISTICS[policy].schedule(jobs, cluster, rules)
    start, finish = simulate(jobs, cluster, HEURISTICS[policy], estimates(jobs, runtimes, rules.noise, 3))
    np.testing.assert_array_equal(found.start, start)
    np.testing.assert_array_equal(found.finish, finish)


@pytest.mark.parametrize("policy", ["fcfs", "sjf", "fifo", "weighted_shortest", "fragmentation"])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_orders(cluster: str, policy: str) -> None:
    for seed in range(4):
        same(random_jobs(seed), CLUSTERS[cluster], policy)


@pytest.mark.slow
@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("runtimes", ["known", "estimated", "unknown"])
def test_backfilling(cluster: str, runtimes: str) -> None:
    for seed in range(4):
        same(random_jobs(seed), CLUSTERS[cluster], "easy", runtimes)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["wfp3", "unicep"])
def test_scores(policy: str) -> None:
    for seed in range(4):
        same(random_jobs(seed), CLUSTERS["small"], policy)


@pytest.mark.parametrize("policy", ["fcfs", "sjf", "fifo"])
def test_shares_of_gpus(policy: str) -> None:
    for seed in range(4):
        same(random_jobs(seed, shares=True), CLUSTERS["nodes"], policy)
