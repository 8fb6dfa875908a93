"""The imitation loss by hand, its part in a gradient step, and that it teaches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from spane_rllib.learning.algorithms import ImitatingDqnSettings
from spane_rllib.learning.batch import Batch
from spane_rllib.learning.dqn import DqnUpdate
from spane_rllib.learning.imitation import TEMPERATURE, Demonstrations, decisions, imitate, imitation_loss


class TableNetwork(nn.Module):
    """Q values as a table by the state's number."""

    def __init__(self, q: list[list[float]]) -> None:
        super().__init__()
        self.q = nn.Parameter(torch.tensor(q))

    def forward(self, observation: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.q[observation["state"]]


def chosen(*items: tuple[int, int, list[int]]) -> Batch:
    """(state, choice, feasible) of each decision."""
    state, action, mask = zip(*items, strict=True)
    return decisions({"state": np.array(state), "action_mask": np.array(mask, np.int8)}, np.array(action))


def test_the_loss_by_hand() -> None:
    """Infeasible slots have no chance: ln(1 + 1/e) and ln 3, whatever stands in slot 3."""
    network = TableNetwork([[TEMPERATURE, 0.0, 0.0, 99.0], [0.0, 0.0, 0.0, 99.0]])
    batch = chosen((0, 0, [1, 1, 0, 0]), (1, 2, [1, 1, 1, 0]))
    expected = (math.log(1 + math.exp(-1)) + math.log(3)) / 2
    loss = imitation_loss(network, batch)
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert network.q.grad is not None and not network.q.grad[:, 3].any()
    assert network.q.grad[1, 2].item() == pytest.approx((1 / 3 - 1) / TEMPERATURE / 2, rel=1e-5)


def test_a_gradient_step_adds_the_weighted_imitation_loss() -> None:
    """State 0 is learned from a return, state 1 from a demonstration; their gradients do not meet."""
    settings = ImitatingDqnSettings(imitate="x", imitation_weight=0.25, weight_decay=0.0, grad_clip=1e6)
    decision = chosen((0, 0, [1, 1, 1, 1]))
    batch = decision._replace(
        n_step_return=np.array([3.0], np.float32),
        discount=np.zeros(1, np.float32),
        next_observation=decision.observation,
    )
    for demonstrated, slope in ((None, 0.0), (chosen((1, 2, [1, 1, 1, 0])), 0.25 * (2 / 3) / TEMPERATURE)):
        network = TableNetwork([[0.0] * 4, [0.0] * 4])
        metrics = DqnUpdate(network, settings).update(batch, demonstrated)
        assert metrics["loss"] == pytest.approx(9.0)
        assert network.q.grad is not None
        assert network.q.grad[0, 0].item() == pytest.approx(-6.0)
        assert -network.q.grad[1, 2].item() == pytest.approx(slope, rel=1e-5)


class Reversal:
    """Two ways: as it is, and with four actions in reverse order."""

    def __len__(self) -> int:
        return 2

    def apply(self, batch: Batch, choice: np.ndarray) -> Batch:
        return batch._replace(action=np.where(choice == 1, 3 - batch.action, batch.action))


def test_batches_are_decided_by_the_generator_and_renamed_at_random() -> None:
    table = chosen(*((state, state % 4, [1, 1, 1, 1]) for state in range(8)))
    plain, again = (Demonstrations(table, np.random.default_rng(1)).sample(100) for _ in range(2))
    np.testing.assert_array_equal(plain.observation["state"], again.observation["state"])
    assert set(plain.observation["state"]) == set(range(8))
    batch = Demonstrations(table, np.random.default_rng(1), Reversal()).sample(100)
    np.testing.assert_array_equal(batch.observation["state"], plain.observation["state"])
    reversed_rows = batch.action == 3 - plain.action
    assert 30 < reversed_rows.sum() < 70
    np.testing.assert_array_equal(batch.action[~reversed_rows], plain.action[~reversed_rows])


def test_choices_are_learned() -> None:
    """The choice is the feasible action whose two parts add up to most."""
    random = np.random.default_rng(0)
    parts = random.random((600, 2, 2, 2)).astype(np.float32)
    scores = parts.sum(axis=3).reshape(600, 4)
    mask = (random.random((600, 4)) < 0.7).astype(np.int8)
    mask[np.arange(600), random.integers(4, size=600)] = 1
    action = np.where(mask != 0, scores, -1.0).argmax(axis=1)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 4)
            nn.init.zeros_(self.layer.weight)
            nn.init.zeros_(self.layer.bias)  # torch's own random state is as other tests leave it

        def forward(self, observation: dict[str, torch.Tensor]) -> torch.Tensor:
            return self.layer(observation["parts"].flatten(1))

    network = Network()
    batch = decisions({"parts": parts, "action_mask": mask}, action)
    last = imitate(network, Demonstrations(batch, random), steps=200, batch_size=128)
    with torch.no_grad():
        q = network({"parts": torch.from_numpy(parts)}).numpy()
    agreement = (np.where(mask != 0, q, -np.inf).argmax(axis=1) == action).mean()
    assert last < 0.8  # of about ln 3
    assert agreement > 0.8  # one third by chance
