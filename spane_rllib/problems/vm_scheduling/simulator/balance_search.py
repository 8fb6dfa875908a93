"""Balance Fit on large clusters, by the tree of a `ServerIndex`: slot for slot the scan of `heuristics`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.simulator.heuristics import most_unbalanced_between
from spane_rllib.problems.vm_scheduling.simulator.server_index import (
    IMBALANCE,
    SLOTS_OF_LEAF,
    after_subtree,
    least_of,
    may_fit,
)


@inlined
def most_unbalanced(
    most: npt.NDArray[np.float64],
    free: npt.NDArray[np.int32],
    share: npt.NDArray[np.float64],
    need: npt.NDArray[np.int32],
    capacity: npt.NDArray[np.int32],
) -> int:
    """The slot that Balance Fit chooses, by the tree; `capacity` (2,) is that of the largest node."""
    leaves = len(most) >> 1
    node = 1
    while node < leaves:
        node = 2 * node + (most[2 * node + 1, IMBALANCE] > most[2 * node, IMBALANCE])
    # Nearly always, the VM fits the most unbalanced server.
    chosen, largest = _most_unbalanced_of_leaf(free, share, need, node - leaves, -1, -1.0)
    if largest == most[1, IMBALANCE]:
        return chosen
    # Of equals, one before it may be found.
    chosen, largest, node = -1, largest - 1e-9, 1
    least = least_of(need, capacity)
    while node > 0:
        if (most[node, IMBALANCE] > largest) & may_fit(most[node], least):
            if node < leaves:
                node *= 2
                continue
            chosen, largest = _most_unbalanced_of_leaf(free, share, need, node - leaves, chosen, largest)
        node = after_subtree(node, 1)
    return chosen


@inlined
def _most_unbalanced_of_leaf(
    free: npt.NDArray[np.int32],
    share: npt.NDArray[np.float64],
    need: npt.NDArray[np.int32],
    leaf: int,
    chosen: int,
    largest: float,
) -> tuple[int, float]:
    begin = leaf * SLOTS_OF_LEAF
    end = min(begin + SLOTS_OF_LEAF, len(share))
    return most_unbalanced_between(free, share, need, begin, end, chosen, largest)
