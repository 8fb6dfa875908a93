"""One cluster, window after window."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.pod_migration.simulator.windows import COUNTS, count_windows, play_window

if TYPE_CHECKING:
    from spane_rllib.problems.pod_migration.instance import PodInstance

POINTS = 8
"""Points in time at which a window's load is kept."""


class Episode:
    """The state of one cluster between two windows. `reset` begins.

    Args:
        instance: what is played.
        moves: before a window at most; None: as the settings say.

    Attributes:
        placement: (P,) node of each pod.
        base: (P, 2) what each pod asks for at any time.
        pods_on: (N,) pods on each node.
        pointer: pod that has the next request.
        window: the next window of the demand.
        moved: (P,) whether a pod has moved since the last window.
        spent: moves of the episode so far.
        history: (N, POINTS, 2) load in the last window as a share of capacity.
        demand: (P, 2) mean load that requests were to each pod in the last window.
        granted: (P, 2) what each pod was given at its end.
        requests: number of requests of the last window.
    """

    def __init__(self, instance: PodInstance, moves: int | None = None) -> None:
        self.instance = instance
        self._moves = instance.settings.moves if moves is None else moves
        settings = instance.settings
        self._rules = (
            settings.resource_model == "parallel",
            settings.allocation == "sjf",
            settings.overload,
            settings.underload,
        )
        nodes, pods = instance.cluster.nodes, instance.cluster.pods
        self.history = np.zeros((nodes, POINTS, 2))
        self.demand, self.granted = np.zeros((pods, 2)), np.zeros((pods, 2))
        self._total = np.zeros((pods, 2))
        self.reset(0)

    def reset(self, start: int, placement: npt.NDArray[np.int64] | None = None) -> None:
        """Begin before window `start`, with the pods where the cluster has them or at `placement` (P,)."""
        cluster = self.instance.cluster
        self.window, self.pointer, self.requests = start, 0, 0
        self.placement = np.array(cluster.placement if placement is None else placement, np.int64)
        self.base = cluster.requests.copy()
        self.pods_on = np.bincount(self.placement, minlength=cluster.nodes)
        self.moved = np.zeros(cluster.pods, np.bool_)
        self.spent = 0
        self.granted[:] = self.base
        self.assume(np.zeros_like(self.base))

    def assume(self, demand: npt.NDArray[np.float64]) -> None:
        """Take (P, 2) `demand`, beside what pods ask for at any time, for that of a last window."""
        self.demand[:] = demand
        load = np.zeros((len(self.history), 2))
        np.add.at(load, self.placement, self.base + demand)
        self.history[:] = (load / self.instance.cluster.capacity)[:, None]

    def draft(self) -> Episode:
        """A copy on which moves can be tried; it must not `advance`."""
        draft = copy.copy(self)
        draft.placement, draft.pods_on = self.placement.copy(), self.pods_on.copy()
        draft.moved = self.moved.copy()
        return draft

    @property
    def moves_left(self) -> int:
        """Moves that are left before the next window."""
        return self._moves - int(self.moved.sum())

    def may_move(self, pod: int, node: int) -> bool:
        """Whether `pod` may be moved to `node` now."""
        return (
            self.moves_left > 0
            and not self.moved[pod]
            and self.placement[pod] != node
            and self.pods_on[node] < self.instance.settings.max_pods_per_node
        )

    def move(self, pod: int, node: int) -> float:
        """Move a pod; returns the reward, which is not positive.

        Raises:
            ValueError: it may not.
        """
        if not self.may_move(pod, node):
            raise ValueError(f"pod {pod} may not move to node {node} now")
        self.pods_on[self.placement[pod]] -= 1
        self.pods_on[node] += 1
        self.placement[pod], self.moved[pod] = node, True
        self.spent += 1
        cpu, memory = self.base[pod]
        return -self.instance.move_cost(cpu, memory)

    def advance(self) -> npt.NDArray[np.float64]:
        """Play the next window; returns (len(COUNTS),)."""
        demand, capacity = self.instance.demand, self.instance.cluster.capacity
        begin, end = demand.first[self.window], demand.first[self.window + 1]
        counts = np.zeros(len(COUNTS))
        self.pointer = play_window(
            demand.amount,
            demand.moment,
            begin,
            end,
            self.pointer,
            self.placement,
            self.base,
            capacity,
            *self._rules,
            counts,
            self.history,
            self.demand,
            self._total,
            self.granted,
            True,
        )
        if self.instance.settings.carry_over:
            self.base += self._total
        self.requests = int(end - begin)
        self.window += 1
        self.moved[:] = False
        return counts

    def count(
        self,
        windows: npt.NDArray[np.int64],
        placements: npt.NDArray[np.int64] | None = None,
        pointers: npt.NDArray[np.int64] | None = None,
    ) -> npt.NDArray[np.float64]:
        """Count windows without playing them.

        Args:
            windows: (L,)
            placements: (L, P) node of each pod; None: where they are.
            pointers: (L,) pod that has the first request; None: whose turn it is.

        Returns:
            (L, len(COUNTS)).
        """
        demand = self.instance.demand
        if placements is None:
            placements = np.broadcast_to(self.placement, (len(windows), len(self.placement)))
        counts = np.empty((len(windows), len(COUNTS)))
        count_windows(
            demand.amount,
            demand.moment,
            demand.first,
            windows,
            np.full(len(windows), self.pointer) if pointers is None else pointers,
            np.ascontiguousarray(placements),
            self.base,
            self.instance.cluster.capacity,
            *self._rules,
            counts,
        )
        return counts
