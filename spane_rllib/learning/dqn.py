"""One gradient step of (double) deep Q-learning on n-step transitions.

The target of a transition is y = G + discount * Q_target(s', a'), where a' is the feasible action with the
largest Q_online(s', a') (double DQN, van Hasselt et al. 2016) or Q_target(s', a') (DQN, Mnih et al. 2015).
The loss compares y with Q_online(s, a). SPANE's published code differs in one point: a' may be infeasible.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from spane_rllib.errors import UserError
from spane_rllib.learning.replay import Batch
from spane_rllib.learning.schedules import LinearSchedule, StepDecay


@dataclass(frozen=True)
class DqnOptions:
    """Hyper-parameters of DQN. Defaults are those of SPANE's published code ("reference") unless stated."""

    gamma: float = 0.95
    """Discount per decision, 0 to 1; reference."""
    n_step: int = 50
    """Rewards in a return before bootstrapping, decisions; reference."""
    batch_size: int = 1024
    """Transitions per update; reference."""
    replay_capacity: int = 100_000
    """Rows of the replay memory, decisions; reference."""
    target_sync_every: int = 100
    """Updates between copies of the online to the target network; reference."""
    learning_rate: float = 0.01
    """Adam's step size at the start; reference (its stored best models)."""
    learning_rate_decay: float = 0.99
    """Factor on the learning rate, 1 = constant; reference."""
    learning_rate_decay_every: int = 100
    """Updates between two such factors; reference."""
    weight_decay: float = 1e-8
    """Adam's L2 penalty on the weights; reference."""
    grad_clip: float | None = None
    """Largest L2 norm of the gradient, None = unlimited; reference."""
    loss: Literal["mse", "huber"] = "mse"
    """Squared error, or Huber's (linear beyond an error of 1); reference."""
    double_q: bool = True
    """Choose the next action by the online network, value it by the target network; reference."""
    mask_bootstrap: bool = True
    """Choose the next action among the feasible ones only; the reference does not, which is an error."""
    epsilon_initial: float = 0.6
    """Probability of a random action at the start; reference."""
    epsilon_final: float = 0.0
    """Probability of a random action at the end; reference."""
    epsilon_decay_steps: int = 5000
    """Updates from the first to the last, on a straight line; reference (its number of updates)."""

    def __post_init__(self) -> None:
        for name in ("gamma", "epsilon_initial", "epsilon_final"):
            self._require(name, 0 <= getattr(self, name) <= 1, "0 to 1")
        for name in ("n_step", "batch_size", "target_sync_every", "learning_rate_decay_every"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        self._require("replay_capacity", self.replay_capacity >= 2, "at least 2")
        self._require("learning_rate", 0 < self.learning_rate < float("inf"), "positive")
        self._require("learning_rate_decay", 0 < self.learning_rate_decay <= 1, "above 0 and at most 1")
        self._require("weight_decay", 0 <= self.weight_decay < float("inf"), "0 or more")
        self._require("epsilon_decay_steps", self.epsilon_decay_steps >= 0, "0 or more")
        self._require("grad_clip", self.grad_clip is None or self.grad_clip > 0, "positive or none")
        self._require("loss", self.loss in ("mse", "huber"), "mse or huber")

    def _require(self, name: str, holds: bool, allowed: str) -> None:
        if not holds:
            raise UserError(f"{name} must be {allowed}, got {getattr(self, name)!r}")

    def epsilon_schedule(self) -> LinearSchedule:
        """Probability of a random action by number of updates."""
        return LinearSchedule(self.epsilon_initial, self.epsilon_final, self.epsilon_decay_steps)

    def learning_rate_schedule(self) -> StepDecay:
        """Learning rate by number of updates."""
        return StepDecay(self.learning_rate, self.learning_rate_decay, self.learning_rate_decay_every)


class DqnUpdate:
    """Owns the target network, the optimizer and the count of updates; changes `network` in place.

    Args:
        network: online network, `network(servers (B, N, 2, 2), request (B, 3)) -> (B, 2N)` unmasked Q values.
            Its parameters stay the same tensors throughout, on the device they are on.
        options: hyper-parameters; those of acting and replay are used elsewhere.
        target: module of the same architecture to use as target network, else a copy of `network`. Either way
            it starts with the weights of `network`.
    """

    def __init__(self, network: nn.Module, options: DqnOptions, target: nn.Module | None = None) -> None:
        self.network, self.options = network, options
        self.target = copy.deepcopy(network) if target is None else target
        self.target.requires_grad_(False)
        self._parameters = list(network.parameters())
        self._device = self._parameters[0].device
        self._learning_rate = options.learning_rate_schedule()
        self._optimizer = torch.optim.Adam(
            self._parameters, lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
        )
        self._loss = nn.functional.mse_loss if options.loss == "mse" else nn.functional.huber_loss
        self.updates = 0
        self.sync_target()

    def update(self, batch: Batch) -> dict[str, float]:
        """Make one gradient step.

        Args:
            batch: transitions. Rows whose next state has no feasible action must have discount 0.

        Returns:
            loss: mean over the batch before the step.
            mean_q: mean Q value of the actions taken, before the step.
            grad_norm: L2 norm of the whole gradient, before clipping.
            learning_rate: what the step was made with.
        """
        servers, request, action, returns, discount, next_servers, next_request, next_mask = map(
            self._tensor, batch
        )
        with torch.no_grad():
            next_q = self.target(next_servers, next_request)
            preference = self.network(next_servers, next_request) if self.options.double_q else next_q
            if self.options.mask_bootstrap:
                preference = preference.masked_fill(next_mask == 0, -torch.inf)
            # Indexing the unmasked values keeps the product with a discount of 0 finite (-inf * 0 is NaN).
            best = preference.argmax(dim=1, keepdim=True)
            targets = returns + discount * next_q.gather(1, best).squeeze(1)

        q = self.network(servers, request).gather(1, action.unsqueeze(1)).squeeze(1)
        loss = self._loss(q, targets)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        grad_norm = nn.utils.get_total_norm(gradients)
        if self.options.grad_clip is not None:
            nn.utils.clip_grads_with_norm_(self._parameters, self.options.grad_clip, grad_norm)
        learning_rate = self._learning_rate(self.updates)
        self._optimizer.param_groups[0]["lr"] = learning_rate
        self._optimizer.step()

        self.updates += 1
        if self.updates % self.options.target_sync_every == 0:
            self.sync_target()
        # One transfer for all three: each .item() would wait for the device.
        numbers = torch.stack([loss.detach(), q.detach().mean(), grad_norm]).tolist()
        return dict(zip(("loss", "mean_q", "grad_norm"), numbers, strict=True)) | {
            "learning_rate": learning_rate
        }

    def sync_target(self) -> None:
        """Copy the online network's weights to the target network."""
        self.target.load_state_dict(self.network.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Copies of all that an exact continuation needs: weights, target, optimizer, number of updates."""
        return copy.deepcopy(
            {
                "network": self.network.state_dict(),
                "target": self.target.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "updates": self.updates,
            }
        )

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict()` of the same architecture and options."""
        self.network.load_state_dict(state["network"])
        self.target.load_state_dict(state["target"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.updates = state["updates"]

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.from_numpy(values).to(self._device)
