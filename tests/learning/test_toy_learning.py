"""Learning on a scheduling toy whose values are known by hand.

Two servers of one usable node each (node 0), with room 1 and 1/2. Three decisions:
0. a VM of size 0 that fits on both servers: no reward, no effect;
1. a VM of size 1/2: on server 0 it earns 1/4, on server 1 nothing;
2. a VM of size 1, which earns 1, if server 0 is still empty; else a VM of size 0, which earns nothing.
Discount 0.9, so server 0 is worth 0.25 and server 1 is worth 0.9 at decision 1: the tempting choice is wrong.
"""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from spane_rllib.learning.algorithms import DqnSettings
from spane_rllib.learning.dqn import DqnUpdate
from spane_rllib.learning.replay import EpisodeReplay
from spane_rllib.learning.tensors import to_tensors

GAMMA = 0.9


class QNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(11, 32), nn.ReLU(), nn.Linear(32, 4))
        generator = torch.Generator().manual_seed(0)
        for layer in self.layers[::2]:
            nn.init.kaiming_uniform_(layer.weight, generator=generator)
            nn.init.uniform_(layer.bias, -0.1, 0.1, generator=generator)

    def forward(self, observation: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.layers(torch.cat([observation["servers"].flatten(1), observation["request"]], 1))


def episode(choices: tuple[int, int, int]) -> dict[str, Any]:
    """The toy when servers `choices` are taken, the last one only where it is not forced."""
    room = np.zeros((3, 2, 2, 2), np.float32)
    room[:, :, 0, :] = np.array([1.0, 0.5])[:, None]
    room[2, choices[1], 0] -= 0.5
    empty = choices[1] == 1
    size = np.array([0.0, 0.5, 1.0 if empty else 0.0], np.float32)
    mask = np.zeros((3, 4), np.int8)
    mask[:, [0, 2]] = room[:, :, 0, 0] >= size[:, None]
    last = 0 if empty else choices[2]
    request = np.stack(
        [size, size, np.array([0.0, 0.0, 1.0])], axis=1
    )  # the last entry tells decision 2 from 0
    reward = np.array([0.0, 0.25 * (choices[1] == 0), 1.0 * empty])
    return {
        "observation": {"servers": room, "request": request.astype(np.float32), "action_mask": mask},
        "action": np.array([2 * choices[0], 2 * choices[1], 2 * last]),
        "reward": reward,
    }


def learned_q(settings: DqnSettings) -> np.ndarray:
    """(3, 2) Q values of both servers at the three decisions, learned from every episode equally often."""
    replay = EpisodeReplay(100, settings.n_step, settings.discount, seed=0)
    for choices in product((0, 1), repeat=3):
        replay.add_episode(**episode(choices))
    learner = DqnUpdate(QNetwork(), settings)
    for _ in range(600):
        learner.update(replay.sample(settings.batch_size))
    states = to_tensors(episode((0, 1, 0))["observation"], torch.device("cpu"))
    with torch.no_grad():
        q = learner.network(states)
    return q[:, ::2].numpy()


@pytest.mark.parametrize("double_q", [True, False])
@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_one_step_learning_finds_the_optimal_values(double_q: bool, loss: str) -> None:
    settings = DqnSettings(
        discount=GAMMA, n_step=1, batch_size=128, target_sync_every=10, double_q=double_q, loss=loss
    )
    q = learned_q(settings)
    np.testing.assert_allclose(q[0], GAMMA * 0.9, atol=0.03)  # the better of both choices that follow
    np.testing.assert_allclose(q[1], [0.25, 0.9], atol=0.03)
    assert q[2, 0] == pytest.approx(1.0, abs=0.03)


def test_n_step_learning_values_the_behaviour_in_between() -> None:
    """Without correction an n-step return of the first decision averages over what the behaviour did next."""
    q = learned_q(DqnSettings(discount=GAMMA, n_step=3, batch_size=128))
    np.testing.assert_allclose(q[0], GAMMA * (0.25 + 0.9) / 2, atol=0.05)
    np.testing.assert_allclose(q[1], [0.25, 0.9], atol=0.05)
