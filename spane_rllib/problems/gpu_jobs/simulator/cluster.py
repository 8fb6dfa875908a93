"""The GPUs: types, nodes, and whether a job may be spread over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spane_rllib.problems.gpu_jobs.simulator.jobs import Floats, Ints

SPLITS = ("never", "type", "any")
"""Whether a job that no pool can hold may be spread: over pools of one type, or over all, fastest first."""
PLACEMENTS = ("fastest", "fragmentation")


@dataclass(frozen=True)
class GpuType:
    """GPUs of one type.

    Args:
        name: of the type.
        count: how many there are.
        flops: of one, which decides the order of types.
        speed: run times are divided by it.
        node: GPUs of a node; 0: they make one pool, whatever the nodes.
    """

    name: str
    count: int
    flops: float
    speed: float = 1.0
    node: int = 0


PUBLISHED_TYPES = (
    GpuType("A100", 16, 1.95e13),
    GpuType("V100", 16, 1.57e13),
    GpuType("T4", 12, 8.1e12),
    GpuType("4090", 12, 8.26e13),
)


class ClusterArrays(NamedTuple):
    """P pools, the fastest type first, as compiled code takes them."""

    whole: Ints  # (P,) GPUs
    kind: Ints  # (P,) type
    speed: Floats  # (P,)
    kinds: int
    split: int  # index in SPLITS


@dataclass(frozen=True)
class Cluster:
    """Pools of GPUs: a node where its type has nodes, else a type.

    Args:
        types: of GPUs.
        split: one of `SPLITS`.
    """

    types: tuple[GpuType, ...] = PUBLISHED_TYPES
    split: str = "any"

    @property
    def gpus(self) -> int:
        """How many there are."""
        return sum(each.count for each in self.types)

    @property
    def ordered(self) -> tuple[GpuType, ...]:
        """The types, that of most FLOPS first."""
        return tuple(sorted(self.types, key=lambda each: -each.flops))

    def largest_job(self) -> int:
        """GPUs of the largest job that an empty cluster can hold."""
        if self.split == "any":
            return self.gpus
        if self.split == "type":
            return max(each.count for each in self.types)
        return max(min(each.node or each.count, each.count) for each in self.types)

    def arrays(self) -> ClusterArrays:
        """What compiled code takes."""
        whole, kind, speed = [], [], []
        for index, each in enumerate(self.ordered):
            size = each.node or each.count
            for first in range(0, each.count, size):
                whole.append(min(size, each.count - first))
                kind.append(index)
                speed.append(each.speed)
        return ClusterArrays(
            np.array(whole, np.int64),
            np.array(kind, np.int64),
            np.array(speed, np.float64),
            len(self.types),
            SPLITS.index(self.split),
        )
