"""What is demonstrated is what the heuristic does."""

from __future__ import annotations

from typing import Any

import numpy as np
from spane_rllib.problems.vm_scheduling.demonstrations import demonstrate

from spane_rllib.problems.vm_scheduling.rollout import HeuristicRollout
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Heuristic, Workload, probe_vm_counts
from spane_rllib.problems.vm_scheduling.traces.trace import VmTrace


def test_demonstrations_are_the_heuristics_decisions_in_order(trace: VmTrace) -> None:
    cluster, heuristic = Cluster(3), Heuristic("sbf")
    workload = Workload(trace, cluster)
    random, same = np.random.default_rng(0), np.random.default_rng(0)
    batch = demonstrate(workload, cluster, heuristic, (20, 250), 2500, random)

    rollout = HeuristicRollout(workload, cluster, 16, heuristic)
    expected: list[Any] = []
    while sum(len(columns[2]) for columns in expected) < 2500:
        starts = same.integers(20, 250, 16)
        for episode in rollout.play(starts, probe_vm_counts(workload, cluster, starts)):
            columns = (episode.servers, episode.request, episode.action, episode.action_mask)
            expected.append(tuple(column.copy() for column in columns))
    assert len(expected) > 16  # several calls
    for column, parts in zip(
        (batch.servers, batch.request, batch.action, batch.next_action_mask),
        zip(*expected, strict=True),
        strict=True,
    ):
        np.testing.assert_array_equal(column, np.concatenate(parts)[:2500])
    assert batch.next_action_mask[np.arange(2500), batch.action].all()
    assert not batch.discount.any() and not batch.n_step_return.any()
