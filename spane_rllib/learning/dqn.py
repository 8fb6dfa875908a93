"""One gradient step of (double) deep Q-learning on n-step transitions.

The target of a transition is y = G + discount * Q_target(s', a'), where a' is the feasible action with the
largest Q_online(s', a') (double DQN, van Hasselt et al. 2016) or Q_target(s', a') (DQN, Mnih et al. 2015).
The loss compares y with Q_online(s, a). SPANE's published code differs in one point: a' may be infeasible.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from spane_rllib.learning.algorithms import DqnSettings, ImitatingDqnSettings
from spane_rllib.learning.batch import MASK, Batch
from spane_rllib.learning.imitation import imitation_loss
from spane_rllib.learning.steps import OptimizerSteps
from spane_rllib.learning.tensors import chosen, device_of, masked_argmax, to_tensors


@runtime_checkable
class QLearning(Protocol):
    """A network of one parameter that computes the gradient of the loss by itself."""

    def q_learning(
        self, target: Any, batch: Batch, double_q: bool, mask_bootstrap: bool, loss: Literal["mse", "huber"]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Loss, mean Q value of the actions taken, and the gradient of the loss.

        Args:
            target: the target network, of the same class.
            batch: transitions.
            double_q, mask_bootstrap, loss: as in `DqnSettings`.
        """
        ...


class DqnUpdate:
    """Owns the target network, the optimizer and the count of updates; changes `network` in place.

    Args:
        network: online network, `network(observation) -> (B, A)` unmasked Q values. Its parameters stay the
            same tensors throughout, on the device they are on.
        settings: hyper-parameters; those of acting and replay are used elsewhere.
        target: module of the same architecture to use as target network, else a copy of `network`. Either way
            it starts with the weights of `network`.
        for_gradients: of either network, a module of the same parameters and values to call in its place; see
            `Rollouts.for_gradients`.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: DqnSettings,
        target: nn.Module | None = None,
        for_gradients: Callable[[nn.Module], nn.Module] | None = None,
    ) -> None:
        self.network, self.settings = network, settings
        self.target = copy.deepcopy(network) if target is None else target
        self.target.requires_grad_(False)
        self._device = device_of(network)
        self.values, self._target_values = network, self.target
        """What computes the values of `network`, and their gradients."""
        if for_gradients is not None:
            self.values, self._target_values = for_gradients(network), for_gradients(self.target)
        self._fast = self.values if isinstance(self.values, QLearning) else None
        self._steps = OptimizerSteps(
            list(self.values.parameters()),
            settings.learning_rate_schedule(),
            settings.grad_clip,
            settings.weight_decay,
        )
        self._loss = nn.functional.mse_loss if settings.loss == "mse" else nn.functional.huber_loss
        self._imitation_weight = (
            settings.imitation_weight if isinstance(settings, ImitatingDqnSettings) else 0.0
        )
        self.updates = 0
        self.sync_target()

    def update(self, batch: Batch, demonstrated: Batch | None = None) -> dict[str, float]:
        """Make one gradient step.

        Args:
            batch: transitions. Rows whose next state has no feasible action must have discount 0.
            demonstrated: decisions whose `imitation_loss`, times `imitation_weight`, is added to the loss.

        Returns:
            loss: mean over the batch before the step, without the imitation loss.
            mean_q: mean Q value of the actions taken, before the step.
            grad_norm: L2 norm of the whole gradient, before clipping.
            learning_rate: what the step was made with.
        """
        loss, mean_q, gradients = self._gradients(batch)
        if demonstrated is not None:
            also = self._steps.gradients(self._imitation_weight * imitation_loss(self.values, demonstrated))
            gradients = tuple(map(_sum, gradients, also))
        grad_norm, learning_rate = self._steps.step_along(gradients, self.updates)
        self.updates += 1
        if self.updates % self.settings.target_sync_every == 0:
            self.sync_target()
        # One transfer for all three: each .item() would wait for the device.
        numbers = torch.stack([loss, mean_q, grad_norm]).tolist()
        return dict(zip(("loss", "mean_q", "grad_norm"), numbers, strict=True)) | {
            "learning_rate": learning_rate
        }

    def _gradients(self, batch: Batch) -> tuple[Tensor, Tensor, Sequence[Tensor | None]]:
        """Loss, mean Q value of the actions taken, and the gradient of the loss for each parameter."""
        settings = self.settings
        if self._fast is not None:
            loss, mean_q, gradient = self._fast.q_learning(
                self._target_values, batch, settings.double_q, settings.mask_bootstrap, settings.loss
            )
            return loss, mean_q, [gradient]
        observation, following = (
            to_tensors(arrays, self._device) for arrays in (batch.observation, batch.next_observation)
        )
        action, returns, discount = (
            torch.from_numpy(column).to(self._device)
            for column in (batch.action, batch.n_step_return, batch.discount)
        )
        with torch.no_grad():
            next_q = self._target_values(following)
            preference = self.values(following) if settings.double_q else next_q
            if settings.mask_bootstrap:
                best = masked_argmax(preference, following[MASK])
            else:
                best = preference.argmax(dim=1)
            # Indexing the unmasked values keeps the product with a discount of 0 finite (-inf * 0 is NaN).
            targets = returns + discount * chosen(next_q, best)
        q = chosen(self.values(observation), action)
        loss = self._loss(q, targets)
        return loss.detach(), q.detach().mean(), self._steps.gradients(loss)

    def sync_target(self) -> None:
        """Copy the online network's weights to the target network."""
        self.target.load_state_dict(self.network.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Copies of all that an exact continuation needs: weights, target, optimizer, number of updates."""
        return copy.deepcopy(
            {
                "network": self.network.state_dict(),
                "target": self.target.state_dict(),
                "optimizer": self._steps.state_dict(),
                "updates": self.updates,
            }
        )

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict()` of the same architecture and settings."""
        self.network.load_state_dict(state["network"])
        self.target.load_state_dict(state["target"])
        self._steps.load_state_dict(state["optimizer"])
        self.updates = state["updates"]


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other
