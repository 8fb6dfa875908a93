"""`TorchModelV2` adapters: the networks as RLlib models, named after their kind."""

from __future__ import annotations

import logging
from typing import Any

from ray.rllib.models import ModelCatalog
from ray.rllib.models.torch.torch_modelv2 import TorchModelV2
from ray.rllib.utils.torch_utils import FLOAT_MIN
from torch import Tensor, nn

from spane_rllib.problems.vm_scheduling.networks.options import NETWORK_OPTIONS
from spane_rllib.problems.vm_scheduling.networks.registry import build_network


class QNetworkModel(TorchModelV2, nn.Module):
    """Outputs Q-values, masked to the feasible actions; use with `hiddens=[]` and `dueling=False`.

    `custom_model_config` holds `options` (of the network, default {}) and `seed` (of its weights, default 0).
    The number of servers is read from the observation space.
    """

    kind: str

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
        servers = obs_space.original_space["servers"].shape[0]
        self.network = build_network(self.kind, custom.get("options", {}), servers, custom.get("seed", 0))
        self._value = Tensor()

    def forward(
        self, input_dict: dict[str, Any], state: list[Tensor], seq_lens: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Q-values (B, 2N); infeasible actions get the value that RLlib's exploration never picks."""
        observation = input_dict["obs"]
        q = self.network(observation["servers"].float(), observation["request"].float())
        # The advantages have mean 0 over the actions, so the mean of the Q-values is the state value.
        self._value = q.mean(dim=1)
        return q.masked_fill(observation["action_mask"] == 0, FLOAT_MIN), state

    def value_function(self) -> Tensor:
        """The state value (B,) of the last forward pass."""
        return self._value


def register_models() -> None:
    """Make the models known to RLlib as `spane` and `mlp`."""
    # RLlib warns that the options above should be keyword arguments, which its DQN models do not receive.
    logging.getLogger("ray.rllib.models.catalog").addFilter(
        lambda record: "Custom ModelV2 should accept" not in record.getMessage()
    )
    for kind in NETWORK_OPTIONS:
        model = type(f"{kind.capitalize()}Model", (QNetworkModel,), {"kind": kind, "__module__": __name__})
        ModelCatalog.register_custom_model(kind, model)
