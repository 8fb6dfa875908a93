"""What is replayed: observations, and batches of n-step transitions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Observation(NamedTuple):
    """What a policy sees at one decision."""

    servers: npt.NDArray[np.float32]  # (N, 2, 2) server, NUMA node, (cpu, memory): free share of capacity
    request: npt.NDArray[np.float32]  # (3,) cpu and memory as shares of a node, 1.0 if split over both nodes
    action_mask: npt.NDArray[np.int8]  # (2N,) 1 = the slot is feasible


class Batch(NamedTuple):
    """B transitions of n steps; the target of each is n_step_return + discount * value(next state)."""

    servers: npt.NDArray[np.float32]  # (B, N, 2, 2)
    request: npt.NDArray[np.float32]  # (B, 3)
    action: npt.NDArray[np.int64]  # (B,) slot = 2 * server + node
    n_step_return: npt.NDArray[np.float32]  # (B,)
    discount: npt.NDArray[np.float32]  # (B,) gamma^(steps taken); 0 = the next state is terminal
    next_servers: npt.NDArray[np.float32]  # (B, N, 2, 2); any valid state where discount is 0
    next_request: npt.NDArray[np.float32]  # (B, 3)
    next_action_mask: npt.NDArray[np.int8]  # (B, 2N), never all 0
