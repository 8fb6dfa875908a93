"""Rewards of the allocations objective by name. A reward is a function of one placement in L lanes at once:

    reward(cpu_share, servers) -> rewards

    cpu_share: (L,) float64, cores of the VM just placed as a share of the largest server's.
    servers: (L, N, 2, 2) float32, as the environments observe them at the next decision.
    rewards: (L,) float64, a new array.

Any function of this form can be used in place of a name.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Shares = npt.NDArray[np.float64]
Servers = npt.NDArray[np.float32]
RewardFunction = Callable[[Shares, Servers], npt.NDArray[np.float64]]


def allocation(cpu_share: Shares, servers: Servers) -> npt.NDArray[np.float64]:
    """1: VMAgent's reward, whose sum is the number of allocations."""
    return np.ones(len(cpu_share))


def cpu_share(cpu_share: Shares, servers: Servers) -> npt.NDArray[np.float64]:
    """The cores placed, in servers: a large VM is worth more than a small one."""
    return cpu_share.copy()


REWARDS: dict[str, RewardFunction] = {"allocation": allocation, "cpu_share": cpu_share}
