"""Imitation: a Q-network learns to prefer the actions that a demonstrator chose.

Behaviour cloning (Pomerleau 1991): cross-entropy between the choices and the softmax of the feasible actions'
Q-values over `TEMPERATURE`. Only differences between actions are learned, not the value of the state.
Demonstrations first and rewards afterwards, with an imitation loss that stays, is the plan of DQfD (Hester et
al., arXiv 1704.03732), which has a margin in place of the cross-entropy.
"""

from __future__ import annotations

import math
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from spane_rllib.learning.batch import MASK, Arrays, Augmentation, Batch
from spane_rllib.learning.steps import OptimizerSteps
from spane_rllib.learning.tensors import chosen, device_of, masked, to_tensors

TEMPERATURE = 0.1
"""Keeps the learned differences small beside returns of about 1 that training goes on with."""
_LEARNING_RATE = 0.003
_VALUE_WEIGHT = 0.1


def decisions(observation: Arrays, action: npt.NDArray[np.int64]) -> Batch:
    """Decisions to imitate, as a batch without anything that only learning from rewards needs."""
    nothing = np.zeros(0, np.float32)
    return Batch(observation, action, nothing, nothing, {})


class Demonstrations:
    """Batches of decisions to imitate.

    Args:
        decisions: what was observed and chosen.
        random: decides the batches and how they are renamed.
        augmentation: renames each decision at random.
    """

    def __init__(
        self,
        decisions: Batch,
        random: np.random.Generator,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.decisions, self._random, self._augmentation = decisions, random, augmentation

    def sample(self, batch_size: int) -> Batch:
        """Draw decisions uniformly with replacement."""
        rows = self._random.integers(len(self.decisions.action), size=batch_size)
        observation = {name: column.take(rows, axis=0) for name, column in self.decisions.observation.items()}
        batch = self.decisions._replace(observation=observation, action=self.decisions.action[rows])
        if self._augmentation is None:
            return batch
        return self._augmentation.apply(
            batch, self._random.integers(len(self._augmentation), size=batch_size)
        )


def imitation_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy of the choices in `batch` under `network`, nats."""
    return _loss_and_values(network, batch)[0]


def imitate(network: nn.Module, demonstrations: Demonstrations, steps: int, batch_size: int) -> float:
    """Make `steps` Adam steps on `network`, in place; the learning rate falls to 0 as a cosine.

    The values of the choices are held near 0, which is what they are worth relative to the demonstrator's own
    rewards. Left alone they drift away by far more than returns differ, and training, which has to bring them
    back first, unlearns the rest.

    Returns the cross-entropy of the last batch before its step, nats.
    """
    rates = _falling_rates(steps)
    optimizer = OptimizerSteps(list(network.parameters()), rates.__getitem__, grad_clip=None)
    loss = torch.zeros(())
    for step in range(steps):
        loss, values = _loss_and_values(network, demonstrations.sample(batch_size))
        optimizer.step(loss + _VALUE_WEIGHT * values.square().mean(), step)
    return float(loss.detach())


def _falling_rates(steps: int) -> list[float]:
    """The learning rates of `steps` steps, each from the one before, as of torch's `CosineAnnealingLR`."""
    heights = [1 + math.cos(math.pi * step / steps) for step in range(steps)]
    return list(
        accumulate(pairwise(heights), lambda rate, pair: pair[1] / pair[0] * rate, initial=_LEARNING_RATE)
    )


def _loss_and_values(network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    device = device_of(network)
    observation, action = to_tensors(batch.observation, device), torch.from_numpy(batch.action).to(device)
    q = network(observation)
    return functional.cross_entropy(masked(q / TEMPERATURE, observation[MASK]), action), chosen(q, action)
