"""The baseline without symmetry: a multilayer perceptron for a fixed number of servers."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from spane_rllib.core.errors import UserError
from spane_rllib.learning.tensors import Tensors
from spane_rllib.problems.vm_scheduling.networks.base import (
    NODES_PER_SERVER,
    REQUEST_FEATURES,
    SERVER_FEATURES,
    QNetwork,
    hidden_layers,
)
from spane_rllib.problems.vm_scheduling.networks.options import MlpOptions


class MlpNetwork(QNetwork):
    """Dueling multilayer perceptron on the concatenated observation (4N or 8N + 3 features).

    The hidden layers end in a bottleneck of 2N ReLU units, from which two linear layers read the value and
    the 2N advantages.
    """

    kind: ClassVar[str] = "mlp"

    def __init__(self, options: MlpOptions, servers: int, server_features: int = SERVER_FEATURES) -> None:
        super().__init__(options, server_features)
        self.fixed_servers = servers
        slots = NODES_PER_SERVER * servers
        inputs = server_features * servers + REQUEST_FEATURES
        self.trunk = nn.Sequential(
            *hidden_layers(inputs, options.width, options.depth), *hidden_layers(options.width, slots, 1)
        )
        self.value = nn.Linear(slots, 1)
        self.advantage = nn.Linear(slots, slots)

    def value_and_advantage(self, observation: Tensors) -> tuple[Tensor, Tensor]:
        servers, request = observation["servers"], observation["request"]
        check_servers(self, servers.shape[1])
        features = self.trunk(torch.cat([servers.flatten(1), request], dim=1))
        return self.value(features), self.advantage(features)


def check_servers(network: QNetwork, servers: int) -> None:
    """Raise a `UserError` when `network` cannot take that many servers."""
    if network.fixed_servers not in (None, servers):
        raise UserError(
            f"this {network.kind} network takes {network.fixed_servers} servers, got {servers}; "
            f"train one for {servers} servers or use a spane network, which takes any number"
        )


def check_features(network: QNetwork, server_features: int) -> None:
    """Raise a `UserError` when `network` does not take servers that are observed like that."""
    if network.server_features != server_features:
        made, played = (
            "equal servers" if features == SERVER_FEATURES else "servers that differ"
            for features in (network.server_features, server_features)
        )
        raise UserError(
            f"this {network.kind} network was made for {made}, not for {played}; train another one"
        )
