"""n-step returns of one episode: G_t = r_t + gamma r_{t+1} + ... + gamma^(n-1) r_{t+n-1}.

The learning target of step t is G_t + discount_t * V(s_{t+k}), where k <= n is the number of steps taken:
near the end of the episode fewer than n are left (Sutton & Barto, 2nd edition, section 7.1).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def n_step_returns(rewards: npt.ArrayLike, n: int, gamma: float) -> Floats:
    """Discounted sums of the next `n` rewards, or of those left before the episode's end.

    Args:
        rewards: (T,) rewards of one episode in order.
        n: number of rewards in a sum, at least 1.
        gamma: discount per step.

    Returns:
        (T,) float64 sums.
    """
    rewards = np.asarray(rewards, dtype=np.float64)
    n = min(n, len(rewards))  # n = 10**6 means "whole episode" and must not cost a million weights
    # Direct sums: differences of cumulative sums divided by gamma^t lose all digits after some hundred steps.
    padded = np.concatenate([rewards, np.zeros(n - 1)])
    return np.correlate(padded, gamma ** np.arange(n, dtype=np.float64), mode="valid")


def bootstrap_steps(length: int, n: int) -> npt.NDArray[np.int64]:
    """(T,) number of steps from each of `length` states to the state it bootstraps from: min(n, T - t)."""
    return np.minimum(n, length - np.arange(length))


def bootstrap_discounts(length: int, n: int, gamma: float, terminated: bool) -> Floats:
    """Weight of the bootstrap value of each step: gamma^(steps taken), 0 where a terminal state is reached.

    Args:
        length: T, number of steps in the episode.
        n: as in `n_step_returns`.
        gamma: discount per step.
        terminated: True if the state after the last step is terminal (its value is 0); False if the episode
            was cut off there, so that its last steps bootstrap from the final observation.

    Returns:
        (T,) float64 weights.
    """
    discounts = gamma ** bootstrap_steps(length, n).astype(np.float64)
    if terminated:
        discounts[max(0, length - n) :] = 0.0
    return discounts
