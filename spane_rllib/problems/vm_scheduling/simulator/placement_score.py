"""A learned rule of placement: fragmentation gradient with balance and siblings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.simulator.fragmentation import (
    FragmentationArrays,
    FragmentationGradient,
)
from spane_rllib.problems.vm_scheduling.simulator.workload import Workload


@dataclass(frozen=True)
class PlacementScore(FragmentationGradient):
    """`FragmentationGradient`, whose cost is of the state after a placement, with two terms more.

    A sibling is a VM of the same flavour that arrived up to a second before. Siblings are mostly deployed and
    deleted together (on Huawei-East-1 the logarithms of their lifetimes correlate with 0.8), so that a server
    that hosts them together is soon free again. This is all the score has instead of lifetimes, which it does
    not know, nor what arrives next. Exchanging servers, or the two nodes of a server, changes nothing.

    Args:
        imbalance: weight of the change of the difference between the free CPU shares of a server's nodes.
        siblings: taken off the cost of servers where a sibling was placed.
    """

    imbalance: float = 0.0
    siblings: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not np.isfinite([self.imbalance, self.siblings]).all():
            raise UserError("placement score: imbalance and siblings must be finite numbers")

    def compile(self, workload: Workload, servers: int) -> FragmentationArrays:
        arrays = super().compile(workload, servers)
        return arrays._replace(imbalance=self.imbalance, siblings=self.siblings)
