"""Made-up workloads: the generator of the reference, bit for bit, and one of ours with a load of choice."""

from __future__ import annotations

import math
import random

import numpy as np

from spane_rllib.problems.gpu_jobs.simulator.jobs import Jobs, make_jobs

PUBLISHED_RATE = 2.5
"""Jobs per second, 640 times what 56 GPUs can do."""
_PRIORITIES = (0.5, 1.0, 2.5, 5.0)
_DAY = 86_400.0


def published_jobs(seconds: float = 2000.0, seed: int = 0, rate: float = PUBLISHED_RATE) -> Jobs:
    """What the reference draws right after `random.seed(seed)`.

    Args:
        seconds: over which jobs arrive.
        seed: of Python's generator.
        rate: jobs per second.
    """
    draw = random.Random(seed)
    arrival, runtime, gpus, priority, flops, user = [], [], [], [], [], []
    now = 0.0
    while True:
        now += draw.expovariate(rate)
        if now > seconds:
            break
        arrival.append(now)
        runtime.append(max(1.0, draw.gauss(3000, 2500)))
        gpus.append(draw.randint(1, 8))
        priority.append(draw.choice(_PRIORITIES))
        flops.append(max(1e9, draw.gauss(1e12, 5e11)))
        user.append(draw.choice((101, 102, 103)))
    return make_jobs(
        arrival, runtime, gpus, priority, user, flops, name=f"published:seconds={seconds:g},seed={seed}"
    )


def synthetic_jobs(
    count: int = 2000,
    load: float = 0.9,
    seed: int = 0,
    cluster_gpus: int = 56,
    users: int = 20,
    daily: float = 0.5,
) -> Jobs:
    """Jobs that offer `load` times what the cluster can do.

    Sizes are as in the public traces: most jobs ask for one GPU, few for 8, larger ones run longer. Run times
    are log-normal with a standard deviation of 1.6 of their logarithm: the mean is about four times the
    median. A few users send most jobs (Zipf), and arrivals follow the hour of the day.

    Args:
        count: jobs.
        load: GPU-seconds asked for, over those there are while jobs arrive.
        seed: decides everything.
        cluster_gpus: GPUs of the cluster.
        users: how many there are.
        daily: how far the rate of arrivals rises and falls within a day, from 0 to 1.
    """
    rng = np.random.default_rng([seed, 77])
    gpus = rng.choice([1, 2, 4, 8], count, p=[0.6, 0.15, 0.13, 0.12])
    runtime = np.maximum(10.0, np.exp(rng.normal(np.log(600.0) + 0.25 * np.log(gpus), 1.6)))
    runtime = np.rint(np.minimum(runtime, 7 * _DAY))
    weights = 1 / np.arange(1, users + 1)
    user = rng.choice(users, count, p=weights / weights.sum())
    priority = rng.choice(_PRIORITIES, count, p=[0.3, 0.4, 0.2, 0.1])
    # In a time that passes evenly, then through the inverse of the daily rhythm's integral.
    even = np.cumsum(rng.exponential(1.0, count))
    span = float((runtime * gpus).sum()) / (cluster_gpus * load)
    even *= span / even[-1]
    clock = np.linspace(0, span, 200_001)
    passed = clock + daily * _DAY / (2 * math.pi) * (1 - np.cos(2 * math.pi * clock / _DAY))
    arrival = np.floor(np.interp(even, passed * span / passed[-1], clock))
    name = f"synthetic:jobs={count},load={load:g},seed={seed}"
    return make_jobs(arrival - arrival[0], runtime, gpus, priority, user, name=name)
