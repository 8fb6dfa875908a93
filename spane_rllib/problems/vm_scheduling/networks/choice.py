"""A network that rates every waiting VM on every slot, and waiting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from spane_rllib.core.settings import validated
from spane_rllib.learning.batch import MASK
from spane_rllib.learning.networks import CategoricalPolicy, initialise, with_memory
from spane_rllib.learning.tensors import Tensors
from spane_rllib.problems.vm_scheduling.networks.base import NODES_PER_SERVER, SERVER_FEATURES, hidden_layers
from spane_rllib.problems.vm_scheduling.networks.options import CHOICE, ChoiceOptions

VM_FEATURES = 7
"""CPU, memory, double flag and wait of a VM; whether it fits, and is the first that does; its place."""
WAIT_SCALE = 0.1
"""Factor on log(1 + seconds), which then comes to about 1."""

NEVER = -1e6
"""What waiting is rated where it is not allowed."""
_WAITING_AT_FIRST = -1.0


class ChoiceNetwork(CategoricalPolicy, nn.Module):
    """Symmetry-preserving dueling network for whom to place, and where.

    `network(observation)` takes what `VMChoiceEnv` with `flat_actions` shows: `servers` (B, N, 2, 2) or
    (B, N, 2, 4), `waiting` (B, K, 4) and `action_mask` (B, 2NK + 1). It returns (B, 2NK + 1) Q-values,
    unmasked: action `2N * k + slot` places the k-th VM in the queue on a slot, the last one waits.

    Servers are embedded by the same layers, waiting VMs by others; means and maxima over servers and the sum
    over the queue are what all heads see of the whole. So permuting the servers permutes the Q-values alike.
    With `options.node_symmetry` each node is embedded, knowing the other one of its server, and swapping the
    nodes of any server swaps its Q-values. VMs are told apart by their place in the queue. Unless
    `options.may_wait`, waiting is rated `NEVER`. Any number of servers and of waiting VMs is taken.
    """

    kind: ClassVar[str] = CHOICE
    fixed_servers: None = None

    def __init__(self, options: ChoiceOptions, server_features: int = SERVER_FEATURES) -> None:
        super().__init__()
        self._options, self.server_features = options, server_features
        self.may_wait, self.node_symmetry = options.may_wait, options.node_symmetry
        shared = 2 * options.server_width + options.queue_width
        self.server = nn.Sequential(
            *hidden_layers(server_features, options.server_width, options.server_depth)
        )
        self.queue = nn.Sequential(*hidden_layers(VM_FEATURES, options.queue_width, options.queue_depth))
        self.value = _head(shared, options.value_width, 1)
        self.waiting = _head(shared, options.value_width, 1)
        outputs = 1 if options.node_symmetry else NODES_PER_SERVER
        self.advantage_parts = [options.server_width, VM_FEATURES, shared]
        """Inputs of the advantage: of the server, the VM, and the whole."""
        self.advantage = _head(sum(self.advantage_parts), options.advantage_width, outputs)

    def forward(self, observation: Tensors) -> Tensor:
        """(B, 2NK + 1) Q-values whose mean over the feasible actions is the state's value."""
        value, advantage = self.value_and_advantage(observation)
        mask = observation[MASK].to(advantage.dtype)
        if not self.may_wait:
            mask = functional.pad(mask[:, :-1], (0, 1))
        mean = (advantage * mask).sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True).clamp(min=1.0)
        return value + advantage - mean

    def value_and_advantage(self, observation: Tensors) -> tuple[Tensor, Tensor]:
        servers, vms = observation["servers"], _vm_features(observation)
        if self.node_symmetry:
            items = torch.cat([servers, servers.flip(2)], dim=3).flatten(1, 2)
        else:
            items = servers.flatten(2)
        embedding = self.server(items)
        # Nobody is there in most places of the queue: only VMs are rated.
        row, place = (observation["waiting"][..., :2] > 0).any(dim=2).nonzero(as_tuple=True)
        present = vms[row, place]
        encoded = self.queue(present)
        queue = encoded.new_zeros(len(servers), encoded.shape[1]).index_add(0, row, encoded)
        shared = torch.cat([embedding.mean(dim=1), embedding.amax(dim=1), queue], dim=1)

        # The first layer of the advantage sees [server, VM, shared]: each part is multiplied once.
        first = self.advantage[0]
        assert isinstance(first, nn.Linear)
        of_server, of_vm, of_all = first.weight.split(self.advantage_parts, dim=1)
        common = functional.linear(shared, of_all, first.bias)[row] + functional.linear(present, of_vm)
        hidden = functional.linear(embedding, of_server)[row] + common.unsqueeze(1)
        rated = self.advantage[1:](hidden).flatten(1)
        pairs = rated.new_zeros(*vms.shape[:2], rated.shape[1]).index_put((row, place), rated)
        waiting = self.waiting(shared)
        if not self.may_wait:
            waiting = torch.full_like(waiting, NEVER)  # a VM fits wherever there is a decision
        return self.value(shared), torch.cat([pairs.flatten(1), waiting], dim=1)

    def options(self) -> dict[str, Any]:
        """The options that build this network again, as plain values."""
        return self._options.model_dump(mode="json")


def choice_skeleton(options: Mapping[str, object], server_features: int = SERVER_FEATURES) -> ChoiceNetwork:
    """The network on torch's meta device; raises `UserError` for an unknown option or a bad value."""
    parsed = validated(ChoiceOptions, options, f"options of network {CHOICE}")
    with torch.device("meta"):
        return ChoiceNetwork(parsed, server_features)


def build_choice(
    options: Mapping[str, object], seed: int, server_features: int = SERVER_FEATURES
) -> ChoiceNetwork:
    """The network with weights drawn from `seed`; raises as `choice_skeleton`.

    Waiting begins as worse than all else, whatever is seen: heuristics never do it, and what imitates them
    would otherwise wait where they have not shown anything.
    """
    network = with_memory(choice_skeleton(options, server_features))
    initialise(network, seed)
    last = network.waiting[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(_WAITING_AT_FIRST)
    return network


def _head(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*hidden_layers(inputs, width, 1), nn.Linear(width, outputs))


def _vm_features(observation: Tensors) -> Tensor:
    """(B, K, VM_FEATURES) of the waiting VMs."""
    waiting = observation["waiting"]
    places = waiting.shape[1]
    fits = observation[MASK][:, :-1].unflatten(1, (places, -1)).amax(dim=2).to(waiting.dtype)
    first = fits * (fits.cumsum(dim=1) == 1)
    place = 1.0 / torch.arange(1, places + 1, dtype=waiting.dtype, device=waiting.device)
    return torch.cat(
        [
            waiting[..., :3],
            WAIT_SCALE * waiting[..., 3:],
            torch.stack([fits, first, place.expand_as(fits)], dim=2),
        ],
        dim=2,
    )
