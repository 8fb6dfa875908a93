"""Policy gradients on decisions of the policy itself: PPO, and A2C as PPO with one step and no clipping.

The objective of a decision with advantage A, new over old probability r and clipping range c is
min(r A, clip(r, 1 - c, 1 + c) A) (Schulman et al., arXiv 1707.06347, equation 7); without clipping it is
r A, whose gradient at r = 1 is that of A log pi. To its negative are added the squared error of the state
value and the negative entropy, each with its weight.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from spane_rllib.learning.algorithms import OnPolicy
from spane_rllib.learning.batch import Arrays
from spane_rllib.learning.steps import OptimizerSteps
from spane_rllib.learning.tensors import Tensors, device_of, to_tensors


class Decisions(NamedTuple):
    """D decisions that a policy made, and what became of them."""

    observation: Arrays  # (D, ...) each
    action: npt.NDArray[np.int64]  # (D,) or (D, A), feasible
    log_probability: npt.NDArray[np.float32]  # (D,) of the action when it was chosen
    advantage: npt.NDArray[np.float32]  # (D,)
    value_target: npt.NDArray[np.float32]  # (D,)


def clipped_objective(ratio: Tensor, advantage: Tensor, clip: float | None) -> Tensor:
    """(B,) what is to be made large for decisions whose probability has changed by the factor `ratio`."""
    if clip is None:
        return ratio * advantage
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


class PolicyGradientUpdate:
    """Owns the optimizer and the count of updates; changes the policy's parameters in place.

    Args:
        policy: a module that is a `networks.Policy`.
        settings: hyper-parameters; those of acting are used elsewhere.
    """

    def __init__(self, policy: Any, settings: OnPolicy) -> None:
        self.policy, self.settings = policy, settings
        self._evaluate: Callable[[Tensors, Tensor], tuple[Tensor, Tensor, Tensor]] = policy.evaluate
        self._device = device_of(policy)
        self._steps = OptimizerSteps(
            list(policy.parameters()), settings.learning_rate_schedule(), settings.grad_clip
        )
        self.updates = 0

    def values(self, observation: Arrays, action: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(D,) values of the states in which the actions were chosen."""
        with torch.no_grad():
            value = self._evaluate(
                to_tensors(observation, self._device), torch.from_numpy(action).to(self._device)
            )[2]
        return value.double().cpu().numpy()

    def learn(self, decisions: Decisions, random: np.random.Generator, most: int) -> dict[str, float]:
        """Make the gradient steps of one iteration, at most `most`.

        Advantages are normalised to mean 0 and standard deviation 1 over all decisions.

        Args:
            decisions: those of one iteration, all played with the present weights.
            random: decides which decisions share a gradient step.
            most: gradient steps, at least 1.

        Returns:
            loss, policy_loss, value_loss, entropy, kl (from the policy that played, as in
            http://joschu.net/blog/kl-approx.html), grad_norm, learning_rate: of the last gradient step.
        """
        settings = self.settings
        spread = decisions.advantage.std()
        advantage = (decisions.advantage - decisions.advantage.mean()) / (spread + 1e-8)
        observation = to_tensors(decisions.observation, self._device)
        columns = [
            torch.from_numpy(column).to(self._device)
            for column in (decisions.action, decisions.log_probability, advantage, decisions.value_target)
        ]
        size = settings.batch_size or len(advantage)
        metrics: dict[str, float] = {}
        for _ in range(settings.epochs):
            order = torch.from_numpy(random.permutation(len(advantage))).to(self._device)
            for batch in order.split(size):
                rows = {name: column[batch] for name, column in observation.items()}
                metrics = self._step(rows, *(column[batch] for column in columns))
                most -= 1
                if most == 0 or (settings.kl_limit is not None and metrics["kl"] > settings.kl_limit):
                    return metrics
        return metrics

    def _step(
        self,
        observation: Tensors,
        action: Tensor,
        old: Tensor,
        advantage: Tensor,
        value_target: Tensor,
    ) -> dict[str, float]:
        settings = self.settings
        log_probability, entropies, value = self._evaluate(observation, action)
        change = log_probability - old
        policy_loss = -clipped_objective(change.exp(), advantage, settings.clip).mean()
        value_loss = nn.functional.mse_loss(value, value_target)
        mean_entropy = entropies.mean()
        loss = policy_loss + settings.value_weight * value_loss - settings.entropy_bonus * mean_entropy
        grad_norm, learning_rate = self._steps.step(loss, self.updates)
        self.updates += 1
        kl = (change.exp() - 1 - change).mean()
        numbers = torch.stack([loss, policy_loss, value_loss, mean_entropy, kl, grad_norm]).tolist()
        names = ("loss", "policy_loss", "value_loss", "entropy", "kl", "grad_norm")
        return dict(zip(names, numbers, strict=True)) | {"learning_rate": learning_rate}

    def state_dict(self) -> dict[str, Any]:
        """Copies of all that an exact continuation needs beside the weights: optimizer, number of updates."""
        return {"optimizer": copy.deepcopy(self._steps.state_dict()), "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict()` of the same architecture and settings."""
        self._steps.load_state_dict(state["optimizer"])
        self.updates = state["updates"]
