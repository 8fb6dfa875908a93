from itertools import permutations

import numpy as np
import pytest
import torch
from torch import nn

from spane_rllib.core.errors import UserError
from spane_rllib.learning.algorithms import DqnSettings
from spane_rllib.learning.batch import Batch
from spane_rllib.learning.dqn import DqnUpdate
from spane_rllib.learning.replay import EpisodeReplay
from spane_rllib.problems.vm_scheduling.server_permutations import ServerPermutations


class EquivariantNetwork(nn.Module):
    """The same linear scores for every server, from its own state, the mean over servers and the request."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(4 + 4 + 3, 2)

    def forward(self, observation: dict[str, torch.Tensor]) -> torch.Tensor:
        flat, request = observation["servers"].flatten(2), observation["request"]
        shared = torch.cat([flat.mean(1), request], 1)[:, None].expand(-1, flat.shape[1], -1)
        return self.score(torch.cat([flat, shared], 2)).tanh().flatten(1)


def random_batch(size: int, servers: int) -> Batch:
    random = np.random.default_rng(0)

    def shares(*shape: int) -> np.ndarray:
        return random.random(shape, dtype=np.float32)

    def masks() -> np.ndarray:
        mask = random.integers(0, 2, (size, 2 * servers), dtype=np.int8)
        mask[:, 0] = 1
        return mask

    def observed() -> dict[str, np.ndarray]:
        return {
            "servers": shares(size, servers, 2, 2),
            "request": shares(size, 3),
            "action_mask": masks(),
        }

    seen = observed()
    action = np.array([random.choice(np.flatnonzero(mask)) for mask in seen["action_mask"]])
    return Batch(seen, action, shares(size), shares(size), observed())


@pytest.mark.parametrize(("servers", "count"), [(5, 2), (5, 24), (5, 119), (5, 120), (9, 120)])
def test_the_set_is_distinct_and_starts_with_the_identity(servers: int, count: int) -> None:
    chosen = ServerPermutations(servers, count, seed=1).permutations
    assert chosen.shape == (count, servers)
    assert len(np.unique(chosen, axis=0)) == count
    assert (np.sort(chosen, axis=1) == np.arange(servers)).all()
    assert chosen[0].tolist() == list(range(servers))


def test_few_servers_give_every_permutation_once() -> None:
    chosen = ServerPermutations(3, 120, seed=0).permutations
    assert sorted(map(tuple, chosen.tolist())) == list(permutations(range(3)))


def test_the_seed_decides_the_set() -> None:
    first, again, other = (ServerPermutations(8, 24, seed).permutations for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("count", [-1, 0, 1, 121])
def test_a_count_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(UserError, match=f"must be 2 to 120, got {count}"):
        ServerPermutations(5, count, seed=0)


def test_one_permutation_by_hand() -> None:
    augmentation = ServerPermutations(3, 6, seed=0)
    index = augmentation.permutations.tolist().index([2, 0, 1])
    batch = Batch(
        observation={
            "servers": np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2),
            "request": np.ones((1, 3), np.float32),
            "action_mask": np.array([[0, 1, 0, 0, 0, 1]], np.int8),
        },
        action=np.array([5]),  # node 1 of server 2, which comes first now
        n_step_return=np.ones(1, np.float32),
        discount=np.ones(1, np.float32),
        next_observation={
            "servers": np.arange(12, 24, dtype=np.float32).reshape(1, 3, 2, 2),
            "request": np.ones((1, 3), np.float32),
            "action_mask": np.array([[1, 0, 0, 0, 0, 1]], np.int8),
        },
    )
    permuted = augmentation.apply(batch, np.array([index]))
    now, then = permuted.observation, permuted.next_observation
    assert now["servers"].ravel().tolist() == [8, 9, 10, 11, 0, 1, 2, 3, 4, 5, 6, 7]
    assert now["action_mask"].tolist() == [[0, 1, 0, 1, 0, 0]]
    assert then["servers"].ravel().tolist() == [20, 21, 22, 23, 12, 13, 14, 15, 16, 17, 18, 19]
    assert then["action_mask"].tolist() == [[0, 1, 1, 0, 0, 0]]
    assert permuted.action.tolist() == [1]
    assert batch.action.tolist() == [5]
    assert now["request"] is batch.observation["request"]


@pytest.mark.parametrize("double_q", [True, False])
def test_an_equivariant_network_learns_the_same_from_a_permuted_batch(double_q: bool) -> None:
    augmentation = ServerPermutations(5, 24, seed=3)
    batch = random_batch(64, 5)
    permuted = augmentation.apply(batch, np.random.default_rng(1).integers(24, size=64))
    assert (permuted.observation["servers"] != batch.observation["servers"]).any()
    torch.manual_seed(0)
    network = EquivariantNetwork()
    weights = network.state_dict()
    metrics = []
    for data in (batch, permuted):
        learner = EquivariantNetwork()
        learner.load_state_dict(weights)
        metrics.append(DqnUpdate(learner, DqnSettings(double_q=double_q)).update(data))
    assert metrics[0] == pytest.approx(metrics[1], rel=1e-5)


def test_replay_samples_keep_slot_and_mask_together() -> None:
    """Every feasible slot has free cpu, also after renumbering, and the action stays on its own server."""
    random = np.random.default_rng(0)
    servers = random.random((40, 4, 2, 2), dtype=np.float32)
    servers[..., 0] *= random.integers(0, 2, (40, 4, 2))
    servers[:, 2, 1, 0] = 1 + np.arange(40)  # marks the slot that is taken
    mask = (servers[..., 0] > 0).reshape(40, 8).astype(np.int8)
    replay = EpisodeReplay(100, 3, 0.9, seed=0, augmentation=ServerPermutations(4, 24, seed=0))
    observation = {"servers": servers, "request": np.zeros((40, 3)), "action_mask": mask}
    replay.add_episode(observation, np.full(40, 5), np.zeros(40))
    batch = replay.sample(500)
    room = batch.observation["servers"][..., 0].reshape(500, 8)
    assert (room[np.arange(500), batch.action] >= 1).all()
    for seen in (batch.observation, batch.next_observation):
        assert ((seen["servers"][..., 0] > 0).reshape(500, 8) == seen["action_mask"]).all()
    assert set(batch.action.tolist()) == {1, 3, 5, 7}
