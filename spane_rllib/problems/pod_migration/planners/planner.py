"""What a planner is, and the loads that planners look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.pod_migration.simulator.episode import Episode

Move = tuple[int, int]
"""A pod and the node it goes to."""

Planner = Callable[[Episode], Sequence[Move]]
"""The moves before the next window. It is called before every window of an episode, and changes nothing."""


class Draft:
    """Where the pods of an episode would be after some moves, and the loads that this would make.

    Attributes:
        sizes: (P, 2) what each pod was asked for in the last window, on average, its own request included.
        placement: (P,) node of each pod.
        load: (N, 2) mean load of each node in the last window, had the pods been there, of its capacity.
        moves: so far.
    """

    def __init__(self, episode: Episode) -> None:
        self._episode = episode
        self.capacity = episode.instance.cluster.capacity
        self.sizes = episode.base + episode.demand
        self.placement = episode.placement.copy()
        self._pods_on = episode.pods_on.copy()
        self.load = np.zeros((len(self.capacity), 2))
        np.add.at(self.load, self.placement, self.sizes)
        self.load /= self.capacity
        self.moves: list[Move] = []

    @property
    def full(self) -> bool:
        """Whether no more moves are allowed."""
        return len(self.moves) >= self._episode.moves_left

    def movable(self, node: int) -> npt.NDArray[np.int64]:
        """The pods on `node` that have not been moved, largest CPU first, then memory."""
        moved = [pod for pod, _ in self.moves]
        pods = np.flatnonzero(self.placement == node)
        pods = pods[~np.isin(pods, moved)]
        return pods[np.lexsort((-self.sizes[pods, 1], -self.sizes[pods, 0]))]

    def has_room(self, node: int) -> bool:
        """Whether one more pod may be on `node`."""
        return bool(self._pods_on[node] < self._episode.instance.settings.max_pods_per_node)

    def load_after(self, pod: int, node: int) -> npt.NDArray[np.float64]:
        """(2,) load of `node` with `pod` on it."""
        loaded: npt.NDArray[np.float64] = self.load[node] + self.sizes[pod] / self.capacity[node]
        return loaded

    def move(self, pod: int, node: int) -> None:
        """Move `pod`."""
        before = self.placement[pod]
        self.load[before] -= self.sizes[pod] / self.capacity[before]
        self.load[node] += self.sizes[pod] / self.capacity[node]
        self._pods_on[before] -= 1
        self._pods_on[node] += 1
        self.placement[pod] = node
        self.moves.append((int(pod), int(node)))
