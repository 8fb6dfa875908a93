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

from spane_rllib.learning.policy_settings import OnPolicy
from spane_rllib.learning.steps import OptimizerSteps

Policy = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Decisions(NamedTuple):
    """D decisions that a policy made, and what became of them."""

    servers: npt.NDArray[np.float32]  # (D, N, 2, 2)
    request: npt.NDArray[np.float32]  # (D, 3)
    action_mask: npt.NDArray[np.int8]  # (D, 2N)
    action: npt.NDArray[np.int64]  # (D,) feasible
    log_probability: npt.NDArray[np.float32]  # (D,) of the action when it was chosen
    advantage: npt.NDArray[np.float32]  # (D,)
    value_target: npt.NDArray[np.float32]  # (D,)


def masked_log_softmax(logits: Tensor, action_mask: Tensor) -> Tensor:
    """(B, 2N) log-probabilities of the actions; -inf where the mask is 0, which must not be all of a row."""
    return logits.masked_fill(action_mask == 0, -torch.inf).log_softmax(dim=1)


def entropy(log_probabilities: Tensor) -> Tensor:
    """(B,) entropies, natural logarithm; actions of probability 0 count nothing."""
    # Where it is -inf, 0 * -inf would be NaN, in the gradient too.
    finite = log_probabilities.masked_fill(log_probabilities == -torch.inf, 0.0)
    return -(log_probabilities.exp() * finite).sum(dim=1)


def clipped_objective(ratio: Tensor, advantage: Tensor, clip: float | None) -> Tensor:
    """(B,) what is to be made large for decisions whose probability has changed by the factor `ratio`."""
    if clip is None:
        return ratio * advantage
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


class PolicyGradientUpdate:
    """Owns the optimizer and the count of updates; changes the policy's parameters in place.

    Args:
        policy: `policy(servers (B, N, 2, 2), request (B, 3))` gives state values (B, 1) and unmasked logits
            (B, 2N).
        parameters: of the policy.
        settings: hyper-parameters; those of acting are used elsewhere.
    """

    def __init__(self, policy: Policy, parameters: list[nn.Parameter], settings: OnPolicy) -> None:
        self.policy, self.settings = policy, settings
        self._steps = OptimizerSteps(parameters, settings.learning_rate_schedule(), settings.grad_clip)
        self.updates = 0

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
        tensors = [torch.from_numpy(column) for column in decisions._replace(advantage=advantage)]
        size = settings.batch_size or len(advantage)
        metrics: dict[str, float] = {}
        for _ in range(settings.epochs):
            order = torch.from_numpy(random.permutation(len(advantage)))
            for batch in order.split(size):
                metrics = self._step(*(column[batch] for column in tensors))
                most -= 1
                if most == 0 or (settings.kl_limit is not None and metrics["kl"] > settings.kl_limit):
                    return metrics
        return metrics

    def _step(
        self,
        servers: Tensor,
        request: Tensor,
        action_mask: Tensor,
        action: Tensor,
        old: Tensor,
        advantage: Tensor,
        value_target: Tensor,
    ) -> dict[str, float]:
        settings = self.settings
        value, logits = self.policy(servers, request)
        log_probabilities = masked_log_softmax(logits, action_mask)
        change = log_probabilities.gather(1, action.unsqueeze(1)).squeeze(1) - old
        policy_loss = -clipped_objective(change.exp(), advantage, settings.clip).mean()
        value_loss = nn.functional.mse_loss(value.squeeze(1), value_target)
        mean_entropy = entropy(log_probabilities).mean()
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
