"""What VMs are placed on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.reference_cluster import (
    DOUBLE_MEMORY_THRESHOLD,
    NODE_CPU,
    NODE_MEMORY,
    SERVERS,
)

NODES_PER_SERVER = 2


@dataclass(frozen=True)
class Cluster:
    """Identical servers of two NUMA nodes.

    Args:
        servers: number of servers.
        node_cpu: CPU cores of one NUMA node.
        node_memory: memory of one NUMA node, GiB.
        double_memory_threshold: a VM with more memory (GiB) than this is split in halves over both nodes of
            one server ("double"); a smaller one lies wholly on one node.
    """

    servers: int = SERVERS
    node_cpu: float = NODE_CPU
    node_memory: float = NODE_MEMORY
    double_memory_threshold: float = DOUBLE_MEMORY_THRESHOLD

    def __post_init__(self) -> None:
        if self.servers < 1:
            raise UserError(f"servers: {self.servers} is not allowed; give a whole number of at least 1")
        for name in ("node_cpu", "node_memory"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UserError(f"{name}: {getattr(self, name)} is not allowed; give a positive number")
        if not self.double_memory_threshold >= 0:
            raise UserError(
                f"double_memory_threshold: {self.double_memory_threshold} is not allowed; give 0 or more GiB"
            )

    @property
    def slots(self) -> int:
        """Number of NUMA nodes, which is the number of actions."""
        return NODES_PER_SERVER * self.servers

    def is_double(self, cpu: npt.ArrayLike, memory: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether VMs of so many cores and GiB are split over both nodes of a server."""
        return np.asarray(memory) > self.double_memory_threshold
