"""A network of one's own; `own_network.yaml` trains it. In this folder:

python -m spane_rllib.tune own_network.yaml
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from spane_rllib.core.settings import Settings
from spane_rllib.learning.networks import CategoricalPolicy


class SlotNetwork(CategoricalPolicy, nn.Module):
    """Sees every NUMA node beside the VM and the mean of all nodes, for any number of servers.

    Args:
        options: typed, as given in YAML under `options`.
        servers: of the cluster that is trained on. A network that takes no other number says so by
            `self.fixed_servers = servers`.
    """

    class Options(Settings):
        """What `options` in YAML can set."""

        width: int = Field(default=16, ge=1, le=1024, description="Units of the hidden layer.")

    def __init__(self, options: Options, servers: int) -> None:
        super().__init__()
        self.node = nn.Sequential(nn.Linear(7, options.width), nn.ReLU(), nn.Linear(options.width, 1))
        self.value = nn.Sequential(nn.Linear(5, options.width), nn.ReLU(), nn.Linear(options.width, 1))

    def value_and_advantage(self, observation: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """State value (B, 1) and advantages (B, 2N): what PPO, A2C and the rollouts ask for."""
        nodes, request = observation["servers"].flatten(1, 2), observation["request"]  # (B, 2N, 2), (B, 3)
        state = torch.cat([nodes.mean(dim=1), request], dim=1)
        beside = state.unsqueeze(1).expand(-1, nodes.shape[1], -1)
        return self.value(state), self.node(torch.cat([nodes, beside], dim=2)).squeeze(2)

    def forward(self, observation: dict[str, Tensor]) -> Tensor:
        """Values (B, 2N) of the slots: what DQN and SAC ask for."""
        value, advantage = self.value_and_advantage(observation)
        return value + advantage - advantage.mean(dim=1, keepdim=True)
