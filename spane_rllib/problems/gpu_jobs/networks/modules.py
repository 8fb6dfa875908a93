"""The networks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spane_rllib.core.errors import UserError
from spane_rllib.learning.networks import CategoricalPolicy
from spane_rllib.learning.tensors import Tensors
from spane_rllib.problems.gpu_jobs.networks.options import PublishedOptions, SetOptions
from spane_rllib.problems.gpu_jobs.simulator.observation import OVERALL_FEATURES, SLOT_FEATURES, TYPE_FEATURES

_URGENCY = SLOT_FEATURES.index("log10 of its estimated run time over its priority, over 5")


class SetNetwork(CategoricalPolicy, nn.Module):
    """If waiting jobs change places, so do their values; if GPU types do, nothing changes.

    Jobs are encoded by the same layers, types by others; their means and maxima and what holds overall are
    the context in which every job is judged. Any number of slots and types.

    Args:
        width: units of the hidden layers.
        anchor: weight of the run time over priority in the first advantages.
    """

    any_case = True

    def __init__(self, width: int, anchor: float) -> None:
        super().__init__()

        def layers(inputs: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())

        self.slot, self.kind = layers(len(SLOT_FEATURES)), layers(len(TYPE_FEATURES))
        context = 4 * width + len(OVERALL_FEATURES)
        self.context = nn.Sequential(nn.Linear(context, width), nn.ReLU())
        self.score = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))
        self.none = nn.Linear(width, 1)
        self.value = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        self.anchor = nn.Parameter(torch.tensor(anchor))
        if anchor:  # begins as the rule of least run time over priority
            last = self.score[2]
            for layer in (last, self.none):
                assert isinstance(layer, nn.Linear)
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
            nn.init.constant_(self.none.bias, -1.5 * anchor)

    def value_and_advantage(self, observation: Tensors) -> tuple[Tensor, Tensor]:
        """State value (B, 1), and what each slot and starting none are worth (B, K + 1)."""
        slots = observation["slots"]
        there = slots[..., :1]
        jobs, types = self.slot(slots) * there, self.kind(observation["types"])
        count = there.sum(dim=1).clamp(min=1)
        together = torch.cat(
            [
                jobs.sum(dim=1) / count,
                jobs.amax(dim=1),
                types.mean(dim=1),
                types.amax(dim=1),
                observation["overall"],
            ],
            dim=1,
        )
        context = self.context(together)
        beside = context.unsqueeze(1).expand(-1, slots.shape[1], -1)
        scores = self.score(torch.cat([jobs, beside], dim=2)).squeeze(2) - self.anchor * slots[..., _URGENCY]
        return self.value(context), torch.cat([scores, self.none(context)], dim=1)

    def forward(self, observation: Tensors) -> Tensor:
        """(B, K + 1) values of the actions, for DQN and SAC."""
        value, advantage = self.value_and_advantage(observation)
        return value + advantage - advantage.mean(dim=1, keepdim=True)


class PublishedD3qn(CategoricalPolicy, nn.Module):
    """The dueling network of the reference; 151,058 parameters with 16 slots and 256 units."""

    def __init__(self, inputs: int, actions: int, width: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        half = max(width // 2, 1)
        self.value = nn.Sequential(nn.Linear(width, half), nn.ReLU(), nn.Linear(half, 1))
        self.advantage = nn.Sequential(nn.Linear(width, half), nn.ReLU(), nn.Linear(half, actions))

    def value_and_advantage(self, observation: Tensors) -> tuple[Tensor, Tensor]:
        seen = self.trunk(observation["published"])
        return self.value(seen), self.advantage(seen)

    def forward(self, observation: Tensors) -> Tensor:
        """(B, K + 1) values of the actions."""
        value, advantage = self.value_and_advantage(observation)
        return value + advantage - advantage.mean(dim=1, keepdim=True)


class PublishedSac(nn.Module):
    """The actor, and each critic, of the reference; 87,313 parameters with 16 slots and 256 units."""

    def __init__(self, inputs: int, actions: int, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()),
            nn.Linear(width, actions),
        )

    def forward(self, observation: Tensors) -> Tensor:
        """(B, K + 1) logits, or values of the actions."""
        return self.net(observation["published"])


def build(kind: str, options: Any, slots: int, published: bool) -> nn.Module:
    """A network of one of the kinds in `NETWORKS`; raises `UserError` where it cannot see what it needs."""
    if isinstance(options, SetOptions):
        return SetNetwork(options.width, options.anchor)
    assert isinstance(options, PublishedOptions)
    if not published:
        raise UserError(f"network {kind} sees what the reference sees; it needs rules: published")
    make = PublishedD3qn if kind == "d3qn" else PublishedSac
    return make(4 * slots + 2, slots + 1, options.width)
