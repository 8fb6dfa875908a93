"""Filling the compile cache once, before many processes need it at the same moment."""

from __future__ import annotations

import numpy as np

from spane_rllib.learning.policy_settings import PpoSettings
from spane_rllib.learning.settings import TrainingSettings
from spane_rllib.problems.vm_scheduling.allocations.scenario import load_scenario
from spane_rllib.problems.vm_scheduling.allocations.workload import AllocationWorkload
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.policies import HeuristicPolicy
from spane_rllib.problems.vm_scheduling.run import Validation
from spane_rllib.problems.vm_scheduling.runs import begin_run
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Workload, probe_vm_counts
from spane_rllib.problems.vm_scheduling.traces.synthetic import synthesize


def compile_ahead(allocations: bool = False) -> None:
    """Run everything that is compiled on a tiny problem; takes a moment when the cache is filled already.

    `allocations`: for the objective of the scenarios, not for waits.
    """
    trace, starts = synthesize(vms=2_000), np.array([0, 1])
    if allocations:
        workload: Workload = AllocationWorkload(trace, load_scenario("fading").with_servers(2))
        vm_counts = np.full(len(starts), len(workload))
        settings: PpoSettings | TrainingSettings = PpoSettings(
            gradient_steps=1, lanes=2, episodes_per_start=2, reward="allocation"
        )
    else:
        workload = Workload(trace, Cluster(servers=2))
        vm_counts = probe_vm_counts(workload, workload.cluster, starts)
        settings = TrainingSettings(
            gradient_steps=1,
            warmup_episodes=1,
            lanes=2,
            batch_size=8,
            replay_capacity=10_000,
            n_step=2,
            reward_baseline="sbf",
        )
    cluster = workload.cluster
    HeuristicPolicy("fgd").play(workload, cluster, starts, vm_counts, seed=0)
    network = build_network("spane", {}, cluster.servers, seed=0)
    validation = Validation(starts, every=1)
    begin_run(network, settings, workload, cluster, (0, 100), validation, seed=0).run_until(1)
