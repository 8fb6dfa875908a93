"""The environments: what Gymnasium asks for, masks, and rewards as sums of their terms."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from pod_cases import cluster_of, instance_of, random_trace

import spane_rllib  # noqa: F401  # registers the environments
from spane_rllib.core.errors import UserError
from spane_rllib.problems.pod_migration.environments.migration import PodMigrationEnv
from spane_rllib.problems.pod_migration.environments.observation import observe
from spane_rllib.problems.pod_migration.environments.placement import PodPlacementEnv
from spane_rllib.problems.pod_migration.networks.building import build_network
from spane_rllib.problems.pod_migration.simulator.episode import Episode

KEYWORDS = {"trace": "synthetic:vms=2000", "horizon": 6}


def small_environment(kind: Any = PodMigrationEnv, seed: int = 0, **keywords: Any) -> Any:
    instance = instance_of(random_trace(seed, mean=20), cluster_of([0, 0, 0, 1, 1, 2]))
    return kind(instance=instance, **keywords)


@pytest.mark.parametrize("name", ["spane_rllib/PodMigration-v0", "spane_rllib/PodPlacement-v0"])
@pytest.mark.filterwarnings("error")
def test_gymnasium_finds_nothing_to_complain_about(name: str) -> None:
    environment = gymnasium.make(name, **KEYWORDS).unwrapped
    copy = pickle.loads(pickle.dumps(environment))
    np.testing.assert_equal(copy.reset(seed=1)[0], environment.reset(seed=1)[0])
    # What is not feasible is refused, so the checker may not sample the space as it likes.
    if name.endswith("PodMigration-v0"):
        environment.action_space.sample = lambda *_: environment.action_space.n - 1
    check_env(environment, skip_render_check=True)


def test_unknown_keywords_and_impossible_ones_are_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"env_config: .*moves_per_window"):
        PodMigrationEnv(moves_per_window=3)
    with pytest.raises(UserError, match="fewer than the horizon 288"):
        PodMigrationEnv(trace="synthetic:vms=500")
    with pytest.raises(UserError, match="start 500: must be a window, 0 to 39"):
        small_environment().reset(options={"start": 500})


@pytest.mark.parametrize("shaping", [0.0, 20.0])
@pytest.mark.parametrize("kind", [PodMigrationEnv, PodPlacementEnv])
def test_the_reward_is_the_sum_of_its_terms(kind: Any, shaping: float) -> None:
    environment = small_environment(kind, resampled_windows=3, shaping=shaping, discount=0.9)
    random = np.random.default_rng(0)
    environment.reset(options={"start": 2})
    truncated, rewards, windows = False, 0.0, 0
    while not truncated:
        mask = environment._observe()["action_mask"]
        if kind is PodMigrationEnv:
            action: Any = random.choice(np.flatnonzero(mask))
        else:
            action = [random.choice(np.flatnonzero(row)) for row in mask]
        before = environment._episode.window
        _, reward, terminated, truncated, info = environment.step(action)
        played = environment._episode.window - before
        assert reward == pytest.approx(sum(info["terms"].values()))
        assert not terminated
        if not played:  # intermediate moves cost what they move, and nothing else
            assert info["terms"]["migration"] == pytest.approx(-0.01 * 10 / 3)
            assert all(v == 0 for k, v in info["terms"].items() if k not in ("migration", "shaping"))
        windows += played
        rewards += reward - info["terms"].get("shaping", 0.0)
    assert windows == 4
    assert info["penalty"] == pytest.approx(-100 * rewards / 4)


def test_masks_allow_exactly_what_may_be_moved() -> None:
    environment = small_environment()
    random = np.random.default_rng(1)
    observation, _ = environment.reset(options={"start": 0})
    for _ in range(12):
        mask, episode = observation["action_mask"], environment._episode
        allowed = [episode.may_move(pod, node) for pod in range(6) for node in range(3)]
        np.testing.assert_array_equal(mask, [*allowed, True])
        observation, _, _, truncated, _ = environment.step(int(random.choice(np.flatnonzero(mask))))
        if truncated:
            break
    with pytest.raises(ValueError, match="may not move"):
        environment.step(int(np.argmin(observation["action_mask"])))


def test_shaping_adds_up_to_the_change_of_the_potential() -> None:
    environment = small_environment(shaping=50.0)
    environment.reset(options={"start": 0})
    before = environment._potential
    shaped = 0.0
    for action in (3 * 0 + 1, 3 * 3 + 2, 18):
        _, _, _, _, info = environment.step(action)
        shaped += info["terms"]["shaping"]
    assert shaped == pytest.approx(environment._potential_now() - before)


def test_the_end_of_the_trace_terminates() -> None:
    environment = small_environment()
    environment.reset(options={"start": 38})
    assert environment.step(18)[2:4] == (False, False)
    assert environment.step(18)[2:4] == (True, False)


def test_the_network_is_equivariant_and_takes_any_size() -> None:
    instance = instance_of(random_trace(3, mean=20), cluster_of([0, 0, 0, 1, 1, 2]))
    network = build_network("equivariant", {"width": 8}, instance, seed=0)
    episode = Episode(instance)
    for _ in range(3):
        episode.advance()
    observation = {name: torch.from_numpy(array)[None] for name, array in observe(episode).items()}
    nodes, pods = torch.tensor([2, 0, 1]), torch.tensor([4, 0, 5, 1, 3, 2])
    permuted = {
        **observation,
        "nodes": observation["nodes"][:, nodes],
        "history": observation["history"][:, nodes],
        "pods": observation["pods"][:, pods],
        "pod_node": torch.argsort(nodes)[observation["pod_node"][:, pods]],
        "action_mask": torch.cat(
            [
                observation["action_mask"][:, :-1].reshape(1, 6, 3)[:, pods][:, :, nodes].flatten(1),
                observation["action_mask"][:, -1:],
            ],
            dim=1,
        ),
    }
    with torch.no_grad():
        for first, second in (
            (network.value_and_advantage(observation)[1], network.value_and_advantage(permuted)[1]),
            (network(observation), network(permuted)),
        ):
            moved = first[:, :-1].reshape(1, 6, 3)[:, pods][:, :, nodes].flatten(1)
            torch.testing.assert_close(torch.cat([moved, first[:, -1:]], dim=1), second)
    larger = instance_of(random_trace(4), cluster_of(np.arange(20) % 7, nodes=7))
    seen = {name: torch.from_numpy(array)[None] for name, array in observe(Episode(larger)).items()}
    assert network(seen).shape == (1, 20 * 7 + 1)
