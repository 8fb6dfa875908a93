"""What the pods of one node are given of what they ask for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import compiled

Floats = npt.NDArray[np.float64]

TOLERANCE = 1e-9
"""Shares of a capacity that are rounding."""


@compiled
def allocate(asked: Floats, capacity: Floats, shortest_first: bool, granted: Floats) -> None:
    """Share a node among its pods.

    Proportional: CPU goes to all pods in proportion to what they ask for, all of it even where less is asked
    for, as to Best-Effort containers in Kubernetes; memory goes to the smallest requests first, as it is
    asked for, until none is left. Shortest first: the smallest requests first for both, where the size of a
    request is the sum of its shares of the node. Pods that come equally early share what is left in
    proportion.

    Args:
        asked: (k, 2) CPU and memory.
        capacity: (2,) of the node.
        shortest_first: which of the two.
        granted: (k, 2) receives what each pod is given.
    """
    pods = len(asked)
    if shortest_first:
        sizes = asked[:, 0] / capacity[0] + asked[:, 1] / capacity[1]
    else:
        sizes = asked[:, 1].copy()
        total = asked[:, 0].sum()
        for pod in range(pods):
            granted[pod, 0] = capacity[0] * asked[pod, 0] / total if total > 0 else 0.0
    order = np.argsort(sizes)
    for resource in range(0 if shortest_first else 1, 2):
        left = capacity[resource]
        first = 0
        while first < pods:
            last, together = first, 0.0
            while last < pods and sizes[order[last]] == sizes[order[first]]:
                together += asked[order[last], resource]
                last += 1
            share = 1.0 if together <= left or together == 0 else left / together
            for at in range(first, last):
                granted[order[at], resource] = share * asked[order[at], resource]
            left = max(left - share * together, 0.0)
            first = last
