"""One step of Adam with a schedule and gradient clipping."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam


class OptimizerSteps:
    """Adam on some parameters.

    By torch's function instead of its `Optimizer`, the first of which in a process imports torch's compiler:
    a second or two, and 70 MB that every trial would hold.

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
        self._weight_decay = weight_decay
        # By number of parameter: running means of gradient and squared gradient, and how many are in them.
        self._moments: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def step(self, loss: Tensor, step: int) -> tuple[Tensor, float]:
        """Make step number `step` down the gradient of `loss`; returns its norm and the learning rate.

        Parameters that the loss does not depend on stay as they are.
        """
        return self.step_along(self.gradients(loss), step)

    def gradients(self, loss: Tensor) -> tuple[Tensor | None, ...]:
        """That of `loss` for each parameter, None where it does not depend on it."""
        # Not backward(): losses of other parameters may reach these too.
        return torch.autograd.grad(loss, self._parameters, allow_unused=True)

    def step_along(self, given: Sequence[Tensor | None], step: int) -> tuple[Tensor, float]:
        """The same for a gradient of each parameter, which clipping changes."""
        for parameter, gradient in zip(self._parameters, given, strict=True):
            parameter.grad = gradient
        numbers = [number for number, gradient in enumerate(given) if gradient is not None]
        parameters: list[Tensor] = [self._parameters[number] for number in numbers]
        gradients = [gradient for gradient in given if gradient is not None]
        grad_norm = _norm(gradients)
        if self._grad_clip is not None:
            nn.utils.clip_grads_with_norm_(parameters, self._grad_clip, grad_norm)
        learning_rate = self._learning_rate(step)
        means, squares, counts = map(list, zip(*map(self._moments_of, numbers), strict=True))
        with torch.no_grad():
            adam(
                parameters, gradients, means, squares, [], counts,
                lr=learning_rate, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=self._weight_decay,
                fused=True, amsgrad=False, maximize=False,
            )  # fmt: skip
        return grad_norm, learning_rate

    def _moments_of(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        if number not in self._moments:
            parameter = self._parameters[number].detach()
            self._moments[number] = (
                torch.zeros_like(parameter),
                torch.zeros_like(parameter),
                torch.zeros((), dtype=torch.float32, device=parameter.device),
            )
        return self._moments[number]

    def state_dict(self) -> dict[str, Any]:
        """What an exact continuation needs; the tensors are those of the optimizer."""
        return {"moments": dict(self._moments)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state_dict()`, of which nothing is kept."""
        self._moments = {
            number: tuple(moment.to(self._parameters[number].device, copy=True) for moment in moments)
            for number, moments in state["moments"].items()
        }


def _norm(gradients: list[Tensor]) -> Tensor:
    """The L2 norm of all together."""
    if len(gradients) == 1:  # the same, without torch's preparations for many
        norm: Tensor = torch.linalg.vector_norm(gradients[0])
        return norm
    return nn.utils.get_total_norm(gradients)
