"""Episodes under a network: greedy ones, and exploring ones with what they record."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.networks.base import QNetwork
from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.rollout import (
    ExploringRollout,
    HeuristicRollout,
    RecordedEpisode,
    play_greedily,
)
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    EpisodeResults,
    Heuristic,
    Lanes,
    Workload,
    run_heuristic,
)

SERVERS = 3
STARTS = np.array([0, 150, 40, 40, 210, 90, 300, 3])
VM_COUNTS = np.array([60, 9, 120, 1, 80, 33, 50, 100])


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster(SERVERS)


@pytest.fixture(scope="module")
def workload(trace: VmTrace, cluster: Cluster) -> Workload:
    return Workload(trace, cluster)


@pytest.fixture(scope="module", params=["spane", "mlp"])
def network(request: pytest.FixtureRequest) -> QNetwork:
    return build_network(request.param, {}, SERVERS, seed=4)


def assert_equal(left: EpisodeResults, right: EpisodeResults) -> None:
    for field in fields(EpisodeResults):
        np.testing.assert_array_equal(getattr(left, field.name), getattr(right, field.name), field.name)


def best_action(network: QNetwork, lanes: Lanes) -> int:
    """The feasible slot of highest value by torch, in lane 0."""
    seen = lanes.observations
    with torch.no_grad():
        q = network({name: torch.from_numpy(array[:1].copy()) for name, array in seen.named().items()})
    return int(np.where(seen.action_mask[0] != 0, q[0].numpy(), -np.inf).argmax())


@pytest.mark.parametrize("episodes_per_call", [1, 7, 256])
def test_greedy_episodes_equal_a_plain_loop_however_they_are_divided(
    workload: Workload, cluster: Cluster, network: QNetwork, episodes_per_call: int
) -> None:
    expected = EpisodeResults.empty(len(STARTS))
    single = Lanes(workload, cluster)
    for episode in range(len(STARTS)):
        single.reset(0, STARTS[episode], VM_COUNTS[episode])
        while single.running[0]:
            single.step(np.array([best_action(network, single)]))
        expected.store(np.array([episode]), single.results())
    assert expected.total_wait.max() > 0  # else any placement would do
    results = EpisodeResults.of_state(
        *play_greedily(CompiledQNetwork(network), workload, cluster, STARTS, VM_COUNTS, episodes_per_call)
    )
    assert_equal(results, expected)


def test_calls_of_some_episodes_each_play_all(
    workload: Workload, cluster: Cluster, network: QNetwork
) -> None:
    starts = np.tile(np.arange(0, 200, 10), 3)
    vm_counts = 1 + np.arange(len(starts)) % 4
    results = EpisodeResults.of_state(
        *play_greedily(CompiledQNetwork(network), workload, cluster, starts, vm_counts, 5)
    )
    np.testing.assert_array_equal(results.start, starts)
    np.testing.assert_array_equal(results.placed, vm_counts)


def play(
    workload: Workload, cluster: Cluster, network: QNetwork, epsilon: float, seed: int = 0
) -> list[RecordedEpisode]:
    rollout, random = ExploringRollout(workload, cluster, len(STARTS) + 2), np.random.default_rng(seed)
    return list(rollout.play(CompiledQNetwork(network), epsilon, STARTS, VM_COUNTS, random))


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0])
def test_recorded_episodes_replay_to_the_same_waits_and_observations(
    workload: Workload, cluster: Cluster, network: QNetwork, epsilon: float
) -> None:
    played = play(workload, cluster, network, epsilon)
    assert [len(episode.action) for episode in played] == VM_COUNTS.tolist()
    single = Lanes(workload, cluster)
    for start, episode in zip(STARTS, played, strict=True):
        length = len(episode.action)
        assert episode.action_mask[np.arange(length), episode.action].all()
        single.reset(0, start, length)
        for t in range(length):
            for name, seen in single.observations.named().items():
                np.testing.assert_array_equal(getattr(episode, name)[t], seen[0], name)
            single.step(episode.action[t : t + 1])
            assert episode.wait[t] == single.wait[0]
            np.testing.assert_array_equal(episode.servers_after[t], single.observations.servers[0])
        assert not single.running[0]
        assert episode.total_wait == single.results().total_wait[0]


def test_without_exploration_the_actions_are_greedy(
    workload: Workload, cluster: Cluster, network: QNetwork
) -> None:
    greedy = EpisodeResults.of_state(
        *play_greedily(CompiledQNetwork(network), workload, cluster, STARTS, VM_COUNTS)
    )
    played = play(workload, cluster, network, epsilon=0.0)
    np.testing.assert_array_equal([episode.total_wait for episode in played], greedy.total_wait)


def test_exploration_is_uniform_over_the_feasible_slots(
    workload: Workload, cluster: Cluster, network: QNetwork
) -> None:
    """Chi-square of the rank of the slot taken among the feasible ones, per number of feasible slots."""
    chosen: dict[int, list[int]] = {}
    for seed in range(20):
        for episode in play(workload, cluster, network, epsilon=1.0, seed=seed):
            for mask, action in zip(episode.action_mask, episode.action, strict=True):
                chosen.setdefault(int(mask.sum()), []).append(int(mask[:action].sum()))
    # Quantiles at 0.999 of the chi-square distribution with 1 to 5 degrees of freedom.
    limits = {2: 10.83, 3: 13.82, 4: 16.27, 5: 18.47, 6: 20.52}
    assert set(limits) <= set(chosen)
    for feasible, limit in limits.items():
        counts = np.bincount(chosen[feasible], minlength=feasible)
        expected = counts.sum() / feasible
        assert expected > 20
        assert ((counts - expected) ** 2 / expected).sum() < limit, (feasible, counts)


def test_the_share_of_random_actions_is_epsilon(
    workload: Workload, cluster: Cluster, network: QNetwork
) -> None:
    compiled, differing, chance = CompiledQNetwork(network), 0, []
    for seed in range(20):
        for episode in play(workload, cluster, network, epsilon=0.3, seed=seed):
            greedy = compiled.greedy_actions(episode.servers, episode.request, episode.action_mask)
            differing += int((episode.action != greedy).sum())
            # A random action is the greedy one with chance 1 / feasible.
            chance.append(0.3 * (1 - 1 / episode.action_mask.sum(axis=1)))
    p = np.concatenate(chance)
    assert abs(differing - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum())


def test_recorded_arrays_do_not_change_with_the_lanes(
    workload: Workload, cluster: Cluster, network: QNetwork
) -> None:
    """They may be overwritten by the next `play`, but not while the episodes of one are read."""
    rollout, random = ExploringRollout(workload, cluster, 3), np.random.default_rng(0)
    lanes_memory = rollout._observations
    for count in (3, 2):  # fewer episodes than lanes: the idle lane is not recorded
        played = list(rollout.play(CompiledQNetwork(network), 0.5, STARTS[:count], VM_COUNTS[:count], random))
        assert len(played) == count
        for episode in played:
            for name in ("servers", "request", "action_mask", "servers_after"):
                recorded = getattr(episode, name)
                assert not any(np.shares_memory(recorded, memory) for memory in lanes_memory), name
            assert episode.servers[0].min() == 1.0  # starts with empty servers
            assert episode.servers_after[:-1].tobytes() == episode.servers[1:].tobytes()


@pytest.mark.parametrize("name", ["sbf", "keep-64", "fgd", "random"])
def test_recorded_heuristics_are_those_of_whole_episodes(
    workload: Workload, cluster: Cluster, name: str
) -> None:
    heuristic = Heuristic(name)
    expected = run_heuristic(workload, cluster, heuristic, STARTS, VM_COUNTS)
    rollout = HeuristicRollout(workload, cluster, len(STARTS), heuristic)
    for _ in range(2):  # its arrays are used again
        played = list(rollout.play(STARTS, VM_COUNTS))
        np.testing.assert_array_equal([episode.total_wait for episode in played], expected.total_wait)
    single = Lanes(workload, cluster)
    for start, episode in zip(STARTS, played, strict=True):
        single.reset(0, start, len(episode.action))
        for t in range(len(episode.action)):
            for field, seen in single.observations.named().items():
                np.testing.assert_array_equal(getattr(episode, field)[t], seen[0], field)
            single.step(episode.action[t : t + 1])
            assert episode.wait[t] == single.wait[0]
        assert not single.running[0]
