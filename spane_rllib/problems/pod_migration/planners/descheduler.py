"""The rule of `LowNodeUtilization`, a plugin of kubernetes-sigs/descheduler.

A node is underutilised if it uses less than the thresholds of every resource, and overutilised if it uses
more than the target thresholds of any. If there are nodes of both kinds, pods are evicted from overutilised
nodes, the most utilised node first, until it is no longer overutilised or the underutilised nodes have no
room left below the target thresholds. An evicted pod is then placed by the scheduler: here on the
underutilised node with the lowest load, as by `LeastAllocated`. Utilisation is the mean load of the last
window, as with `metricsUtilization`; the smallest pods are evicted last.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spane_rllib.problems.pod_migration.planners.planner import Draft, Move, Planner
from spane_rllib.problems.pod_migration.simulator.episode import Episode


def low_node_utilization(threshold: float, target: float) -> Planner:
    """The rule with the same thresholds for CPU and memory, shares of a node."""

    def plan(episode: Episode) -> Sequence[Move]:
        draft = Draft(episode)
        under = (draft.load < threshold).all(axis=1)
        over = np.flatnonzero((draft.load > target).any(axis=1))
        room = ((target - draft.load) * draft.capacity)[under].sum(axis=0)
        if not under.any():
            return ()
        for node in over[np.argsort(-draft.load[over].sum(axis=1), kind="stable")]:
            for pod in draft.movable(int(node)):
                fits = [one for one in np.flatnonzero(under).tolist() if draft.has_room(one)]
                if draft.full or not fits or not (draft.load[node] > target).any():
                    break
                if (draft.sizes[pod] > room).any():
                    continue
                draft.move(pod, min(fits, key=lambda one: float(draft.load[one].sum())))
                room -= draft.sizes[pod]
        return draft.moves

    return plan
