"""Greedy evaluation of a model."""

from __future__ import annotations

import numpy as np

from benchmarks import plain_baseline
from benchmarks.clusters import five_server_episodes, large_episodes
from benchmarks.measuring import Row, in_child, seconds
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.policies import NetworkPolicy


def measure(quick: bool) -> list[Row]:
    """One core; the weights are random, since their values do not change the work."""
    return in_child(_measure, quick)


def _measure(quick: bool) -> list[Row]:
    repeats, episodes, plain_episodes = (1, 20, 1) if quick else (5, 1000, 20)
    network = build_network("spane", {}, servers=5, seed=0)
    problem = five_server_episodes(episodes)
    policy = NetworkPolicy("spane", network)
    samples = seconds(lambda: policy.play(*problem, seed=0), repeats)
    # A few episodes of the baseline, scaled by the number of VMs placed.
    rate = plain_baseline.placements_per_second(plain_episodes, network)
    baseline = float(problem[3].sum()) / rate
    name = f"greedy evaluation of a SPANE model, {episodes:,} episodes"
    rows = [Row("evaluation", name, "s", samples, 2.0, 0.7, baseline)]
    for servers, target in ((100, 5.0), (1000, 30.0)):
        decisions = 200 if quick else 5000
        workload, cluster, starts, _ = large_episodes(servers, 1)
        large = (workload, cluster, starts, np.array([decisions]))
        samples = seconds(lambda: policy.play(*large, seed=0), repeats)  # noqa: B023  # called at once
        name = f"greedy evaluation of a SPANE model, {servers:,} servers: a decision"
        samples = tuple(elapsed / decisions * 1e6 for elapsed in samples)
        rows.append(Row("evaluation", name, "us", samples, target))
    return rows
