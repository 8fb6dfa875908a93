"""The two-stage policy: first the VM, then where it goes, with one joint probability."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from spane_rllib.learning.batch import MASK
from spane_rllib.learning.tensors import Tensors, chosen, entropy, masked, masked_log_softmax
from spane_rllib.problems.vm_rescheduling.networks.masks import target_mask


class TwoStagePolicy(nn.Module):
    """What the networks of VM rescheduling share: drawing and judging actions (VM, machine, node).

    A subclass sees the mapping once (`encode`), and says of the VM that is chosen where it should go
    (`targets`). The second mask is made from the observation, so that an update sees the one that the action
    was drawn under.
    """

    any_case = True  # plays mappings of any size

    @abstractmethod
    def encode(self, observation: Tensors) -> tuple[Tensor, Tensor, Any]:
        """(B, V) logits of VMs, (B,) values, and what `targets` needs."""

    @abstractmethod
    def targets(self, observation: Tensors, encoded: Any, vm: Tensor) -> Tensor:
        """(B, 2P) logits of nodes for (B,) VMs."""

    def evaluate(self, observation: Tensors, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B,) joint log-probability of (B, 3) actions, (B,) sum of both stages' entropies, (B,) value."""
        logits, value, encoded = self.encode(observation)
        first = masked_log_softmax(logits, _some(observation[MASK]))
        vm = action[:, 0]
        second = masked_log_softmax(self.targets(observation, encoded, vm), target_mask(observation, vm))
        slot = 2 * action[:, 1] + action[:, 2]
        return chosen(first, vm) + chosen(second, slot), entropy(first) + entropy(second), value

    def greedy(self, observation: Tensors) -> Tensor:
        """(B, 3) the likeliest VM, and where it likeliest goes."""
        logits, _, encoded = self.encode(observation)
        vm = masked(logits, _some(observation[MASK])).argmax(dim=1)
        slot = masked(self.targets(observation, encoded, vm), target_mask(observation, vm)).argmax(dim=1)
        return torch.stack([vm, slot // 2, slot % 2], dim=1)

    def sample(
        self,
        observation: Tensors,
        random: torch.Generator,
        quantiles: tuple[float, float] = (0.0, 0.0),
    ) -> tuple[Tensor, Tensor]:
        """(B, 3) actions, and their joint log-probabilities.

        Args:
            observation: as the environment's.
            random: decides the actions.
            quantiles: of the probabilities of VMs and of nodes, padding and what is masked among them: less
            likely
                ones are not drawn (risk-seeking evaluation; 0.995 and 0.98 are published).
        """
        logits, _, encoded = self.encode(observation)
        first = masked_log_softmax(logits, _some(observation[MASK]))
        vm = _draw(first, quantiles[0], random)
        second = masked_log_softmax(self.targets(observation, encoded, vm), target_mask(observation, vm))
        slot = _draw(second, quantiles[1], random)
        action = torch.stack([vm, slot // 2, slot % 2], dim=1)
        return action, chosen(first, vm) + chosen(second, slot)

    def forward(self, observation: Tensors) -> Tensor:
        """(B, V) logits of VMs."""
        return self.encode(observation)[0]


def _some(mask: Tensor) -> Tensor:
    """A mask without empty rows, which have no softmax: there everything is allowed, and nothing chosen."""
    return mask | (mask.sum(dim=1, keepdim=True) == 0).to(mask.dtype)


def _draw(log_probabilities: Tensor, quantile: float, random: torch.Generator) -> Tensor:
    probabilities = log_probabilities.exp()
    if quantile > 0:
        least = probabilities.quantile(quantile, dim=1, keepdim=True)
        probabilities = probabilities * (probabilities >= least)
    return torch.multinomial(probabilities, 1, generator=random).squeeze(1)
