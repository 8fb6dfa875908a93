"""Advantages of the decisions of whole episodes, for policy gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import compiled

Floats = npt.NDArray[np.float64]


@compiled
def generalized_advantages(
    rewards: Floats, values: Floats, last_value: float, discount: float, gae_lambda: float
) -> Floats:
    """Generalized advantage estimates of one episode (Schulman et al., arXiv 1506.02438, equation 16).

    A_t = sum over k of (discount * gae_lambda)^k * delta_(t+k), with
    delta_t = rewards[t] + discount * V(t + 1) - V(t).

    Args:
        rewards: (T,)
        values: (T,) values of the states in which the decisions were made.
        last_value: value of the state behind the last decision, 0 where the episode ended by itself.
        discount: per decision.
        gae_lambda: 0 trusts the values, 1 the rewards.

    Returns:
        (T,) advantages; with the values added they are targets for the values.
    """
    advantages = np.empty(len(rewards))
    following, advantage = last_value, 0.0
    for t in range(len(rewards) - 1, -1, -1):
        delta = rewards[t] + discount * following - values[t]
        advantage = delta + discount * gae_lambda * advantage
        advantages[t] = advantage
        following = values[t]
    return advantages


def relative_rewards(rewards: Sequence[Floats], size: int, discount: float) -> list[Floats]:
    """Rewards whose discounted sums are relative to those of other episodes that met the same arrivals.

    How an episode goes depends more on what arrives than on what is decided. Episodes from the same start
    meet the same arrivals, so the mean b_t of their discounted sums of rewards from decision t on is a
    baseline that knows what is to come (Mao et al., Variance Reduction for Reinforcement Learning in
    Input-Driven Environments, arXiv 1807.02264). r_t - b_t + discount * b_(t+1) sums to the sum of
    r less b_t: the best decisions stay the best (Ng et al., ICML 1999), and values need not explain what only
    arrivals decide.

    Args:
        rewards: (T_e,) of each episode e; every `size` of them in turn have the same start.
        size: episodes of a group. One that has ended counts 0 in the means.
        discount: per decision.

    Returns:
        (T_e,) of each episode; the last one lacks the b of what is missed.
    """
    relative = []
    for first in range(0, len(rewards), size):
        group = rewards[first : first + size]
        sums = np.zeros(max(map(len, group)) + 1)
        for values in group:
            sums[: len(values)] += discounted_sums(values, discount)
        means = sums / len(group)
        for values in group:
            following = means[1 : len(values) + 1].copy()
            following[-1] = 0.0
            relative.append(values - means[: len(values)] + discount * following)
    return relative


@compiled
def discounted_sums(rewards: Floats, discount: float) -> Floats:
    """(T,) discounted sums of the rewards from each decision on."""
    sums = np.empty(len(rewards))
    following = 0.0
    for t in range(len(rewards) - 1, -1, -1):
        following = sums[t] = rewards[t] + discount * following
    return sums
