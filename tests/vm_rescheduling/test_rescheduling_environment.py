"""The environment: its contract, rewards, masks, and the published features."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
import torch
from gymnasium.utils.env_checker import data_equivalence

import spane_rllib  # noqa: F401  # registers the environment
from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_rescheduling.environment.env import PENALTY, VMReschedulingEnv
from spane_rllib.problems.vm_rescheduling.networks.masks import target_mask

ID = "spane_rllib/VMRescheduling-v0"
SMALL: dict[str, Any] = {"machines": 10, "migrations": 12}


def random_action(
    env: VMReschedulingEnv, observation: Any, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    vm = int(random.choice(np.flatnonzero(observation["action_mask"])))
    places = np.argwhere(env.target_mask(vm))
    return np.array([vm, *places[random.integers(len(places))]])


@pytest.mark.parametrize("kind", ["high", "multi", "affinity"])
@pytest.mark.parametrize("objective", ["fr16", "mix:0.5", "memory:0.3"])
def test_rewards_sum_to_what_is_gained(kind: str, objective: str) -> None:
    env = VMReschedulingEnv(kind, objective=objective, **SMALL)
    random = np.random.default_rng(0)
    for seed in range(4):
        observation, info = env.reset(seed=seed)
        start, total, ended = info["fragment_rate"], 0.0, False
        while not ended:
            assert env.observation_space.contains(observation)
            action = random_action(env, observation, random)
            assert env.action_space.contains(action)
            observation, reward, ended, _, info = env.step(action)
            total += reward
            if objective == "fr16":
                assert 8 * reward == int(8 * reward)
        gained = (start - info["fragment_rate"]) * env.simulation.mapping.free_cores.sum() / 128
        assert total == pytest.approx(gained, abs=1e-12)


def test_one_seed_one_episode_and_pickles() -> None:
    first, second = (gymnasium.make(ID, mappings="affinity", **SMALL) for _ in range(2))
    second = pickle.loads(pickle.dumps(second))
    a, b = first.reset(seed=3), second.reset(seed=3)
    random = np.random.default_rng(1)
    for _ in range(12):
        assert data_equivalence(a, b)
        action = random_action(first.unwrapped, a[0], random)
        a, b = first.step(action), second.step(action)


@pytest.mark.parametrize("kind", ["high", "multi", "affinity"])
def test_the_second_mask_follows_from_the_observation(kind: str) -> None:
    env = VMReschedulingEnv(kind, **SMALL)
    random = np.random.default_rng(2)
    observation, _ = env.reset(seed=5)
    for _ in range(6):
        vms = np.arange(env.simulation.mapping.vms)
        tensors = {
            name: torch.from_numpy(values)[None].expand(len(vms), *values.shape)
            for name, values in observation.items()
        }
        seen = target_mask(tensors, torch.from_numpy(vms)).numpy().reshape(len(vms), -1, 2)
        for vm in vms:
            np.testing.assert_array_equal(seen[vm], env.target_mask(int(vm)))
        observation = env.step(random_action(env, observation, random))[0]


def test_illegal_actions_are_errors_or_penalties() -> None:
    env = VMReschedulingEnv(**SMALL)
    observation, _ = env.reset(seed=0)
    vm = int(np.flatnonzero(observation["action_mask"])[0])
    machine, node = np.argwhere(~env.target_mask(vm))[0]
    with pytest.raises(ValueError, match="may not migrate"):
        env.step(np.array([vm, machine, node]))
    penal = VMReschedulingEnv(constraint="penalty", **SMALL)
    before, info = penal.reset(seed=0)
    after, reward, _, _, then = penal.step(np.array([vm, machine, node]))
    assert reward == PENALTY
    assert not then["legal"]
    assert then["fragment_rate"] == info["fragment_rate"]
    np.testing.assert_array_equal(before["free"], after["free"])
    assert before["action_mask"].sum() == penal.simulation.mapping.vms
    assert penal.target_mask(vm).all()


def test_published_features_and_edges() -> None:
    env = VMReschedulingEnv(features="published", graph=True, **SMALL)
    observation, _ = env.reset(seed=1)
    random = np.random.default_rng(0)
    for _ in range(8):
        observation = env.step(random_action(env, observation, random))[0]
        free = env.simulation.state.free
        rest = free % 16
        expected = np.where(free > 0, rest / np.maximum(free, 1), 0)
        np.testing.assert_allclose(observation["machines"][:, [4, 6]], expected, rtol=1e-6)
        np.testing.assert_allclose(observation["machines"][:, [5, 7]], rest / 16)
        hosts = env.simulation.state.machine
        np.testing.assert_array_equal(observation["vms"][: len(hosts), 6:], observation["machines"][hosts])
        assert observation["edges"][:10].tolist() == list(range(10))
        np.testing.assert_array_equal(observation["edges"][10:], observation["host"])


def test_the_published_errors_only_where_asked_for() -> None:
    env = VMReschedulingEnv(features="published", compat=True, **SMALL)
    observation, _ = env.reset(seed=1)
    state = env.simulation.state
    for vm in np.flatnonzero(observation["action_mask"]):
        places = np.argwhere(env.simulation.legal_targets(int(vm)))
        places = places[places[:, 0] != state.machine[vm]]
        if state.vms[vm, 2] or state.node[vm] != 1 or not len(places):
            continue
        source = int(state.machine[vm])
        own = observation["vms"][vm, :6].copy()
        before = observation["machines"][source].copy()
        after = env.step(np.array([vm, *places[0]]))[0]
        rest = env.simulation.state.free[source, 1] % 16
        free = env.simulation.state.free[source, 1]
        row = after["machines"][source]
        assert row[4] == before[4]
        assert row[5] == pytest.approx(rest / free if free else 0)  # r of node 1 in the column of q of node 0
        assert row[6] == pytest.approx(rest / 16)
        assert row[7] == before[7]
        np.testing.assert_array_equal(after["vms"][vm, :6], own)
        return
    raise AssertionError("no VM on node 1 can migrate")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"split": "tset"}, "env_config: "),
        ({"compat": True}, "compat is about"),
        ({"mappings": "nowhere"}, "neither a kind"),
        ({"machines": 5, "mappings": "medium@published"}, "only synthetic"),
        ({"objective": "best"}, "objective 'best'"),
    ],
)
def test_bad_keywords(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        VMReschedulingEnv(**keywords).reset()


def test_the_published_map_can_be_played() -> None:
    env = VMReschedulingEnv("medium@published", migrations=3, split="test")
    observation, info = env.reset()
    assert observation["vms"].shape == (2089, 6)
    assert info["fragment_rate"] == pytest.approx(0.9770, abs=5e-5)
