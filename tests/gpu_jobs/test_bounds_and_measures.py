"""Lower bounds hold against every schedule of tiny workloads, interruptions lose no work, measures add up."""

from itertools import permutations

import numpy as np
import pytest

from spane_rllib.problems.gpu_jobs.policies import HEURISTICS, Rules
from spane_rllib.problems.gpu_jobs.simulator.bounds import lower_bound_jct, lower_bound_makespan
from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster, GpuType
from spane_rllib.problems.gpu_jobs.simulator.jobs import Jobs, make_jobs
from spane_rllib.problems.gpu_jobs.simulator.schedule import measures
from spane_rllib.problems.gpu_jobs.workloads.synthetic import synthetic_jobs

TINY = Cluster((GpuType("a", 3, 1e13),), "any")


def best_by_force(jobs: Jobs, gpus: int) -> tuple[float, float, float]:
    """Least mean, weighted mean completion time and makespan without interruptions, over all orders.

    Every job starts as early as it can beside those before it in the order: one of these schedules is best.
    """
    best = [np.inf] * 3
    for order in permutations(range(len(jobs))):
        placed: list[tuple[float, float, int]] = []
        finish = np.zeros(len(jobs))
        for job in order:
            size = int(jobs.gpus[job])
            times = sorted({jobs.arrival[job], *(end for _, end, _ in placed if end > jobs.arrival[job])})
            for start in times:
                end = start + jobs.runtime[job]
                points = [start, *(s for s, _, _ in placed if start < s < end)]
                if all(size + sum(g for s, e, g in placed if s <= at < e) <= gpus for at in points):
                    break
            placed.append((start, start + jobs.runtime[job], size))
            finish[job] = start + jobs.runtime[job]
        jct = finish - jobs.arrival
        found = jct.mean(), (jct * jobs.priority).sum() / jobs.priority.sum(), finish.max() - jobs.arrival[0]
        best = [min(pair) for pair in zip(best, found, strict=True)]
    return best[0], best[1], best[2]


@pytest.mark.parametrize("seed", range(12))
def test_bounds_hold_for_the_best_schedule(seed: int) -> None:
    rng = np.random.default_rng(seed)
    jobs = make_jobs(
        np.sort(rng.integers(0, 6, 5)),
        rng.integers(2, 9, 5),
        rng.integers(0, 4, 5),
        rng.choice([0.5, 1, 5], 5),
    )
    mean, weighted, makespan = best_by_force(jobs, 3)
    assert lower_bound_jct(jobs, TINY) <= mean + 1e-9
    assert lower_bound_jct(jobs, TINY, weighted=True) <= weighted + 1e-9
    assert lower_bound_makespan(jobs, TINY) <= makespan + 1e-9


def test_bounds_are_reached_where_nobody_waits() -> None:
    jobs = make_jobs([0, 100, 200], [10, 20, 30], [1, 2, 3])
    assert lower_bound_jct(jobs, TINY) == 20
    assert lower_bound_makespan(jobs, TINY) == 230


@pytest.mark.parametrize("horizon", [np.inf, 100_000.0])
def test_bounds_hold_for_policies(horizon: float) -> None:
    jobs = synthetic_jobs(600, 1.2, seed=2)
    bound = lower_bound_jct(jobs, Cluster(), horizon)
    for policy in ("fcfs", "sjf", "weighted_shortest"):
        schedule = HEURISTICS[policy].schedule(jobs, Cluster(), Rules(horizon=horizon))
        found = measures(schedule)
        assert found["avg_jct_s"] >= bound
        assert int((schedule.completed | schedule.running | schedule.queued).sum()) == schedule.arrived.sum()
        if horizon == np.inf:
            assert found["makespan_s"] >= lower_bound_makespan(jobs, Cluster())
            assert found["weighted_jct_s"] >= lower_bound_jct(jobs, Cluster(), weighted=True)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["srtf", "las"])
def test_interruptions_lose_no_work(policy: str) -> None:
    jobs = synthetic_jobs(400, 1.2, seed=3)
    for restart in (0.0, 45.0):
        schedule = HEURISTICS[policy].schedule(jobs, Cluster(), Rules(restart=restart))
        assert schedule.completed.all()
        assert schedule.held is not None and schedule.cuts is not None and schedule.cuts.sum() > 0
        # What is held beyond the run time is restarts, at most one for each interruption.
        more = schedule.held - jobs.runtime
        assert (more >= -1e-6).all() and (more <= restart * schedule.cuts + 1e-6).all()
        assert measures(schedule)["avg_jct_s"] >= lower_bound_jct(jobs, Cluster())


@pytest.mark.slow
def test_srtf_on_one_gpu_is_the_bound() -> None:
    one = Cluster((GpuType("a", 1, 1e13),), "any")
    jobs = make_jobs([0, 1, 2, 9], [10, 3, 4, 2], [1, 1, 1, 1])
    schedule = HEURISTICS["srtf"].schedule(jobs, one, Rules(restart=0.0))
    assert measures(schedule)["avg_jct_s"] == pytest.approx(lower_bound_jct(jobs, one))
    assert schedule.cuts is not None and schedule.cuts.tolist() == [2, 0, 0, 0]


@pytest.mark.slow
def test_conservative_backfilling_delays_nobody() -> None:
    jobs = synthetic_jobs(150, 1.3, seed=5)
    strict = HEURISTICS["fifo"].schedule(jobs, Cluster(), Rules())
    schedule = HEURISTICS["conservative"].schedule(jobs, Cluster(), Rules())
    assert measures(schedule)["avg_jct_s"] < measures(strict)["avg_jct_s"]
    assert (schedule.start <= strict.start + 1e-9).all()
