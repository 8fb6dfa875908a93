"""The imitation loss by hand, its part in a gradient step, and that it teaches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from spane_rllib.learning.augmentation import ServerPermutations
from spane_rllib.learning.batch import Batch
from spane_rllib.learning.dqn import DqnUpdate
from spane_rllib.learning.imitation import TEMPERATURE, Demonstrations, imitate, imitation_loss
from spane_rllib.learning.settings import TrainingSettings


class TableNetwork(nn.Module):
    """Q values as a table: the state's number is request[0]."""

    def __init__(self, q: list[list[float]]) -> None:
        super().__init__()
        self.q = nn.Parameter(torch.tensor(q))

    def forward(self, servers: torch.Tensor, request: torch.Tensor) -> torch.Tensor:
        return self.q[request[:, 0].long()]


def decisions(*items: tuple[int, int, list[int]]) -> Batch:
    """(state, choice, feasible) of each decision on two servers."""
    state, action, mask = zip(*items, strict=True)
    servers = np.zeros((len(items), 2, 2, 2), np.float32)
    request = np.array(state, np.float32)[:, None].repeat(3, axis=1)
    zeros = np.zeros(len(items), np.float32)
    masks = np.array(mask, np.int8)
    return Batch(servers, request, np.array(action), zeros, zeros, servers, request, masks)


def test_the_loss_by_hand() -> None:
    """Infeasible slots have no chance: ln(1 + 1/e) and ln 3, whatever stands in slot 3."""
    network = TableNetwork([[TEMPERATURE, 0.0, 0.0, 99.0], [0.0, 0.0, 0.0, 99.0]])
    batch = decisions((0, 0, [1, 1, 0, 0]), (1, 2, [1, 1, 1, 0]))
    expected = (math.log(1 + math.exp(-1)) + math.log(3)) / 2
    loss = imitation_loss(network, batch)
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    loss.backward()
    assert network.q.grad is not None and not network.q.grad[:, 3].any()
    assert network.q.grad[1, 2].item() == pytest.approx((1 / 3 - 1) / TEMPERATURE / 2, rel=1e-5)


def test_a_gradient_step_adds_the_weighted_imitation_loss() -> None:
    """State 0 is learned from a return, state 1 from a demonstration; their gradients do not meet."""
    settings = TrainingSettings(imitate="sbf", imitation_weight=0.25, weight_decay=0.0, grad_clip=1e6)
    batch = decisions((0, 0, [1, 1, 1, 1]))._replace(n_step_return=np.array([3.0], np.float32))
    for demonstrated, slope in ((None, 0.0), (decisions((1, 2, [1, 1, 1, 0])), 0.25 * (2 / 3) / TEMPERATURE)):
        network = TableNetwork([[0.0] * 4, [0.0] * 4])
        metrics = DqnUpdate(network, settings).update(batch, demonstrated)
        assert metrics["loss"] == pytest.approx(9.0)
        assert network.q.grad is not None
        assert network.q.grad[0, 0].item() == pytest.approx(-6.0)
        assert -network.q.grad[1, 2].item() == pytest.approx(slope, rel=1e-5)


def test_batches_are_decided_by_the_generator_and_renumbered_consistently() -> None:
    table = decisions(*((state, state % 4, [1, 1, 1, 1]) for state in range(8)))
    table.servers[:] = np.arange(8)[:, None, None, None] + np.array([0.0, 0.5])[:, None, None]
    plain, again = (Demonstrations(table, np.random.default_rng(1)).sample(100) for _ in range(2))
    np.testing.assert_array_equal(plain.request, again.request)
    assert set(plain.request[:, 0]) == set(range(8))
    permutations = ServerPermutations(2, 2, seed=0)
    batch = Demonstrations(table, np.random.default_rng(1), permutations).sample(100)
    np.testing.assert_array_equal(batch.request, plain.request)
    # The chosen server's own observation is the same as before, at its new place.
    rows = np.arange(100)
    np.testing.assert_array_equal(
        batch.servers[rows, batch.action // 2], plain.servers[rows, plain.action // 2]
    )
    assert (batch.action != plain.action).any()


def test_choices_are_learned() -> None:
    """The choice is the feasible slot with most room."""
    random = np.random.default_rng(0)
    servers = random.random((600, 2, 2, 2)).astype(np.float32)
    totals = servers.sum(axis=3).reshape(600, 4)
    mask = (random.random((600, 4)) < 0.7).astype(np.int8)
    mask[np.arange(600), random.integers(4, size=600)] = 1
    action = np.where(mask != 0, totals, -1.0).argmax(axis=1)
    request, zeros = np.zeros((600, 3), np.float32), np.zeros(600, np.float32)
    batch = Batch(servers, request, action, zeros, zeros, servers, request, mask)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 4)
            nn.init.zeros_(self.layer.weight)

        def forward(self, servers: torch.Tensor, request: torch.Tensor) -> torch.Tensor:
            return self.layer(servers.flatten(1))

    network = Network()
    last = imitate(network, Demonstrations(batch, random), steps=200, batch_size=128)
    with torch.no_grad():
        q = network(torch.from_numpy(servers), torch.from_numpy(request)).numpy()
    agreement = (np.where(mask != 0, q, -np.inf).argmax(axis=1) == action).mean()
    assert last < 0.8  # of about ln 3
    assert agreement > 0.8  # one third by chance
