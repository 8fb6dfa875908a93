"""Rewards by name. A reward is a function of what one decision led to, for L lanes at once:

    reward(wait, servers) -> rewards

    wait: (L,) float64, wait of the VM just placed, seconds.
    servers: (L, N, 2, 2) float32, free shares of every server, NUMA node and resource (cpu, memory) at the
        next decision, as the environments observe them; (L, N, 2, 4) where these show how large nodes are.
    rewards: (L,) float64, a new array.

Any function of this form can be used in place of a name. Those here are compiled because NumPy's log1p may
differ from the simulator's in the last bit, and the rewards of an episode are to add up to its return.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import compiled

Waits = npt.NDArray[np.float64]
Servers = npt.NDArray[np.float32]
RewardFunction = Callable[[Waits, Servers], npt.NDArray[np.float64]]

BALANCE_WEIGHT = 1.0
"""Weight of the imbalance in `balance`; 1 makes a wholly unbalanced cluster as bad as a wait of 1.7 s."""

FAIRNESS_HOURS = 1.0
"""The wait, hours, at which the penalty of `fairness` is as large as the wait itself."""


@compiled
def log_wait(wait: Waits, servers: Servers) -> npt.NDArray[np.float64]:
    """-log(1 + wait in seconds): the reward of the SPANE reference (arXiv 2504.14946)."""
    return -np.log1p(wait)


@compiled
def log_wait_hours(wait: Waits, servers: Servers) -> npt.NDArray[np.float64]:
    """-log(1 + wait in hours): nearly linear below an hour, so long waits weigh more than in `log_wait`."""
    return -np.log1p(wait / 3600.0)


@compiled
def wait_hours(wait: Waits, servers: Servers) -> npt.NDArray[np.float64]:
    """-wait in hours: its sum is the total wait, which heuristics are compared by."""
    return -wait / 3600.0


@compiled
def fairness(wait: Waits, servers: Servers) -> npt.NDArray[np.float64]:
    """`wait_hours` less the square of the wait in hours over `FAIRNESS_HOURS`: long waits count many times.

    A day counts as 25 days, an hour as 2. The sum of squares grows with the longest waits above all, and is a
    sum over decisions, as rewards have to be; the longest wait itself is not.
    """
    hours = wait / 3600.0
    return -hours - hours * hours / FAIRNESS_HOURS


@compiled
def balance(wait: Waits, servers: Servers) -> npt.NDArray[np.float64]:
    """`log_wait` less `BALANCE_WEIGHT` times the imbalance between the two NUMA nodes of a server.

    The imbalance is the mean of |share of node 0 - share of node 1| over servers and resources, 0 to 1. The
    reference has an optional balance term that its results do not use; its exact published form is not known.
    """
    rewards = -np.log1p(wait)
    for lane in range(len(wait)):
        rewards[lane] -= BALANCE_WEIGHT * np.abs(servers[lane, :, 0, :2] - servers[lane, :, 1, :2]).mean()
    return rewards


REWARDS: dict[str, RewardFunction] = {
    "log_wait": log_wait,
    "balance": balance,
    "wait": wait_hours,
    "log_wait_hours": log_wait_hours,
    "fairness": fairness,
}
