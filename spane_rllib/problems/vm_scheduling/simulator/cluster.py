"""What VMs are placed on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

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
"""Nodes that the rules of placing know of a server; one of more counts as several, see `ServerGroup`."""
MAX_NODES = 8
NODE_FEATURES = 2
"""What is observed of a node: free cpu and memory."""


@dataclass(frozen=True)
class ServerGroup:
    """Equal servers.

    A VM is split over nodes 2k and 2k + 1 of a server, which are neighbours, or not at all. So a server of
    more than two nodes is to the rules of placing what its pairs of neighbours would be as servers, and a
    node without a neighbour, the only or the last one of an odd number, has one that holds nothing.

    Args:
        count: servers.
        node_cpu: CPU cores of one NUMA node.
        node_memory: memory of one NUMA node, GiB.
        nodes: NUMA nodes of a server, 1 to `MAX_NODES`.
    """

    count: int
    node_cpu: float
    node_memory: float
    nodes: int = NODES_PER_SERVER

    @property
    def pairs(self) -> int:
        """Pairs of nodes of one server."""
        return -(-self.nodes // NODES_PER_SERVER)


@dataclass(frozen=True)
class Cluster:
    """Servers of NUMA nodes; identical ones of two nodes unless there are `groups`.

    Args:
        servers: number of servers.
        node_cpu: CPU cores of one NUMA node, the largest.
        node_memory: memory of one NUMA node, GiB, the largest.
        double_memory_threshold: a VM with more memory (GiB) than this is split in halves over both nodes of
            one server ("double"); a smaller one lies wholly on one node.
        groups: the servers in the order of their numbers where not all are equal ones of two nodes; see
            `of_groups`.
    """

    servers: int = SERVERS
    node_cpu: float = NODE_CPU
    node_memory: float = NODE_MEMORY
    double_memory_threshold: float = DOUBLE_MEMORY_THRESHOLD
    groups: tuple[ServerGroup, ...] = ()

    @classmethod
    def of_groups(
        cls, groups: Iterable[ServerGroup], double_memory_threshold: float = DOUBLE_MEMORY_THRESHOLD
    ) -> Cluster:
        """The servers of `groups`; the cluster without groups where all are equal ones of two nodes.

        Raises:
            UserError: a value is not allowed.
        """
        groups = tuple(groups)
        servers = sum(group.count for group in groups)
        cpu, memory = (max(getattr(group, name) for group in groups) for name in ("node_cpu", "node_memory"))
        equal = {(group.node_cpu, group.node_memory, group.nodes) for group in groups} == {
            (cpu, memory, NODES_PER_SERVER)
        }
        return cls(servers, cpu, memory, double_memory_threshold, () if equal else groups)

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

        for group in self.groups:
            if group.count < 1 or not 1 <= group.nodes <= MAX_NODES:
                raise UserError(f"server_groups: {group} is not allowed; give 1 to {MAX_NODES} nodes")
            if not (group.node_cpu > 0 and group.node_memory > 0):
                raise UserError(f"server_groups: {group} is not allowed; give positive sizes")

    @cached_property
    def pairs(self) -> int:
        """Servers as the rules of placing see them, N: those of more than two nodes count as several."""
        return sum(group.count * group.pairs for group in self._groups)

    @property
    def nodes(self) -> int:
        """Number of NUMA nodes."""
        return sum(group.count * group.nodes for group in self._groups)

    @property
    def slots(self) -> int:
        """Number of places for VMs on one NUMA node, which is the number of actions, 2N."""
        return NODES_PER_SERVER * self.pairs

    def node_sizes(self) -> npt.NDArray[np.float64]:
        """(slots, 2) cores and GiB of every slot; 0 where a node without neighbour would have one."""
        return np.concatenate([np.tile(_slots(group), (group.count, 1)) for group in self._groups])

    def kinds(self) -> npt.NDArray[np.float64]:
        """(K, 2, 2) cores and GiB of both nodes of every kind of pair of nodes."""
        slots = np.concatenate([_slots(group) for group in self._groups])
        return np.unique(slots.reshape(-1, NODES_PER_SERVER, 2), axis=0)

    @property
    def _groups(self) -> tuple[ServerGroup, ...]:
        return self.groups or (ServerGroup(self.servers, self.node_cpu, self.node_memory),)

    @cached_property
    def shows_sizes(self) -> bool:
        """Whether observations say how large nodes are: pairs of nodes differ."""
        return len(self.groups) > 0 and len(self.kinds()) > 1

    def node_shares(self) -> npt.NDArray[np.float32]:
        """(N, 2, 2) cpu and memory of every node as shares of the largest."""
        sizes = self.node_sizes() / [self.node_cpu, self.node_memory]
        return sizes.reshape(-1, NODES_PER_SERVER, 2).astype(np.float32)

    @property
    def node_features(self) -> int:
        """What is observed of a node: free cpu and memory, and the sizes where they differ."""
        return NODE_FEATURES * (1 + self.shows_sizes)

    @cached_property
    def places(self) -> npt.NDArray[np.int64]:
        """(slots, 2) server and node of every slot."""
        nodes = [NODES_PER_SERVER * group.pairs for group in self._groups for _ in range(group.count)]
        first = np.cumsum([0, *nodes[:-1]])
        server = np.repeat(np.arange(len(nodes)), nodes)
        return np.stack([server, np.arange(len(server)) - first[server]], axis=1)

    def keywords(self) -> dict[str, Any]:
        """As plain values, under the names that environments and configurations have for them."""
        values = asdict(self)
        groups = list(values.pop("groups"))
        if not groups:
            return values
        return {"server_groups": groups, "double_memory_threshold": self.double_memory_threshold}

    @property
    def text(self) -> str:
        """In words, without the double rule."""
        return " + ".join(
            f"{g.count} x {g.nodes} x ({g.node_cpu:g} cpu, {g.node_memory:g} GiB)" for g in self._groups
        )

    def is_double(self, cpu: npt.ArrayLike, memory: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether VMs of so many cores and GiB are split over both nodes of a server."""
        return np.asarray(memory) > self.double_memory_threshold


def _slots(group: ServerGroup) -> npt.NDArray[np.float64]:
    """(slots, 2) cores and GiB of the slots of one server."""
    sizes = np.zeros((NODES_PER_SERVER * group.pairs, 2))
    sizes[: group.nodes] = group.node_cpu, group.node_memory
    return sizes
