"""A node for every pod at once."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from spane_rllib.problems.pod_migration.environments.base import WindowEnv
from spane_rllib.problems.pod_migration.environments.observation import Observation
from spane_rllib.problems.pod_migration.instance import TERMS


class PodPlacementEnv(WindowEnv):
    """
    ## Description

    As `PodMigrationEnv`, but before each window every pod is given a node, with no limit on moves.

    ## Action Space

    `MultiDiscrete([N] * P)`: the node of each pod; its own node lets it stay. Pods are moved in order, and
    one whose node is full then stays.

    ## Observation Space

    As of `PodMigrationEnv`, but `action_mask`, of shape (P, N), has 1 for the node that a pod is on, and for
    those with room now.

    ## Rewards, Starting State, Episode End, Arguments

    As of `PodMigrationEnv`; `moves` is not used.
    """

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        cluster = self.instance.cluster
        self.action_space = gymnasium.spaces.MultiDiscrete([cluster.nodes] * cluster.pods)
        mask = gymnasium.spaces.MultiBinary((cluster.pods, cluster.nodes))
        self.observation_space = gymnasium.spaces.Dict(
            {**self.observation_space.spaces, "action_mask": mask}  # type: ignore[attr-defined]
        )

    def _moves(self) -> int | None:
        return self.instance.cluster.pods

    def step(self, action: npt.NDArray[np.int64]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Move all pods, and play the window."""
        terms = dict.fromkeys(TERMS, 0.0)
        for pod, node in enumerate(np.asarray(action).tolist()):
            if self._episode.may_move(pod, node):
                terms["migration"] += self._move(pod, node)
        return self._result(terms | self._play_window())

    def _observe(self) -> Observation:
        observation = super()._observe()
        pods, nodes = len(self._episode.placement), self.instance.cluster.nodes
        mask = observation["action_mask"][:-1].reshape(pods, nodes)
        mask[np.arange(pods), self._episode.placement] = 1
        return observation | {"action_mask": mask}
