"""What algorithms ask of networks.

All take observations as tensors by name and ignore names they do not know. DQN and SAC ask for
`network(observation)`, (B, A) values of the actions or logits; PPO and A2C for `evaluate`; and playing in
Gymnasium environments for `greedy` and `sample`, where there are. `CategoricalPolicy` gives a network with
one choice of A actions the last three; factored and autoregressive heads answer them by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.plugins import is_plugin, load_plugin, plugin_options
from spane_rllib.core.settings import Settings, validated
from spane_rllib.core.words import suggestion
from spane_rllib.learning.batch import MASK, Arrays
from spane_rllib.learning.tensors import (
    Tensors,
    chosen,
    device_of,
    entropy,
    masked_argmax,
    masked_log_softmax,
    to_tensors,
)

Network = TypeVar("Network", bound=nn.Module)


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
        value, logits = self.value_and_advantage(observation)
        log_probabilities = masked_log_softmax(logits, observation[MASK])
        return chosen(log_probabilities, action), entropy(log_probabilities), value.squeeze(1)

    def greedy(self, observation: Tensors) -> Tensor:
        return masked_argmax(self.value_and_advantage(observation)[1], observation[MASK])

    def sample(self, observation: Tensors, random: torch.Generator) -> tuple[Tensor, Tensor]:
        return sample_logits(self.value_and_advantage(observation)[1], observation[MASK], random)


def sample_logits(logits: Tensor, action_mask: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """(B,) feasible actions drawn from the softmax of (B, A) logits, and the logs of their probabilities."""
    log_probabilities = masked_log_softmax(logits, action_mask)
    action = torch.multinomial(log_probabilities.exp(), 1, generator=random).squeeze(1)
    return action, chosen(log_probabilities, action)


def greedy_actions(network: Any, observation: Arrays) -> npt.NDArray[np.int64]:
    """The feasible actions that a network takes: its `greedy` ones, or those of highest value.

    Args:
        network: see the module.
        observation: arrays with the decisions as their first axis.

    Returns:
        (B,), or (B, A) actions of A parts.
    """
    tensors = to_tensors(observation, device_of(network))
    with torch.no_grad():
        if hasattr(network, "greedy"):
            action = network.greedy(tensors)
        else:
            action = masked_argmax(network(tensors), tensors[MASK])
    return action.cpu().numpy()


def linear_layers(module: nn.Module) -> list[nn.Linear]:
    """The linear layers of `module`, in order."""
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def with_memory(network: Network) -> Network:
    """Give `network`, made on torch's meta device, uninitialised memory on the CPU; changes and returns it.

    As `Module.to_empty`, which imports sympy to do this: 50 MB and half a second, in every trial.
    """
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            values = torch.empty(parameter.shape, dtype=parameter.dtype)
            setattr(module, name, nn.Parameter(values, parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))
    return network


def initialise(network: nn.Module, seed: int) -> None:
    """Draw the weights of linear layers (Kaiming, for ReLU) from `seed` alone; set their biases to zero."""
    generator = torch.Generator().manual_seed(seed)
    for layer in linear_layers(network):
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """What `make` makes, with weights that `seed` alone decides; torch's global random state is as before."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return make()


def build_own(kind: str, options: Settings, built_for: Any, seed: int) -> nn.Module:
    """A network of the user's own, `module:Class`, called with `options` and what it is built for.

    Raises:
        UserError: it is no network, or cannot be built.
    """
    make = load_plugin(kind)
    if not (isinstance(make, type) and issubclass(make, nn.Module)):
        raise UserError(f"network {kind}: needs to be a subclass of torch.nn.Module")
    try:
        network = seeded(lambda: make(options, built_for), seed)
    except Exception as error:  # of code that is not ours
        raise UserError(one_line(f"network {kind}: cannot be built: {error!r}")) from error
    return remember(network, kind, options)


def build_kind(
    kinds: Mapping[str, type[Settings]],
    kind: str,
    options: Mapping[str, Any],
    make: Callable[[Any], nn.Module],
    built_for: Callable[[], Any],
    seed: int,
) -> nn.Module:
    """A network with fresh weights: one of `kinds`, or one of the user's own.

    Args:
        kinds: options by kind.
        kind: one of these, or `module:Class`.
        options: fields of its options.
        make: the network of one of `kinds`, from its options; weights from torch's random state.
        built_for: what one of the user's own is called with beside its options.
        seed: decides the weights.

    Raises:
        UserError: unknown kind or option, or a bad value.
    """
    where = f"options of network {kind}"
    if is_plugin(kind):
        return build_own(kind, validated(plugin_options(kind), options, where), built_for(), seed)
    if kind not in kinds:
        raise UserError(f"unknown network kind {kind!r}; {suggestion(kind, kinds)}")
    parsed = validated(kinds[kind], options, where)
    return remember(seeded(lambda: make(parsed), seed), kind, parsed)


def remember(network: nn.Module, kind: str, options: Settings) -> nn.Module:
    """`network`, which knows from now on what it was built from, for `built_from`."""
    network._built_from = kind, options.model_dump(mode="json")  # type: ignore[assignment]
    return network


def built_from(network: Any) -> tuple[str, dict[str, Any]]:
    """Kind and options of a network."""
    known = getattr(network, "_built_from", None)
    return known or (network.kind, network.options())
