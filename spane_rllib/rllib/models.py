"""The `TorchModelV2` adapter: any network of any problem as an RLlib model."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from ray.rllib.models import ModelCatalog
from ray.rllib.models.torch.torch_modelv2 import TorchModelV2
from ray.rllib.utils.torch_utils import FLOAT_MIN
from torch import Tensor, nn

from spane_rllib.learning.batch import MASK
from spane_rllib.learning.models import load_weights
from spane_rllib.problems.registry import problem_of_environment

MODEL = "spane_rllib"
"""Its name in RLlib's catalog."""


class NetworkModel(TorchModelV2, nn.Module):
    """Outputs the values of all actions, masked to the feasible ones; use with `hiddens=[]`, `dueling=False`.

    `custom_model_config` holds `environment` and `env_config`, which decide the problem and its data, and
    `kind`, `options` and `seed` of the network, and `start_from`, the folder of a model whose weights it
    begins with, or "".
    """

    def __init__(
        self,
        obs_space: Any,
        action_space: Any,
        num_outputs: int,
        model_config: dict[str, Any],
        name: str,
        **_: Any,
    ) -> None:
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        # RLlib does not hand the keyword arguments of custom_model_config to DQN models, hence this look-up.
        custom = model_config["custom_model_config"]
        environment = custom["environment"]
        task = problem_of_environment(environment).load_environment(environment, custom["env_config"])
        self.network = task.build_network(custom["kind"], custom["options"], custom["seed"])
        if custom.get("start_from"):  # checkpoints of earlier versions do not say
            load_weights(custom["start_from"], self.network)
        spaces = obs_space.original_space.spaces.items()
        # RLlib makes floats of all that it flattens.
        self._types = {key: torch.from_numpy(np.empty(0, space.dtype)).dtype for key, space in spaces}
        self._value = Tensor()

    def typed(self, observation: dict[str, Tensor]) -> dict[str, Tensor]:
        """An observation of RLlib's in the types of the space."""
        return {key: observation[key].to(of_space) for key, of_space in self._types.items()}

    def forward(
        self, input_dict: dict[str, Any], state: list[Tensor], seq_lens: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Values (B, A); infeasible actions get the value that RLlib's exploration never picks."""
        observation = self.typed(input_dict["obs"])
        values = self.network(observation)
        # The advantages of dueling networks have mean 0, so the mean of the values is that of the state.
        self._value = values.mean(dim=1)
        return values.masked_fill(observation[MASK] == 0, FLOAT_MIN), state

    def value_function(self) -> Tensor:
        """The state value (B,) of the last forward pass."""
        return self._value


def register_model() -> None:
    """Make the model known to RLlib as `MODEL`."""
    # RLlib warns that the options above should be keyword arguments, which its DQN models do not receive.
    logging.getLogger("ray.rllib.models.catalog").addFilter(
        lambda record: "Custom ModelV2 should accept" not in record.getMessage()
    )
    # It warns of every policy of another package; checkpoints name the class, which the package has.
    logging.getLogger("ray.rllib.policy.policy").addFilter(
        lambda record: "durable policy name" not in record.getMessage()
    )
    ModelCatalog.register_custom_model(MODEL, NetworkModel)
