"""SPANE: one small network shared by all servers, and a summary of the cluster."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from spane_rllib.learning.tensors import Tensors
from spane_rllib.problems.vm_scheduling.networks.base import (
    NODES_PER_SERVER,
    REQUEST_FEATURES,
    SERVER_FEATURES,
    QNetwork,
    hidden_layers,
)
from spane_rllib.problems.vm_scheduling.networks.options import SpaneOptions


class SpaneNetwork(QNetwork):
    """Symmetry-preserving dueling network (SPANE, arXiv 2504.14946) for any number of servers.

    Each server is embedded by the same layers; the cluster embedding is the mean (max, standard deviation)
    over servers. The value comes from the cluster and the request, each server's two advantages from its own
    embedding, the cluster and the request. Permuting the servers therefore permutes the Q-values alike.

    `options.value_depth` and `options.advantage_depth` count linear layers with a ReLU; each head adds a
    linear output layer. `options.server_depth` counts all linear layers of the encoder, with a ReLU between
    any two, and after the last one if `options.encoder_output` says so.
    """

    kind: ClassVar[str] = "spane"

    def __init__(self, options: SpaneOptions, server_features: int = SERVER_FEATURES) -> None:
        super().__init__(options, server_features)
        self.server_width, self.aggregations = options.server_width, options.aggregations
        self.encoder_rectified = options.encoder_output == "relu"
        self.correction = 1 if options.standard_deviation == "sample" else 0
        """What is subtracted from the number of servers in the divisor of the standard deviation."""
        shared = options.cluster_width + REQUEST_FEATURES
        encoder = hidden_layers(server_features, options.server_width, options.server_depth)
        self.server = nn.Sequential(*(encoder if self.encoder_rectified else encoder[:-1]))
        self.value = nn.Sequential(
            *hidden_layers(shared, options.value_width, options.value_depth),
            nn.Linear(options.value_width, 1),
        )
        self.advantage = nn.Sequential(
            *hidden_layers(options.server_width + shared, options.advantage_width, options.advantage_depth),
            nn.Linear(options.advantage_width, NODES_PER_SERVER),
        )

    def value_and_advantage(self, observation: Tensors) -> tuple[Tensor, Tensor]:
        servers, request = observation["servers"], observation["request"]
        embedding = self.server(servers.flatten(2))
        summaries = [_aggregate(embedding, name, self.correction) for name in self.aggregations]
        shared = torch.cat([*summaries, request], dim=1)
        # The advantage's first layer sees [embedding, shared]. The shared columns give every server the same
        # sum, so they are multiplied once per row and not once per server.
        first = self.advantage[0]
        assert isinstance(first, nn.Linear)
        own, common = first.weight[:, : self.server_width], first.weight[:, self.server_width :]
        hidden = functional.linear(embedding, own) + functional.linear(shared, common, first.bias).unsqueeze(
            1
        )
        return self.value(shared), self.advantage[1:](hidden).flatten(1)


def _aggregate(embedding: Tensor, name: str, correction: int) -> Tensor:
    """Mean, max or standard deviation over the servers: (B, N, W) -> (B, W).

    The variance divides by N - `correction`, or by 1 where that is 0.
    """
    if name == "mean":
        return embedding.mean(dim=1)
    if name == "max":
        return embedding.amax(dim=1)
    variance = (embedding - embedding.mean(dim=1, keepdim=True)).square().mean(dim=1)
    servers = embedding.shape[1]
    if correction and servers > correction:
        variance = variance * (servers / (servers - correction))
    # sqrt has no gradient at zero: identical servers, or one server alone, would make the weights NaN.
    spread = variance > 0
    return torch.where(spread, torch.where(spread, variance, 1.0).sqrt(), 0.0)
