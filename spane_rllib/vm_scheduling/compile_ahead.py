"""Filling the compile cache once, before many processes need it at the same moment."""

from __future__ import annotations

import numpy as np

from spane_rllib.learning.settings import TrainingSettings
from spane_rllib.traces.synthetic import synthesize
from spane_rllib.vm_scheduling.networks.registry import build_network
from spane_rllib.vm_scheduling.simulator import Cluster, Heuristic, Workload, probe_vm_counts, run_heuristic
from spane_rllib.vm_scheduling.training import TrainingRun, Validation


def compile_ahead() -> None:
    """Run all that the main job compiles on a tiny problem; takes a moment when the cache is filled already.

    The main job is about waits alone: kernels of the allocations objective are not among it.
    """
    cluster = Cluster(servers=2)
    workload = Workload(synthesize(vms=2_000), cluster)
    settings = TrainingSettings(
        gradient_steps=1,
        warmup_episodes=1,
        lanes=2,
        batch_size=8,
        replay_capacity=10_000,
        n_step=2,
        reward_baseline="sbf",
    )
    starts = np.array([0, 1])
    run_heuristic(workload, cluster, Heuristic("fgd"), starts, probe_vm_counts(workload, cluster, starts))
    network = build_network("spane", {}, cluster.servers, seed=0)
    TrainingRun(
        network, settings, workload, cluster, (0, 100), Validation(starts, every=1), seed=0
    ).run_until(1)
