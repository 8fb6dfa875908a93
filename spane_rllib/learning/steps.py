"""One step of Adam with a schedule and gradient clipping."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class OptimizerSteps:
    """Adam on some parameters.

    Args:
        parameters: what is optimized.
        learning_rate: by number of steps made.
        grad_clip: largest L2 norm of the gradient, None for any.
        weight_decay: Adam's L2 penalty.
    """

    def __init__(
        self,
        parameters: list[nn.Parameter],
        learning_rate: Callable[[int], float],
        grad_clip: float | None,
        weight_decay: float = 0.0,
    ) -> None:
        self._parameters, self._learning_rate, self._grad_clip = parameters, learning_rate, grad_clip
        self._optimizer = torch.optim.Adam(parameters, weight_decay=weight_decay, fused=True)

    def step(self, loss: Tensor, step: int) -> tuple[Tensor, float]:
        """Make step number `step` down the gradient of `loss`; returns its norm and the learning rate."""
        # Not backward(): losses of other parameters may reach these too.
        gradients = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        grad_norm = nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])
        if self._grad_clip is not None:
            nn.utils.clip_grads_with_norm_(self._parameters, self._grad_clip, grad_norm)
        learning_rate = self._learning_rate(step)
        self._optimizer.param_groups[0]["lr"] = learning_rate
        self._optimizer.step()
        return grad_norm, learning_rate

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's own."""
        return self._optimizer.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict()`."""
        self._optimizer.load_state_dict(dict(state))
