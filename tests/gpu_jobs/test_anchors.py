"""What the reference comes to, to the printed digits: section by section as docs/gpu_jobs.md lists it."""

import os
from pathlib import Path

import numpy as np
import pytest

from spane_rllib.problems.gpu_jobs.policies import HEURISTICS, Rules
from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster
from spane_rllib.problems.gpu_jobs.simulator.jobs import Jobs
from spane_rllib.problems.gpu_jobs.simulator.schedule import Schedule, measures
from spane_rllib.problems.gpu_jobs.workloads.readers import read_jobs
from spane_rllib.problems.gpu_jobs.workloads.settings import ReadingSettings
from spane_rllib.problems.gpu_jobs.workloads.synthetic import published_jobs

FOLDER = Path(os.environ.get("SPANE_RLLIB_DATA", "data")) / "gpu_jobs"
ALL = np.inf


def workload(name: str) -> Jobs:
    file = FOLDER / f"{name}_workload.csv"
    if not file.exists():
        pytest.skip(f"{file} is not there; SPANE_RLLIB_DATA names the folder of public data")
    return read_jobs(file, ReadingSettings())


def played(jobs: Jobs, policy: str, horizon: float, rewarded: bool = False) -> Schedule:
    rules = Rules(published=True, horizon=horizon, rewarded=rewarded)
    return HEURISTICS[policy].schedule(jobs, Cluster(), rules)


def agrees(value: float, printed: str) -> bool:
    """Whether `value`, rounded to as many digits as are printed, is what is printed."""
    return float(f"{value:.{len(printed.partition('.')[2])}f}") == float(printed)


# Horizon 15,000,000: completed, mean completion time, makespan, utilization, slowdown, waiting.
ABSOLUTE = [
    ("low", "fcfs", 15954, "220.34912874514228", 14999919, "0.0036050801817187", "1.020446", 0),
    ("low", "first_fit", 15954, "220.34912874514228", 14999919, "0.0036050801817187", "1.020446", 0),
    ("low", "sjf", 14029, "216.05431605959086", 14611100, "0.0031735143633461", "1.017642", 1929),
    ("low", "sixth", 15949, "220.405355", 14999919, "0.0036049814", "1.020443", 5),
    ("low", "sjf_uncapped", 15954, "220.3439", 14999919, "0.0036", "1.02", 0),
    ("heavy", "fcfs", 287, "2248941.606271777", 14970717, "0.2496304428362", "69.594", 5015),
    ("heavy", "sjf", 8, "321831.75", 11962737, "0.0303653395898", "1.374931", 5300),
    ("heavy", "sixth", 362, "2122590.279006", 14968019, "0.305264606", "68.722", 4939),
    ("heavy", "fcfs_split", 343, "2265344.9009", 14997361, "0.3131", "72.755", 4958),
    ("heavy", "sjf_uncapped", 1896, "132590.3275", 14997306, "0.2708", "7.29", 3406),
    ("heavy", "sjf_split", 2113, "116825.0104", 14997989, "0.3161", "6.009", 3188),
]


@pytest.mark.parametrize(
    ("name", "policy", "completed", "jct", "makespan", "utilization", "slowdown", "waiting"), ABSOLUTE
)
def test_absolute_time(
    name: str,
    policy: str,
    completed: int,
    jct: str,
    makespan: int,
    utilization: str,
    slowdown: str,
    waiting: int,
) -> None:
    schedule = played(workload(name), policy, 15_000_000.0)
    found = measures(schedule)
    assert int(schedule.completed.sum()) == completed
    assert agrees(found["avg_jct_s"], jct)
    assert found["makespan_s"] == makespan
    assert agrees(found["utilization"], utilization)
    assert agrees(found["avg_slowdown"], slowdown)
    assert int(schedule.queued.sum()) == waiting


@pytest.mark.parametrize(("policy", "slowdown"), [("fcfs", "1.0138414817"), ("sjf", "1.0138408981")])
def test_shifted_arrivals(policy: str, slowdown: str) -> None:
    schedule = played(workload("low").rebased(), policy, 150_000.0, rewarded=True)
    found = measures(schedule)
    assert int(schedule.completed.sum()) == 308
    assert found["avg_jct_s"] == 230.21753246753246
    assert found["makespan_s"] == 149_004
    assert found["utilization"] == 0.008066538002814882
    assert schedule.total_reward == -11769.19635714295
    assert agrees(found["avg_slowdown"], slowdown)


@pytest.mark.parametrize(("policy", "jct"), [("fcfs", "230.913690"), ("sjf_uncapped", "230.909231")])
def test_shifted_to_completion(policy: str, jct: str) -> None:
    schedule = played(workload("low").rebased(), policy, ALL)
    found = measures(schedule)
    assert int(schedule.completed.sum()) == 18_839
    assert agrees(found["avg_jct_s"], jct)
    assert found["makespan_s"] == 5_650_458
    assert agrees(found["utilization"], "0.012131")


@pytest.mark.parametrize(
    ("policy", "completed", "jct", "utilization", "reward"),
    [
        ("fcfs", 6, 672.7152311523823, "0.04069817430152", -1637390.9303102863),
        ("sjf", 11, 349.1846933334373, "0.1065268448347589", -1636429.7422830567),
    ],
)
def test_synthetic(policy: str, completed: int, jct: float, utilization: str, reward: float) -> None:
    schedule = played(published_jobs(), policy, 2000.0, rewarded=True)
    found = measures(schedule)
    assert int(schedule.completed.sum()) == completed
    assert found["avg_jct_s"] == jct
    assert agrees(found["utilization"], utilization)
    assert schedule.total_reward == reward


@pytest.mark.parametrize(
    ("policy", "horizon", "completed", "jct", "makespan", "utilization"),
    [
        ("fcfs", 150_000.0, 580, "72616.558265", None, "0.935858"),
        ("sjf", 150_000.0, 16, "1102.571134", None, None),
        ("fcfs", ALL, 4990, "668439.437629", "1348572.557544", "0.95006"),
        ("sjf_uncapped", ALL, 4990, "322607.102158", "1333868.820162", "0.960533"),
    ],
)
def test_synthetic_for_longer(
    policy: str, horizon: float, completed: int, jct: str, makespan: str | None, utilization: str | None
) -> None:
    schedule = played(published_jobs(), policy, horizon)
    found = measures(schedule)
    assert int(schedule.completed.sum()) == completed
    assert agrees(found["avg_jct_s"], jct)
    assert makespan is None or agrees(found["makespan_s"], makespan)
    assert utilization is None or agrees(found["utilization"], utilization)


def test_published_generator() -> None:
    jobs = published_jobs()
    assert len(jobs) == 4990
    assert f"{jobs.runtime.mean():.2f}" == "3159.84"
    assert f"{(jobs.runtime == 1).mean():.1%}" == "11.9%"
    assert f"{jobs.gpus.mean():.3f}" == "4.531"
    assert round((jobs.runtime * jobs.gpus).sum()) == 71_748_595
    first = jobs.arrival[0], jobs.runtime[0], jobs.gpus[0], jobs.priority[0], jobs.flops[0], jobs.user[0]
    assert [f"{value:.4g}" for value in first] == ["0.7442", "3130", "5", "5", "4.783e+11", "102"]
