"""Rollouts of Gymnasium environments: all algorithms learn toys, choices in two stages among them."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from spane_rllib.core.errors import UserError
from spane_rllib.learning import algorithms
from spane_rllib.learning.algorithms import AlgorithmSettings
from spane_rllib.learning.begin import begin_run
from spane_rllib.learning.environment_rollouts import EnvironmentRollouts
from spane_rllib.learning.networks import CategoricalPolicy, initialise
from spane_rllib.learning.tensors import Tensors, chosen, entropy, masked_log_softmax

ITEMS = 6


class Packing(gymnasium.Env[Any, Any]):
    """Two bins of size 1 and items of size 1/2, 1/4, 1/4, then the same again; a bin that overflows is shut.

    Each placed item earns 1. An item may only go where it fits: all six fit, if none is put carelessly, and
    the episode ends with the first that does not. Items come in an order that the seed decides.
    """

    observation_space = spaces.Dict(
        {
            "room": spaces.Box(0, 1, (2,), np.float32),
            "item": spaces.Box(0, 1, (1,), np.float32),
            "action_mask": spaces.Box(0, 1, (3,), np.int8),
        }
    )
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.items = self.np_random.permutation([0.25, 0.25, 0.25, 0.25, 0.5, 0.5])
        self.room = np.ones(2, np.float32)
        self.placed = 0
        return self._observe(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert isinstance(action, int) and self._mask()[action]
        if action == 2:  # thrown away, which is always possible and earns nothing
            self.items = self.items[1:]
            return self._observe(), 0.0, not len(self.items), False, {"placed": self.placed}
        self.room[action] -= self.items[0]
        self.items = self.items[1:]
        self.placed += 1
        return self._observe(), 1.0, not len(self.items), False, {"placed": self.placed}

    def _mask(self) -> np.ndarray:
        item = self.items[0] if len(self.items) else 2.0
        return np.append(self.room >= item, True).astype(np.int8)

    def _observe(self) -> dict[str, np.ndarray]:
        item = self.items[:1] if len(self.items) else [0.0]
        # The array of rooms is this object's own: whoever keeps it must copy it.
        return {"room": self.room, "item": np.array(item, np.float32), "action_mask": self._mask()}


class PackingNetwork(CategoricalPolicy, nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 32), nn.ReLU())
        self.value, self.advantage = nn.Linear(32, 1), nn.Linear(32, 3)
        initialise(self, seed)

    def value_and_advantage(self, observation: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.body(torch.cat([observation["room"], observation["item"]], dim=1))
        return self.value(hidden), self.advantage(hidden)

    def forward(self, observation: Tensors) -> torch.Tensor:
        value, advantage = self.value_and_advantage(observation)
        return value + advantage


class PlainNetwork(nn.Module):
    """Values of actions and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 3))
        initialise(self, 0)

    def forward(self, observation: Tensors) -> torch.Tensor:
        return self.layers(torch.cat([observation["room"], observation["item"]], dim=1))


def packing(lanes: int = 8) -> EnvironmentRollouts:
    return EnvironmentRollouts(
        Packing,
        lanes,
        "placed",
        1,
        validation=[{"seed": seed} for seed in range(20)],
        measured=lambda rewards, info: float(info["placed"]),
    )


COMMON: dict[str, Any] = {"learning_rate": 0.01, "lanes": 8, "discount": 0.9}
REPLAYED = {"warmup_episodes": 16, "batch_size": 64, "replay_capacity": 3000}
SETTINGS: dict[str, AlgorithmSettings] = {
    "dqn": algorithms.DqnSettings(
        **COMMON, **REPLAYED, gradient_steps=300, n_step=3, target_sync_every=20, weight_averaging=0.9
    ),
    "ppo": algorithms.PpoSettings(**COMMON, gradient_steps=200, batch_size=64, episodes_per_start=4),
    "a2c": algorithms.A2cSettings(**COMMON, gradient_steps=150, episodes_per_start=4),
    "sac": algorithms.SacSettings(**COMMON, **REPLAYED, gradient_steps=300, target_update_rate=0.05),
}
ALGORITHMS = pytest.mark.parametrize("algorithm", list(SETTINGS))


@ALGORITHMS
def test_all_algorithms_learn(algorithm: str) -> None:
    network = PackingNetwork()
    before = packing().validate(network)["validation_placed"]
    run = begin_run(network, SETTINGS[algorithm], packing(), every=25, seed=0)
    metrics = run.run_until(10**6)
    assert run.finished and before < 5.0
    assert metrics["best_validation_placed"] > 5.4
    assert packing().validate(run.best_network()) == {"validation_placed": metrics["best_validation_placed"]}
    assert metrics["episode_placed"] > before
    returns = [total for _, total in run.take_played()]
    assert np.mean(returns[-40:]) > np.mean(returns[:40])


@pytest.mark.parametrize("algorithm", ["dqn", "sac"])
def test_values_alone_are_enough_for_what_needs_no_policy(algorithm: str) -> None:
    settings = SETTINGS[algorithm].model_copy(update={"gradient_steps": 5})
    run = begin_run(PlainNetwork(), settings, packing(), every=5, seed=0)
    assert run.run_until(5)["validation_placed"] > 0


@ALGORITHMS
def test_a_run_continues_exactly(algorithm: str) -> None:
    def begun() -> Any:
        settings = SETTINGS[algorithm].model_copy(update={"gradient_steps": 30})
        return begin_run(PackingNetwork(), settings, packing(), every=10, seed=3)

    whole, first, second = begun(), begun(), begun()
    whole.run_until(12)
    first.run_until(12)
    state = first.state()
    first.run_until(30)
    second.load_state(state)
    assert second.run_until(30) == whole.run_until(30)
    for one, other in zip(second.network.parameters(), whole.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_episodes_do_not_depend_on_how_many_are_played_together() -> None:
    network, resets = PackingNetwork(), [{"seed": seed} for seed in range(7)]
    alone, together = packing(1).greedy(network, resets), packing(5).greedy(network, resets)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.action, other.action)
        np.testing.assert_array_equal(one.reward, other.reward)
        for name in one.observation:
            np.testing.assert_array_equal(one.observation[name], other.observation[name])
        assert one.terminated and one.measured == one.reward.sum()
        assert one.observation["room"][0].tolist() == [1.0, 1.0]  # not what the environment wrote later
        assert one.observation["action_mask"][np.arange(len(one)), one.action].all()


def test_exploration_is_feasible_and_as_frequent_as_asked() -> None:
    network, rollouts = PackingNetwork(), packing()
    starts = rollouts.draw_starts(np.random.default_rng(0), 60)
    greedy = rollouts.explore(network, 0.0, starts, np.random.default_rng(1))
    random = rollouts.explore(network, 1.0, starts, np.random.default_rng(1))
    for one, other in zip(greedy, rollouts.greedy(network, starts), strict=True):
        np.testing.assert_array_equal(one.action, other.action)
    actions = np.concatenate([episode.action for episode in random])
    assert np.bincount(actions, minlength=3).min() > 0.2 * len(actions)


def test_groups_begin_alike_and_samples_follow_the_policy() -> None:
    network, rollouts = PackingNetwork(), packing()
    starts = rollouts.draw_starts(np.random.default_rng(0), 300, group=100)
    assert starts[0] == starts[99] != starts[100]
    episodes = rollouts.sample(network, starts, np.random.default_rng(2))
    first = np.array([episode.action[0] for episode in episodes[:100]])
    seen = {name: torch.from_numpy(values[:1]) for name, values in episodes[0].observation.items()}
    with torch.no_grad():
        log_probabilities, _, _ = network.evaluate(
            {name: values.expand(3, -1) for name, values in seen.items()}, torch.arange(3)
        )
    for action in range(3):
        expected = float(log_probabilities[action].exp())
        assert abs((first == action).mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / 100) + 1e-9
    log_probability = [episode.log_probability[0] for episode in episodes[:100]]
    np.testing.assert_allclose(log_probability, log_probabilities.numpy()[first], rtol=1e-5)


class Pairs(gymnasium.Env[Any, Any]):
    """One decision in two parts: a row of a table, then a column that this row allows. It earns the entry.

    The best entry, 1, is in a row whose other entries are worst; which columns are allowed differs by row.
    """

    TABLE = np.array([[0.5, 0.6, 0.4], [0.0, 0.1, 1.0], [0.3, 2.0, 0.3]])
    ALLOWED = np.array([[1, 1, 0], [1, 0, 1], [1, 0, 1]], np.int8)  # the 2 is never allowed

    action_space = spaces.MultiDiscrete([3, 3])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 3
        return self._observe(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        row, column = action
        assert self.ALLOWED[row, column]
        self.left -= 1
        return self._observe(), float(self.TABLE[row, column]), self.left == 0, False, {}

    def _observe(self) -> dict[str, np.ndarray]:
        return {
            "left": np.array([self.left], np.float32),
            "action_mask": np.ones(3, np.int8),
            "columns": self.ALLOWED.copy(),
        }


class TwoStages(nn.Module):
    """The logits, and the mask, of the second choice depend on the first."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Linear(1, 3)
        self.columns = nn.Embedding(3, 3)
        self.value = nn.Linear(1, 1)
        initialise(self, 0)
        nn.init.zeros_(self.columns.weight)

    def _stages(self, observation: Tensors, row: torch.Tensor) -> torch.Tensor:
        allowed = observation["columns"][torch.arange(len(row)), row]
        return masked_log_softmax(self.columns(row), allowed)

    def evaluate(
        self, observation: Tensors, action: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows = masked_log_softmax(self.rows(observation["left"]), observation["action_mask"])
        columns = self._stages(observation, action[:, 0])
        log_probability = chosen(rows, action[:, 0]) + chosen(columns, action[:, 1])
        return log_probability, entropy(rows) + entropy(columns), self.value(observation["left"]).squeeze(1)

    def sample(self, observation: Tensors, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        rows = masked_log_softmax(self.rows(observation["left"]), observation["action_mask"])
        row = torch.multinomial(rows.exp(), 1, generator=random).squeeze(1)
        columns = self._stages(observation, row)
        column = torch.multinomial(columns.exp(), 1, generator=random).squeeze(1)
        return torch.stack([row, column], dim=1), chosen(rows, row) + chosen(columns, column)

    def greedy(self, observation: Tensors) -> torch.Tensor:
        row = self.rows(observation["left"]).argmax(dim=1)
        return torch.stack([row, self._stages(observation, row).argmax(dim=1)], dim=1)


def pairs() -> EnvironmentRollouts:
    return EnvironmentRollouts(Pairs, 16, "total", 1, validation=[{"seed": 0}])


@pytest.mark.parametrize("algorithm", ["ppo", "a2c"])
def test_a_policy_of_two_stages_learns(algorithm: str) -> None:
    section = {"ppo": algorithms.PpoSettings, "a2c": algorithms.A2cSettings}[algorithm]
    batches = {"batch_size": 24, "kl_limit": None} if algorithm == "ppo" else {}
    settings = section(
        gradient_steps=300, learning_rate=0.03, lanes=16, episodes_per_start=1, entropy_bonus=0.02, **batches
    )
    network = TwoStages()
    before = copy.deepcopy(network)
    run = begin_run(network, settings, pairs(), every=20, seed=0)
    metrics = run.run_until(10**6)
    assert pairs().validate(before)["validation_total"] < 2.0
    assert metrics["validation_total"] == pytest.approx(3.0)
    sampled = pairs().sample(network, [{"seed": 0}] * 50, np.random.default_rng(0))
    episode = sampled[0]
    assert episode.action.shape == (3, 2) and episode.action.dtype == np.int64
    actions = np.concatenate([episode.action for episode in sampled])
    assert Pairs.ALLOWED[actions[:, 0], actions[:, 1]].all()
    tensors = {name: torch.from_numpy(values) for name, values in episode.observation.items()}
    log_probability, _, _ = network.evaluate(tensors, torch.from_numpy(episode.action))
    np.testing.assert_allclose(log_probability.detach().numpy(), episode.log_probability, atol=1e-5)


def test_what_an_environment_cannot_do_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match="dqn: actions of several parts"):
        pairs().explore(TwoStages(), 0.5, [{"seed": 0}], np.random.default_rng(0))
    settings = algorithms.ImitatingDqnSettings(imitate="anyone", **REPLAYED)
    with pytest.raises(UserError, match="imitate: this problem has no policy to imitate"):
        begin_run(PackingNetwork(), settings, packing(), every=5, seed=0).run_until(1)
