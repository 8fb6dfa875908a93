"""One gradient step of soft actor-critic for discrete actions (Christodoulou, arXiv 1910.07207).

With the probabilities pi of the feasible actions, two critics Q1 and Q2, their slowly following targets and
the temperature alpha:

    V(s') = sum over a of pi(a|s') * (min(Q1_target(s', a), Q2_target(s', a)) - alpha * log pi(a|s'))
    y = G + discount * V(s'), which both critics are to meet at (s, a)
    the policy is to make sum over a of pi(a|s) * (min(Q1(s, a), Q2(s, a)) - alpha * log pi(a|s)) large
    log alpha falls where the entropy exceeds its target, and rises where it falls short
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spane_rllib.learning.algorithms import SacSettings
from spane_rllib.learning.batch import MASK, Batch
from spane_rllib.learning.steps import OptimizerSteps
from spane_rllib.learning.tensors import chosen, device_of, entropy, masked_log_softmax, to_tensors


def soft_value(log_probabilities: Tensor, q: Tensor, temperature: Tensor | float) -> Tensor:
    """(B,) expected Q value of the policy plus its entropy times the temperature.

    Args:
        log_probabilities: (B, A), -inf for infeasible actions.
        q: (B, A), finite.
        temperature: weight of the entropy.
    """
    return (log_probabilities.exp() * q).sum(dim=1) + temperature * entropy(log_probabilities)


class SacUpdate:
    """Owns the critics, their targets, the temperature and the optimizers; changes `network` in place.

    Args:
        network: the policy, `network(observation) -> (B, A)` unmasked logits.
        critics: two modules of the same form and on the same device, Q values out; changed in place.
        settings: hyper-parameters; those of acting and replay are used elsewhere.
    """

    def __init__(
        self, network: nn.Module, critics: tuple[nn.Module, nn.Module], settings: SacSettings
    ) -> None:
        self.network, self.settings = network, settings
        self.critics = nn.ModuleList(critics)
        self.targets = copy.deepcopy(self.critics).requires_grad_(False)
        self._device = device_of(network)
        self.log_temperature = nn.Parameter(
            torch.tensor(math.log(settings.initial_temperature), device=self._device)
        )
        schedule = settings.learning_rate_schedule()
        self._optimizers = {
            "policy": OptimizerSteps(list(network.parameters()), schedule, settings.grad_clip),
            "critics": OptimizerSteps(list(self.critics.parameters()), schedule, settings.grad_clip),
            "temperature": OptimizerSteps([self.log_temperature], schedule, None),
        }
        self.updates = 0

    def update(self, batch: Batch) -> dict[str, float]:
        """Make one gradient step on the critics, the policy and the temperature each.

        The policy learns on the next states of the batch, whose feasible actions are known.

        Args:
            batch: transitions. Rows whose next state is terminal must have discount 0.

        Returns:
            loss (of the critics), policy_loss, entropy, temperature, mean_q, grad_norm (of the policy),
            learning_rate.
        """
        observation, following = (
            to_tensors(arrays, self._device) for arrays in (batch.observation, batch.next_observation)
        )
        action, returns, discount = (
            torch.from_numpy(column).to(self._device)
            for column in (batch.action, batch.n_step_return, batch.discount)
        )
        temperature = self.log_temperature.detach().exp()
        log_probabilities = masked_log_softmax(self.network(following), following[MASK])
        with torch.no_grad():
            next_q = torch.minimum(*(target(following) for target in self.targets))
            target = returns + discount * soft_value(log_probabilities, next_q, temperature)
        taken = [chosen(critic(observation), action) for critic in self.critics]
        critic_loss = torch.stack([nn.functional.mse_loss(q, target) for q in taken]).sum()
        _, learning_rate = self._optimizers["critics"].step(critic_loss, self.updates)

        with torch.no_grad():
            q = torch.minimum(*(critic(following) for critic in self.critics))
        policy_loss = -soft_value(log_probabilities, q, temperature).mean()
        grad_norm, _ = self._optimizers["policy"].step(policy_loss, self.updates)

        entropies = entropy(log_probabilities.detach())
        wanted = self.settings.target_entropy * following[MASK].sum(dim=1).float().log()
        self._optimizers["temperature"].step(self.log_temperature * (entropies - wanted).mean(), self.updates)
        with torch.no_grad():
            for slow, fast in zip(self.targets.parameters(), self.critics.parameters(), strict=True):
                slow.lerp_(fast, self.settings.target_update_rate)
        self.updates += 1
        numbers = torch.stack(
            [
                critic_loss.detach(),
                policy_loss.detach(),
                entropies.mean(),
                temperature,
                taken[0].mean(),
                grad_norm,
            ]
        ).tolist()
        names = ("loss", "policy_loss", "entropy", "temperature", "mean_q", "grad_norm")
        return dict(zip(names, numbers, strict=True)) | {"learning_rate": learning_rate}

    def state_dict(self) -> dict[str, Any]:
        """Copies of all that an exact continuation needs beside the policy's weights."""
        return copy.deepcopy(
            {
                "critics": self.critics.state_dict(),
                "targets": self.targets.state_dict(),
                "log_temperature": self.log_temperature.detach(),
                "optimizers": {name: steps.state_dict() for name, steps in self._optimizers.items()},
                "updates": self.updates,
            }
        )

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict()` of the same architecture and settings."""
        self.critics.load_state_dict(state["critics"])
        self.targets.load_state_dict(state["targets"])
        with torch.no_grad():
            self.log_temperature.copy_(state["log_temperature"])
        for name, steps in self._optimizers.items():
            steps.load_state_dict(state["optimizers"][name])
        self.updates = state["updates"]
