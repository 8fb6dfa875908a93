"""Advantages of the decisions of whole episodes, for policy gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from spane_rllib.compiling import compiled

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


def subtract_group_means(advantages: Sequence[Floats], size: int) -> list[Floats]:
    """Advantages relative to those of other episodes that met the same VMs.

    How an episode goes depends more on what arrives than on what is decided. Episodes from the same start
    meet the same VMs, so the mean of their advantages at a VM is a baseline that knows what is to come (Mao
    et al., Variance Reduction for Reinforcement Learning in Input-Driven Environments, arXiv 1807.02264).

    Args:
        advantages: (T_e,) of each episode e; every `size` of them in turn have the same start.
        size: episodes of a group. The mean at a decision is over those that come so far.

    Returns:
        (T_e,) of each episode.
    """
    relative = []
    for first in range(0, len(advantages), size):
        group = advantages[first : first + size]
        longest = max(map(len, group))
        padded = np.full((len(group), longest), np.nan)
        for row, values in zip(padded, group, strict=True):
            row[: len(values)] = values
        means = np.nanmean(padded, axis=0)
        relative += [values - means[: len(values)] for values in group]
    return relative
