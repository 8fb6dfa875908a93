"""The training run that settings ask for."""

from __future__ import annotations

from torch import nn

from spane_rllib.learning.algorithms import AlgorithmSettings, DqnSettings, SacSettings
from spane_rllib.learning.on_policy_run import OnPolicyRun
from spane_rllib.learning.replay_runs import DqnRun, SacRun
from spane_rllib.learning.rollouts import Rollouts
from spane_rllib.learning.run import Run


def begin_run(
    network: nn.Module,
    settings: AlgorithmSettings,
    rollouts: Rollouts,
    every: int,
    seed: int,
    target: nn.Module | None = None,
) -> Run:
    """A run of the algorithm that `settings` belong to; see `Run`. `target` is the target network of DQN."""
    if isinstance(settings, DqnSettings):
        return DqnRun(network, settings, rollouts, every, seed, target)
    if isinstance(settings, SacSettings):
        return SacRun(network, settings, rollouts, every, seed)
    return OnPolicyRun(network, settings, rollouts, every, seed)
