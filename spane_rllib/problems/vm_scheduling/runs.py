"""The training run that settings ask for."""

from __future__ import annotations

import torch

from spane_rllib.learning.policy_settings import AlgorithmSettings, SacSettings
from spane_rllib.learning.settings import TrainingSettings
from spane_rllib.problems.vm_scheduling.networks.base import QNetwork
from spane_rllib.problems.vm_scheduling.policy_training import PolicyGradientRun
from spane_rllib.problems.vm_scheduling.run import Run, Validation
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Workload
from spane_rllib.problems.vm_scheduling.training import SacRun, TrainingRun


def begin_run(
    network: QNetwork,
    settings: AlgorithmSettings,
    workload: Workload,
    cluster: Cluster,
    train_rows: tuple[int, int],
    validation: Validation,
    seed: int,
    target: torch.nn.Module | None = None,
) -> Run:
    """A run of the algorithm that `settings` belong to; see `Run`. `target` is the target network of DQN."""
    common = (workload, cluster, train_rows, validation, seed)
    if isinstance(settings, TrainingSettings):
        return TrainingRun(network, settings, *common, target)
    if isinstance(settings, SacSettings):
        return SacRun(network, settings, *common)
    return PolicyGradientRun(network, settings, *common)
