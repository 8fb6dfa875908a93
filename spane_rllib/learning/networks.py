"""What algorithms ask of networks.

All take observations as tensors by name and ignore names they do not know. DQN and SAC ask for
`network(observation)`, (B, A) values of the actions or logits; PPO and A2C for `evaluate`; and playing in
Gymnasium environments for `greedy` and `sample`, where there are. `CategoricalPolicy` gives a network with
one choice of A actions the last three; factored and autoregressive heads answer them by themselves.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from spane_rllib.learning.batch import MASK
from spane_rllib.learning.tensors import Tensors, chosen, entropy, masked_argmax, masked_log_softmax


class Policy(Protocol):
    """A network that PPO and A2C train; an action is (B,) or, in A parts, (B, A) int64."""

    def evaluate(self, observation: Tensors, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B,) log-probability of each action, (B,) entropy of the policy there, (B,) value of the state."""
        ...


class PlayingPolicy(Protocol):
    """A network that chooses actions by itself."""

    def greedy(self, observation: Tensors) -> Tensor:
        """The likeliest or best feasible actions."""
        ...

    def sample(self, observation: Tensors, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Feasible actions drawn from the policy, and (B,) the logs of their probabilities."""
        ...


class CategoricalPolicy:
    """Mixin for networks with one choice of A actions, masked by `action_mask`.

    The softmax of the advantages over the feasible actions is the policy.
    """

    def value_and_advantage(self, observation: Tensors) -> tuple[Tensor, Tensor]:
        """State value (B, 1), and logits or advantages (B, A), unmasked."""
        raise NotImplementedError

    def evaluate(self, observation: Tensors, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Policy`."""
        value, logits = self.value_and_advantage(observation)
        log_probabilities = masked_log_softmax(logits, observation[MASK])
        return chosen(log_probabilities, action), entropy(log_probabilities), value.squeeze(1)

    def greedy(self, observation: Tensors) -> Tensor:
        """See `PlayingPolicy`."""
        return masked_argmax(self.value_and_advantage(observation)[1], observation[MASK])

    def sample(self, observation: Tensors, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """See `PlayingPolicy`."""
        return sample_logits(self.value_and_advantage(observation)[1], observation[MASK], random)


def sample_logits(logits: Tensor, action_mask: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """(B,) feasible actions drawn from the softmax of (B, A) logits, and the logs of their probabilities."""
    log_probabilities = masked_log_softmax(logits, action_mask)
    action = torch.multinomial(log_probabilities.exp(), 1, generator=random).squeeze(1)
    return action, chosen(log_probabilities, action)


def linear_layers(module: nn.Module) -> list[nn.Linear]:
    """The linear layers of `module`, in order."""
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def initialise(network: nn.Module, seed: int) -> None:
    """Draw the weights of linear layers (Kaiming, for ReLU) from `seed` alone; set their biases to zero."""
    generator = torch.Generator().manual_seed(seed)
    for layer in linear_layers(network):
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
