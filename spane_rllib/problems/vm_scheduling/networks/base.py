"""What the networks have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from spane_rllib.learning.networks import CategoricalPolicy
from spane_rllib.learning.tensors import Tensors
from spane_rllib.problems.vm_scheduling.networks.options import NetworkOptions

SERVER_FEATURES = 4
"""Remaining CPU and memory of both NUMA nodes; where servers differ, their sizes are as many more."""
REQUEST_FEATURES = 3
"""CPU, memory and the flag of a VM that is split over both nodes."""
NODES_PER_SERVER = 2


class QNetwork(CategoricalPolicy, nn.Module):
    """A network from observations to the value of each slot.

    `network(observation)` takes `servers` (B, N, 2, 2), the remaining share of each NUMA node's CPU and
    memory, and `request` (B, 3), CPU and memory as shares of a node's capacity and the double flag; it
    returns (B, 2N) Q-values, unmasked, of slot `2 * server + node`. With 8 `server_features`, `servers` is
    (B, N, 2, 4): then come the sizes of the node. One that was built for another number of servers than N
    raises `UserError`.

    Policy-gradient methods read the advantages as logits of a policy over the slots and the value as that of
    the state. A softmax does not change with what all logits share, so the Q-values are logits just as well:
    the greedy action of a policy is that of highest Q-value, and both kinds of network are played alike.
    """

    kind: ClassVar[str]
    fixed_servers: int | None = None
    """The only number of servers the network takes, or None when it takes any."""

    def __init__(self, options: NetworkOptions, server_features: int = SERVER_FEATURES) -> None:
        super().__init__()
        self._options = options
        self.server_features = server_features
        """What the network sees of a server."""

    def forward(self, observation: Tensors) -> Tensor:
        """Q-values (B, 2N) of `servers` (B, N, 2, 2) and `request` (B, 3); see `value_and_advantage`."""
        return combine(*self.value_and_advantage(observation))

    def options(self) -> dict[str, Any]:
        """The options that build this network again, as plain values."""
        return self._options.model_dump(mode="json")


def hidden_layers(inputs: int, width: int, depth: int) -> list[nn.Module]:
    """`depth` linear layers of `width` units, each followed by a ReLU."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return layers


def combine(value: Tensor, advantage: Tensor) -> Tensor:
    """Dueling Q-values from value (B, 1) and advantage (B, 2N): their mean over the slots is the value.

    Wang et al., Dueling Network Architectures for Deep Reinforcement Learning, ICML 2016, equation 9.
    """
    return value + advantage - advantage.mean(dim=1, keepdim=True)
