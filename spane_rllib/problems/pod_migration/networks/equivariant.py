"""A network for any number of nodes and pods: if they change places, so do the values of the moves."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from spane_rllib.learning.batch import MASK
from spane_rllib.learning.networks import CategoricalPolicy
from spane_rllib.learning.tensors import Tensors, masked_argmax, masked_log_softmax
from spane_rllib.problems.pod_migration.environments.observation import (
    NODE_FEATURES,
    POD_FEATURES,
    WINDOW_FEATURES,
)

WAVELENGTHS = (3, 4, 6, 8, 12, 16, 24, 32, 64)
"""Requests; pods whose turns are near are alike in waves of these lengths."""

PATIENCE = 8.0


class PodNetwork(CategoricalPolicy, nn.Module):
    """Every pod is seen by the same layers, and every node by others, beside the sum of its pods.

    Moving a pod is worth what the pod and the other node have in common, less what it has in common with its
    own node without it, and a part of the pod alone. What a pod and a node have in common is a scalar
    product, as in attention: of what layers make of both, and of linear maps of the pod and the sum of the
    node's pods, by which pods that are handed requests at nearly the same time tell each other.

    Args:
        width: units of the hidden layers.
        stop_share: probability of stop from which `greedy` stops; else the likeliest move is made. Many moves
            may be as good as each other, so that none is as likely as stop. None: the best action, for DQN.
    """

    waves: Tensor

    def __init__(self, width: int, stop_share: float | None) -> None:
        super().__init__()
        self._stop_share = stop_share
        features = POD_FEATURES + 2 * len(WAVELENGTHS)
        node_features = NODE_FEATURES + 4
        self.pod = nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.node = nn.Sequential(nn.Linear(node_features + width, width), nn.ReLU(), nn.Linear(width, width))
        self.together = nn.Sequential(nn.Linear(2 * width + WINDOW_FEATURES, width), nn.ReLU())
        self.leave = nn.Sequential(nn.Linear(3 * width, width), nn.ReLU(), nn.Linear(width, width + 1))
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
        beside = together.unsqueeze(1).expand_as(pod)
        leave = self.leave(torch.cat([pod, node.gather(1, here), beside], dim=2))
        query, key = self.query(seen), self.key(seen)
        common = torch.bmm(leave[..., 1:], node.transpose(1, 2))  # (B, P, N)
        common = (common + torch.bmm(query, on_nodes(key).transpose(1, 2))) / math.sqrt(width)
        own = common.gather(2, node_of) - (query * key).sum(dim=2, keepdim=True) / math.sqrt(width)
        moves = (common - own + leave[..., :1]).flatten(1)
        # At first stopping is `PATIENCE` times as likely as all moves together, however many there are.
        stop = self.stop(together) + math.log(PATIENCE * moves.shape[1])
        return self.value(together), torch.cat([moves, stop], dim=1)

    def greedy(self, observation: Tensors) -> Tensor:
        """(B,) actions, see `stop_share`."""
        if self._stop_share is None:
            return masked_argmax(self(observation), observation[MASK])
        log_probabilities = masked_log_softmax(self.value_and_advantage(observation)[1], observation[MASK])
        stops = log_probabilities[:, -1].exp() >= self._stop_share
        stops |= observation[MASK][:, :-1].sum(dim=1) == 0
        return torch.where(stops, log_probabilities.shape[1] - 1, log_probabilities[:, :-1].argmax(dim=1))

    def forward(self, observation: Tensors) -> Tensor:
        """(B, P * N + 1) values of the actions, for DQN; the mean advantage of allowed ones is 0."""
        value, advantage = self.value_and_advantage(observation)
        allowed = observation["action_mask"].to(advantage.dtype)
        mean = (advantage * allowed).sum(dim=1, keepdim=True) / allowed.sum(dim=1, keepdim=True)
        return value + advantage - mean
