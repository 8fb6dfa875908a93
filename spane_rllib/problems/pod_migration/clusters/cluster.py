"""Nodes, pods, and where the pods are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class PodCluster:
    """N nodes and P pods. The order of the pods is the order in which they are handed requests.

    Args:
        name: for tables.
        capacity: (N, 2) allocatable CPU and memory of each node, positive.
        requests: (P, 2) CPU and memory that each pod asks for at any time, at least 0.
        placement: (P,) node of each pod.
        node_names: (N,)
        pod_names: (P,) with the namespace in front, as in `default/web-0`, where there is one.
    """

    name: str
    capacity: npt.NDArray[np.float64]
    requests: npt.NDArray[np.float64]
    placement: npt.NDArray[np.int64]
    node_names: Sequence[str]
    pod_names: Sequence[str]

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.capacity)

    @property
    def pods(self) -> int:
        """Number of pods."""
        return len(self.requests)

    @cached_property
    def sha256(self) -> str:
        """Hash of the numbers, in hexadecimal."""
        digest = hashlib.sha256()
        for column in (self.capacity, self.requests, self.placement.astype(np.float64)):
            digest.update(str(column.shape).encode() + column.astype("<f8", copy=False).tobytes())
        return digest.hexdigest()


def equal_cluster(name: str, nodes: int, pods: int, capacity: float, request: float) -> PodCluster:
    """Equal pods in blocks on equal nodes: pod i is on node i * nodes // pods."""
    return PodCluster(
        name,
        np.full((nodes, 2), float(capacity)),
        np.full((pods, 2), float(request)),
        np.arange(pods) * nodes // pods,
        [f"node-{node}" for node in range(nodes)],
        [f"pod-{pod}" for pod in range(pods)],
    )
