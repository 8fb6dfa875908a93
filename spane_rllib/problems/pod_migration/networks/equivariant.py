"""A network for any number of nodes and pods: if they change places, so do the values of the moves."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from spane_rllib.learning.networks import CategoricalPolicy
from spane_rllib.learning.tensors import Tensors
from spane_rllib.problems.pod_migration.environments.observation import (
    NODE_FEATURES,
    POD_FEATURES,
    WINDOW_FEATURES,
)

WAVELENGTHS = (3, 4, 6, 8, 12, 16, 24, 32, 64)
"""Requests; pods whose turns are near are alike in waves of these lengths."""


class PodNetwork(CategoricalPolicy, nn.Module):
    """Every pod is seen by the same layers, every node by the sum of its pods, and every move by both nodes.

    The value of moving a pod has a part of layers that see the pod, its node and the other node, and the part
    by which the pod has more in common with the pods of one node than with those of the other, as in attention:
    so pods that are handed requests at nearly the same time can be told apart from others.

    Args:
        width: units of the hidden layers.
    """

    any_case = True

    def __init__(self, width: int) -> None:
        super().__init__()
        features = POD_FEATURES + 2 * len(WAVELENGTHS)
        node_features = NODE_FEATURES + 4
        self.pod = nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width))
        self.node = nn.Sequential(nn.Linear(node_features + width, width), nn.ReLU(), nn.Linear(width, width))
        self.together = nn.Sequential(nn.Linear(2 * width + WINDOW_FEATURES, width), nn.ReLU())
        self.of_pod = nn.Linear(2 * width, width)
        self.of_source = nn.Linear(width, width)
        self.of_target = nn.Linear(width, width)
        self.move = nn.Linear(width, 1)
        self.query = nn.Linear(features, width)
        self.key = nn.Linear(features, width, bias=False)
        self.stop = nn.Linear(width, 1)
        self.value = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        waves = torch.tensor([2 * math.pi / length for length in WAVELENGTHS])
        self.register_buffer("waves", waves, persistent=False)

    def value_and_advantage(self, observation: Tensors) -> tuple[Tensor, Tensor]:
        """State value (B, 1), and what each move and stop are worth (B, P * N + 1)."""
        pods, nodes, history = observation["pods"], observation["nodes"], observation["history"]
        node_of = observation["pod_node"].unsqueeze(2)  # (B, P, 1)
        angle = pods[..., -1:] * self.waves
        # The turn itself has no bound.
        seen = torch.cat([pods[..., :-1], pods[..., -1:] / 50, angle.sin(), angle.cos()], dim=2)
        pod = self.pod(seen)
        width = pod.shape[2]
        here = node_of.expand(-1, -1, width)

        def on_nodes(values: Tensor) -> Tensor:
            """(B, N, W) sums over the pods of each node."""
            zeros = values.new_zeros(len(values), nodes.shape[1], width)
            return zeros.scatter_add(1, here, values)

        node = self.node(
            torch.cat([nodes, history.mean(dim=2), history.amax(dim=2), on_nodes(pod) / 5], dim=2)
        )
        everything = torch.cat([pod.mean(dim=1), node.mean(dim=1), observation["window"]], dim=1)
        together = self.together(everything)
        source = self.of_source(node).gather(1, here)
        beside = together.unsqueeze(1).expand_as(pod)
        of_pod = self.of_pod(torch.cat([pod, beside], dim=2)) + source  # (B, P, W)
        moves = torch.relu(of_pod.unsqueeze(2) + self.of_target(node).unsqueeze(1))
        query, key = self.query(seen), self.key(seen)
        alike = torch.einsum("bpw,bnw->bpn", query, on_nodes(key)) / math.sqrt(width)
        # What it has in common with its own node, itself left out.
        own = alike.gather(2, node_of) - (query * key).sum(dim=2, keepdim=True) / math.sqrt(width)
        advantages = self.move(moves).squeeze(3) + alike - own
        return self.value(together), torch.cat([advantages.flatten(1), self.stop(together)], dim=1)

    def forward(self, observation: Tensors) -> Tensor:
        """(B, P * N + 1) values of the actions, for DQN; the mean is over those that are allowed."""
        value, advantage = self.value_and_advantage(observation)
        allowed = observation["action_mask"].to(advantage.dtype)
        mean = (advantage * allowed).sum(dim=1, keepdim=True) / allowed.sum(dim=1, keepdim=True)
        return value + advantage - mean
