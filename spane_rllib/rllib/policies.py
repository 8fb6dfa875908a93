"""RLlib's policies, which act; training runs train their networks.

Neither has an optimizer: the first that a process makes imports torch's compiler, 70 MB, for nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.algorithms.dqn.dqn_torch_policy import DQNTorchPolicy
from ray.rllib.models.catalog import ModelCatalog
from ray.rllib.models.modelv2 import restore_original_dimensions
from ray.rllib.policy.sample_batch import SampleBatch
from ray.rllib.policy.torch_policy_v2 import TorchPolicyV2
from torch import Tensor

from spane_rllib.rllib.models import NetworkModel


class ValuePolicy(DQNTorchPolicy):
    """Takes the action that the network values most, as RLlib's DQN policy."""

    def optimizer(self) -> list[torch.optim.Optimizer]:
        """None."""
        return []


class FactoredPolicy(TorchPolicyV2):
    """For actions of several parts, where what is allowed of the second depends on the first.

    It acts as the network draws (`sample`), or takes what is likeliest (`greedy`). RLlib's own distributions
    draw the parts of an action apart, and do not know masks.
    """

    def __init__(self, observation_space: Any, action_space: Any, config: dict[str, Any]) -> None:
        # RLlib's DQN explores by single actions.
        config = {**config, "exploration_config": {"type": "StochasticSampling"}}
        super().__init__(observation_space, action_space, config, max_seq_len=config["model"]["max_seq_len"])
        self._random = torch.Generator().manual_seed(int(config["seed"] or 0))

    def make_model(self) -> NetworkModel:
        """The adapter around the network."""
        return ModelCatalog.get_model_v2(
            self.observation_space, self.action_space, 1, self.config["model"], framework="torch"
        )

    def optimizer(self) -> list[torch.optim.Optimizer]:
        """None."""
        return []

    def action_sampler_fn(
        self,
        model: NetworkModel,
        *,
        obs_batch: dict[str, Any],
        state_batches: list[Tensor],
        explore: bool | None = None,
        timestep: int | None = None,
    ) -> tuple[Tensor, Tensor | None, None, list[Tensor]]:
        """(B, K) actions of K parts, and their log-probabilities (B,) where they are drawn."""
        observation = restore_original_dimensions(obs_batch[SampleBatch.OBS], model.obs_space, "torch")
        typed = model.typed(observation)
        network: Any = model.network
        if explore:
            return *network.sample(typed, self._random), None, state_batches
        return network.greedy(typed), None, None, state_batches

    def loss(self, model: Any, dist_class: Any, train_batch: Any) -> Any:
        """Never asked for: what trains the network is a `learning.run.Run`."""
        raise NotImplementedError
