"""Filling the compile cache once, before many processes need it at the same moment."""

from __future__ import annotations

import numpy as np

from spane_rllib.datasets.vm_traces.synthetic import synthesize
from spane_rllib.learning.begin import begin_run
from spane_rllib.problems.vm_scheduling.allocations.algorithms import PpoSettings
from spane_rllib.problems.vm_scheduling.allocations.rollouts import AllocationRollouts
from spane_rllib.problems.vm_scheduling.allocations.scenario import load_scenario
from spane_rllib.problems.vm_scheduling.allocations.workload import AllocationWorkload
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.policies import HeuristicPolicy
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Workload
from spane_rllib.problems.vm_scheduling.slot_rollouts import SlotRollouts
from spane_rllib.problems.vm_scheduling.waits.algorithms import DqnSettings
from spane_rllib.problems.vm_scheduling.waits.rollouts import WaitRollouts


def compile_ahead(allocations: bool = False) -> None:
    """Run everything that is compiled on a tiny problem; takes a moment when the cache is filled already.

    `allocations`: for the objective of the scenarios, not for waits.
    """
    trace, starts = synthesize(vms=2_000), np.array([0, 1])
    if allocations:
        chosen = PpoSettings(gradient_steps=1, lanes=2, episodes_per_start=2)
        scenario = load_scenario("fading").with_servers(2)
        rollouts: SlotRollouts = AllocationRollouts(
            AllocationWorkload(trace, scenario), (0, 100), chosen, starts
        )
    else:
        settings = DqnSettings(
            gradient_steps=1,
            warmup_episodes=1,
            lanes=2,
            batch_size=8,
            replay_capacity=10_000,
            n_step=2,
            reward_baseline="sbf",
        )
        cluster = Cluster(servers=2)
        rollouts = WaitRollouts(Workload(trace, cluster), cluster, (0, 100), settings, starts, trim=0.0)
    HeuristicPolicy("fgd").play(rollouts.workload, rollouts.cluster, *rollouts.validation_starts, seed=0)
    network = build_network("spane", {}, rollouts.cluster.servers, seed=0)
    begin_run(network, rollouts.settings, rollouts, every=1, seed=0).run_until(1)
