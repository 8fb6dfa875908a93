"""A network for any number of bins: if they change places, so do the values of the actions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spane_rllib.learning.networks import CategoricalPolicy
from spane_rllib.learning.tensors import Tensors


class BinNetwork(CategoricalPolicy, nn.Module):
    """Every bin is seen by the same layers, beside the item and the mean of all bins.

    Args:
        width: units of the hidden layers.
    """

    any_case = True  # plays any number of items

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bin = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.advantage = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))
        self.value = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))

    def value_and_advantage(self, observation: Tensors) -> tuple[Tensor, Tensor]:
        """State value (B, 1) and what each bin is worth (B, N)."""
        bins, item = observation["bins"], observation["item"]
        size = item.unsqueeze(1).expand(-1, bins.shape[1], -1)
        seen = self.bin(torch.cat([bins, size, bins[..., :1] - size], dim=2))
        together = seen.mean(dim=1)
        beside = together.unsqueeze(1).expand_as(seen)
        return self.value(together), self.advantage(torch.cat([seen, beside], dim=2)).squeeze(2)

    def forward(self, observation: Tensors) -> Tensor:
        """(B, N) values of the actions, for DQN."""
        value, advantage = self.value_and_advantage(observation)
        return value + advantage - advantage.mean(dim=1, keepdim=True)
