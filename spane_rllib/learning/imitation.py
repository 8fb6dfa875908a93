"""Imitation: a Q-network learns to prefer the slots that a demonstrator chose.

Behaviour cloning (Pomerleau 1991): cross-entropy between the choices and the softmax of the feasible slots'
Q-values over `TEMPERATURE`. Only differences between slots are learned, not the value of the state.
Demonstrations first and rewards afterwards, with an imitation loss that stays, is the plan of DQfD (Hester et
al., arXiv 1704.03732), which has a margin in place of the cross-entropy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from spane_rllib.learning.augmentation import ServerPermutations
from spane_rllib.learning.batch import Batch

TEMPERATURE = 0.1
"""Keeps the learned differences small beside returns of about 1 that training goes on with."""
_LEARNING_RATE = 0.003
_VALUE_WEIGHT = 0.1


class Demonstrations:
    """Batches of decisions to imitate.

    Args:
        decisions: `action` of each row is the choice, `next_action_mask` says what was feasible.
        random: decides the batches and permutations.
        augmentation: renumbers the servers of each decision at random.
    """

    def __init__(
        self,
        decisions: Batch,
        random: np.random.Generator,
        augmentation: ServerPermutations | None = None,
    ) -> None:
        self.decisions, self._random, self._augmentation = decisions, random, augmentation

    def sample(self, batch_size: int) -> Batch:
        """Draw decisions uniformly with replacement."""
        rows = self._random.integers(len(self.decisions.action), size=batch_size)
        columns: Any = (column[rows] for column in self.decisions)
        batch = Batch(*columns)
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
    optimizer = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    loss = torch.zeros(())
    for _ in range(steps):
        loss, values = _loss_and_values(network, demonstrations.sample(batch_size))
        optimizer.zero_grad()
        (loss + _VALUE_WEIGHT * values.square().mean()).backward()
        optimizer.step()
        schedule.step()
    return float(loss.detach())


def _loss_and_values(network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    device = next(network.parameters()).device
    servers, request, action, mask = (
        torch.from_numpy(column).to(device)
        for column in (batch.servers, batch.request, batch.action, batch.next_action_mask)
    )
    q = network(servers, request)
    logits = (q / TEMPERATURE).masked_fill(mask == 0, -torch.inf)
    return functional.cross_entropy(logits, action), q.gather(1, action.unsqueeze(1))
