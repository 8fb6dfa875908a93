"""What is played, with its data: cluster, demand, and the windows of training, validation and test."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.loading import load_trace
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.pod_migration.clusters.cluster import PodCluster
from spane_rllib.problems.pod_migration.clusters.loading import load_cluster
from spane_rllib.problems.pod_migration.demand import Demand, demand_of
from spane_rllib.problems.pod_migration.settings import PodSettings
from spane_rllib.problems.pod_migration.simulator.windows import (
    IMBALANCE,
    SHORT,
    SLOTS,
    UNDER,
    UNSATISFIED,
    VIOLATIONS,
)

TERMS = ("overload", "underload", "unsatisfied", "imbalance", "migration")
"""Parts of the reward."""


@dataclass(frozen=True, eq=False)
class PodInstance:
    """Settings with the data they name.

    Raises:
        UserError: the data cannot be read or does not fit the settings.
    """

    settings: PodSettings

    def __post_init__(self) -> None:
        most = self.settings.max_pods_per_node
        here = np.bincount(self.cluster.placement, minlength=self.cluster.nodes)
        if here.max() > most:
            node = self.cluster.node_names[int(here.argmax())]
            raise UserError(
                f"cluster {self.cluster.name}: {here.max()} pods on {node}; max_pods_per_node is {most}"
            )

    @cached_property
    def cluster(self) -> PodCluster:
        """Nodes and pods, where they are at first."""
        return load_cluster(self.settings.cluster)

    @cached_property
    def trace(self) -> VmTrace:
        """Whose creations are the requests."""
        return load_trace(self.settings.trace)

    @cached_property
    def demand(self) -> Demand:
        """The requests, by window."""
        return demand_of(self.trace, self.settings.window_s, self.settings.demand_scale)

    def window_range(self, split: str) -> tuple[int, int]:
        """The windows of a split, [from, to); at least one episode."""
        settings, windows = self.settings, self.demand.windows
        low, high = (int(share * windows) for share in getattr(settings.splits, split))
        if high - low < settings.horizon:
            raise UserError(
                f"{split}: {high - low} of the {windows:,} windows of {self.demand.name}, fewer than the "
                f"horizon {settings.horizon}; choose a longer trace or a shorter horizon"
            )
        return low, high

    def days(self, split: str) -> npt.NDArray[np.int64]:
        """First windows of the disjoint episodes of a split."""
        low, high = self.window_range(split)
        return np.arange(low, high - self.settings.horizon + 1, self.settings.horizon)

    def terms(self, counts: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
        """The parts of the reward that a window earns: (L,) each, of (L, len(COUNTS)) `counts`."""
        weights, compat = self.settings.weights, self.settings.compat
        slots = np.ones(len(counts)) if compat else counts[:, SLOTS]
        unsatisfied = counts[:, SHORT if compat else UNSATISFIED]
        return {
            "overload": -weights.overload * counts[:, VIOLATIONS] / slots,
            "underload": -weights.underload * counts[:, UNDER] / slots,
            "unsatisfied": -weights.unsatisfied * unsatisfied / slots,
            "imbalance": -weights.imbalance * counts[:, IMBALANCE] / slots,
        }

    def move_cost(self, cpu: float, memory: float) -> float:
        """What moving a pod that asks for so much costs."""
        nodes = 1 if self.settings.compat else self.cluster.nodes
        return self.settings.weights.moved * (cpu + memory) / nodes

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides what is played, as JSON values."""
        settings = self.settings.model_dump(mode="json", exclude={"trace", "cluster"})
        return {**settings, "trace": self.demand.sha256, "cluster": self.cluster.sha256}
