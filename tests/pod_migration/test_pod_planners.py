"""The planners: what each proposes where it can be seen by hand, and what all of them keep to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pod_cases import cluster_of, instance_of, random_trace, trace_of

from spane_rllib.problems.pod_migration.planners.forecasts import slots_of
from spane_rllib.problems.pod_migration.planners.program import best_moves
from spane_rllib.problems.pod_migration.planners.registry import PLANNERS
from spane_rllib.problems.pod_migration.policies import load_policy
from spane_rllib.problems.pod_migration.problem import POD_MIGRATION
from spane_rllib.problems.pod_migration.simulator.episode import Episode
from spane_rllib.problems.pod_migration.simulator.windows import VIOLATIONS


def plan(name: str, episode: Episode) -> Any:
    return list(PLANNERS[name](np.random.default_rng(0))(episode))


def loaded_episode(**settings: Any) -> Episode:
    """Node 0 with loads 75, 5, 5 beside nodes with 5, after a window with one request of 70."""
    trace = trace_of([0, 300, 1499], [70, 1, 1], [70, 1, 1])
    episode = Episode(instance_of(trace, cluster_of([0, 0, 0, 1, 2]), **settings))
    episode.advance()
    return episode


def test_every_planner_is_a_baseline_with_a_line_of_its_own() -> None:
    assert list(PLANNERS) == list(POD_MIGRATION.baselines)


@pytest.mark.parametrize("name", PLANNERS)
@pytest.mark.parametrize("model", ["serial", "parallel"])
def test_plans_keep_to_the_rules_and_change_nothing(name: str, model: str) -> None:
    instance = instance_of(
        random_trace(5, mean=14), cluster_of([0, 0, 0, 0, 1, 2]), resource_model=model, max_pods_per_node=4
    )
    episode = Episode(instance)
    planner = PLANNERS[name](np.random.default_rng(0))
    for _ in range(6):
        before = episode.placement.copy()
        moves = planner(episode)
        np.testing.assert_array_equal(episode.placement, before)
        assert len(moves) <= 2
        for pod, node in moves:
            episode.move(pod, node)  # raises where it may not
        episode.advance()


@pytest.mark.parametrize("name", ["random", "interleave", "foresight"])
def test_no_plan_exceeds_the_budget_of_an_episode(name: str) -> None:
    instance = instance_of(random_trace(5, mean=14), cluster_of([0, 0, 0, 0, 1, 2]))
    limited, free = load_policy(f"{name}#3", instance), load_policy(name, instance)
    assert limited.identity != free.identity
    episode, planner, made = Episode(instance), limited.begin(np.random.default_rng(0)), 0
    for _ in range(12):
        for pod, node in planner(episode):
            episode.move(pod, node)
            made += 1
        episode.advance()
    assert made == episode.spent <= 3
    assert name != "random" or made == 3


def test_the_published_rule_moves_the_largest_pod_while_loads_are_uneven() -> None:
    episode = loaded_episode(moves=5)
    # CPU loads 0.85, 0.05, 0.05: the sum over pairs of squared differences is 1.28, over 3 nodes 0.43.
    assert plan("threshold-greedy", episode) == []
    episode.demand[0] = [85, 0]
    # 1.00, 0.05, 0.05: 1.805 / 3 = 0.6; after the move 0.10, 0.95, 0.05 the moved pod stays.
    assert plan("threshold-greedy", episode)[0] == (0, 1)


def test_the_largest_pod_leaves_an_overloaded_node_if_that_helps() -> None:
    assert plan("largest-pod", loaded_episode()) == [(0, 1)]
    assert plan("largest-pod", loaded_episode(overload=0.9)) == []


def test_the_descheduler_needs_nodes_of_both_kinds() -> None:
    assert plan("descheduler", loaded_episode(moves=5)) == [(0, 1)]  # then node 0 has 10 %
    episode = loaded_episode()
    episode.demand[:] = 30
    assert plan("descheduler", episode) == []


def test_pods_in_turn_are_interleaved() -> None:
    trace = trace_of([0, 1499], [1, 1], [1, 1])
    episode = Episode(instance_of(trace, cluster_of([0, 0, 1, 1, 2, 2]), moves=6))
    assert plan("interleave", episode) == [(1, 1), (2, 2), (3, 0), (4, 1)]


@pytest.mark.parametrize("model", ["serial", "parallel"])
@pytest.mark.parametrize("seed", range(4))
def test_foresight_finds_the_fewest_violations(model: str, seed: int) -> None:
    """Against every plan of at most two moves."""
    weights = {"underload": 0.0, "unsatisfied": 0.0, "moved": 0.0001}
    cluster = cluster_of(np.random.default_rng(seed).integers(0, 3, 5))
    instance = instance_of(
        random_trace(seed, mean=8), cluster, resource_model=model, weights=weights, max_pods_per_node=5
    )
    episode = Episode(instance)
    for _ in range(8):
        options = [episode.placement]
        one = [(pod, node) for pod in range(5) for node in range(3)]
        for pod, node in one:
            for other, target in one:
                placement = episode.placement.copy()
                placement[pod] = node
                placement[other] = target
                options.append(placement)
        found = episode.count(np.full(len(options), episode.window), np.stack(options))[:, VIOLATIONS]
        for pod, node in plan("foresight", episode):
            episode.move(pod, node)
        assert episode.advance()[VIOLATIONS] == found.min()


def test_slots_are_what_the_simulator_sees() -> None:
    for model in ("serial", "parallel"):
        instance = instance_of(random_trace(2, mean=9), cluster_of([0, 0, 1, 2]), resource_model=model)
        episode = Episode(instance)
        for window in range(5):
            slots = slots_of(episode, window)
            episode.advance()
            if model == "serial" or len(slots) < 12:
                np.testing.assert_allclose(slots.mean(axis=0), episode.demand)


def test_nothing_is_moved_where_nothing_is_wrong() -> None:
    episode = loaded_episode(underload=0.01)
    assert best_moves(episode, np.zeros((1, 5, 2))) == ()
