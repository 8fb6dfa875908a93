"""What is demonstrated is what the heuristic does."""

from __future__ import annotations

from typing import Any

import numpy as np

from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.rollout import HeuristicRollout
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Heuristic, Workload, probe_vm_counts
from spane_rllib.problems.vm_scheduling.waits.algorithms import DqnSettings
from spane_rllib.problems.vm_scheduling.waits.rollouts import WaitRollouts


def test_demonstrations_are_the_heuristics_decisions_in_order(trace: VmTrace) -> None:
    cluster, workload = Cluster(3), Workload(trace, Cluster(3))
    settings = DqnSettings(imitate="sbf")
    rollouts = WaitRollouts(workload, cluster, (20, 250), settings, np.array([260]), trim=0.0)
    random, same = np.random.default_rng(0), np.random.default_rng(0)
    batch = rollouts.demonstrations(2500, random)

    rollout = HeuristicRollout(workload, cluster, 16, Heuristic("sbf"))
    expected: list[dict[str, Any]] = []
    while sum(len(columns["action"]) for columns in expected) < 2500:
        starts = same.integers(20, 250, 16)
        for episode in rollout.play(starts, probe_vm_counts(workload, cluster, starts)):
            columns = {**episode.observation, "action": episode.action}
            expected.append({name: column.copy() for name, column in columns.items()})
    assert len(expected) > 16  # several calls
    for name, column in {**batch.observation, "action": batch.action}.items():
        whole = np.concatenate([columns[name] for columns in expected])
        np.testing.assert_array_equal(column, whole[:2500])
    assert batch.observation["action_mask"][np.arange(2500), batch.action].all()
