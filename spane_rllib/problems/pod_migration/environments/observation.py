"""What policies see of a cluster before a window."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from spane_rllib.problems.pod_migration.instance import PodInstance
from spane_rllib.problems.pod_migration.simulator.episode import POINTS, Episode

Observation = dict[str, npt.NDArray[Any]]

DAY_S = 86_400.0
NODE_FEATURES = 4
POD_FEATURES = 8
WINDOW_FEATURES = 4
MOST = float(np.finfo(np.float32).max)
"""Of what has no bound."""


def observation_space(instance: PodInstance) -> gymnasium.spaces.Dict:
    """The space of `observe`."""
    nodes, pods = instance.cluster.nodes, instance.cluster.pods
    box = gymnasium.spaces.Box
    return gymnasium.spaces.Dict(
        nodes=box(0, MOST, (nodes, NODE_FEATURES)),
        history=box(0, MOST, (nodes, POINTS, 2)),
        pods=box(0, MOST, (pods, POD_FEATURES)),
        pod_node=box(0, nodes - 1, (pods,), np.int64),
        window=box(-1, MOST, (WINDOW_FEATURES,)),
        action_mask=gymnasium.spaces.MultiBinary(pods * nodes + 1),
    )


def observe(episode: Episode) -> Observation:
    """The arrays that `PodMigrationEnv` documents."""
    instance = episode.instance
    capacity = instance.cluster.capacity
    typical = capacity.mean(axis=0)
    nodes, pods = len(capacity), len(episode.placement)
    own = np.zeros((nodes, 2))
    np.add.at(own, episode.placement, episode.base)
    turn = (np.arange(pods) - episode.pointer) % pods
    angle = 2 * np.pi * (episode.window * instance.settings.window_s % DAY_S) / DAY_S
    seen = (episode.base, episode.demand, episode.granted)
    mask = np.empty(pods * nodes + 1, np.int8)
    pairs = mask[:-1].reshape(pods, nodes)
    room = episode.pods_on < instance.settings.max_pods_per_node
    pairs[:] = ~episode.moved[:, None] & room & (episode.moves_left > 0)
    pairs[np.arange(pods), episode.placement] = 0
    mask[-1] = 1
    window = (
        np.sin(angle),
        np.cos(angle),
        np.log1p(episode.requests),
        min(1.0, episode.moves_left / instance.settings.moves),
    )
    return {
        "nodes": np.concatenate([capacity / typical, own / capacity], axis=1).astype(np.float32),
        "history": episode.history.astype(np.float32),
        "pods": np.concatenate(
            [*(part / typical for part in seen), episode.moved[:, None], turn[:, None]], axis=1
        ).astype(np.float32),
        "pod_node": episode.placement.copy(),
        "window": np.array(window, np.float32),
        "action_mask": mask,
    }
