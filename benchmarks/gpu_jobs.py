"""Whole workloads of GPU jobs, and decisions on queues of several lengths, in processor time of one core."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.measuring import Row
from benchmarks.simpy_baseline import SimpyScheduler
from spane_rllib.problems.gpu_jobs.policies import HEURISTICS, Rules
from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster
from spane_rllib.problems.gpu_jobs.simulator.jobs import Jobs, make_jobs
from spane_rllib.problems.gpu_jobs.workloads.loading import load_jobs

_TOPIC = "gpu_jobs"
_POLICIES = ("fcfs", "sjf")
_FILES = {"low": "low_workload.csv", "medium": "medium_workload.csv", "batch_1": "batch_1.csv"}
_SIMPY = {"low": None, "medium": 3000}
"""Jobs of a workload that simpy plays, too: all, or the first ones; of longer queues it takes hours."""
_QUEUES = (100, 1000, 10_000, 100_000)
_SIMPY_QUEUES = {100: 4000, 1000: 2000}
"""Jobs that simpy plays with a queue of each length."""


def measure(quick: bool) -> list[Row]:
    """Seconds of whole workloads, and microseconds and millions of decisions per second by queue length."""
    cluster, repeats = Cluster(), 1 if quick else 5
    rows = []
    workloads = _workloads(cluster, 200 if quick else None)
    for name, jobs in workloads.items():
        for policy in _POLICIES:
            samples = _seconds(partial(_play, jobs, cluster, policy), repeats)
            baseline = None
            if name in _SIMPY and _SIMPY[name] is None:
                baseline = _seconds_of(SimpyScheduler(jobs, cluster, policy).play)
            text = f"{policy}, {name}, {len(jobs):,} jobs: processor time"
            rows.append(Row(_TOPIC, text, "s", samples, 1.0, baseline=baseline))
    for name, count in _SIMPY.items():
        if count is not None and name in workloads:
            jobs = workloads[name].at(np.arange(min(count, len(workloads[name]))))
            for policy in _POLICIES:
                samples = _seconds(partial(_play, jobs, cluster, policy), repeats)
                baseline = _seconds_of(SimpyScheduler(jobs, cluster, policy).play)
                text = f"{policy}, {name}, the first {len(jobs):,} jobs: processor time"
                rows.append(Row(_TOPIC, text, "s", samples, baseline=baseline))
    for length in _QUEUES:
        jobs = steady_queue(length, 500 if quick else 300_000, cluster.gpus)
        for policy in _POLICIES:
            samples = _seconds(partial(_play, jobs, cluster, policy), repeats)
            baseline = None
            if length in _SIMPY_QUEUES:
                few = steady_queue(length, 100 if quick else _SIMPY_QUEUES[length], cluster.gpus)
                baseline = 1e6 * _seconds_of(SimpyScheduler(few, cluster, policy).play) / len(few)
            micro = tuple(1e6 * sample / len(jobs) for sample in samples)
            text = f"{policy}, queue of {length:,}: "
            rows.append(Row(_TOPIC, f"{text}a decision", "us", micro, baseline=baseline))
            target = 1.0 if length <= 1000 else None
            rows.append(Row(_TOPIC, f"{text}decisions", "M/s", tuple(1 / one for one in micro), target))
    return rows


def steady_queue(length: int, count: int, gpus: int) -> Jobs:
    """`count` jobs beside a backlog of `length`, which stays about as long: as much arrives as is done."""
    rng = np.random.default_rng([length, count])
    asked = rng.choice([1, 2], count + length)
    runtime = rng.uniform(50.0, 150.0, count + length)
    work = np.concatenate(
        [[0.0], np.cumsum(runtime * asked)[length:-1] - np.cumsum(runtime * asked)[length - 1]]
    )
    arrival = np.concatenate([np.zeros(length), work[:count] / gpus])
    return make_jobs(arrival, runtime, asked, rng.choice([0.5, 1.0, 2.5, 5.0], count + length))


def _workloads(cluster: Cluster, most: int | None) -> dict[str, Jobs]:
    """The files of the reference that are there, or made-up jobs where none is; the first `most` of each."""
    folder = Path(os.environ.get("SPANE_RLLIB_DATA", "data"), "gpu_jobs")
    found = {
        name: load_jobs(str(folder / file), cluster).rebased()
        for name, file in _FILES.items()
        if (folder / file).is_file()
    }
    found = found or {"synthetic": load_jobs("synthetic:jobs=100000,load=1.1", cluster)}
    return {name: jobs.at(np.arange(min(most or len(jobs), len(jobs)))) for name, jobs in found.items()}


def _play(jobs: Jobs, cluster: Cluster, policy: str) -> object:
    return HEURISTICS[policy].schedule(jobs, cluster, Rules())


def _seconds(call: Callable[[], object], repeats: int) -> tuple[float, ...]:
    """Processor seconds of each call, after one that is not counted."""
    call()
    return tuple(_seconds_of(call) for _ in range(repeats))


def _seconds_of(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun
