"""The rules of a window: allocations, counts, what permutations do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pod_cases import cluster_of, instance_of, naive_counts, random_trace, trace_of

from spane_rllib.problems.pod_migration.clusters.cluster import PodCluster
from spane_rllib.problems.pod_migration.simulator.allocation import allocate
from spane_rllib.problems.pod_migration.simulator.episode import Episode
from spane_rllib.problems.pod_migration.simulator.windows import COUNTS

SIZES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=12).map(
    lambda sizes: np.array(sizes, np.float64)
)


def given_out(asked: Any, shortest_first: bool, capacity: tuple[float, float] = (100.0, 100.0)) -> Any:
    granted = np.full(asked.shape, np.nan)
    allocate(asked, np.array(capacity), shortest_first, granted)
    return granted


@given(asked=SIZES, shortest_first=st.booleans())
def test_allocations_never_exceed_capacity_and_waste_nothing(asked: Any, shortest_first: bool) -> None:
    granted = given_out(asked, shortest_first)
    assert (granted >= 0).all()
    assert (granted.sum(axis=0) <= 100 + 1e-9).all()
    for resource in range(2):
        proportional = resource == 0 and not shortest_first
        if not proportional:
            assert (granted[:, resource] <= asked[:, resource] + 1e-9).all()
            wanted = min(asked[:, resource].sum(), 100)
        else:
            wanted = 100 if asked[:, 0].any() else 0
        assert granted[:, resource].sum() == pytest.approx(wanted)


@given(asked=SIZES)
def test_proportional_shares_of_cpu_are_proportional(asked: Any) -> None:
    granted = given_out(asked, shortest_first=False)
    if asked[:, 0].any():
        np.testing.assert_allclose(granted[:, 0], 100 * asked[:, 0] / asked[:, 0].sum())


def test_the_example_of_the_notes_one_pod_of_50_has_all_of_the_cpu() -> None:
    np.testing.assert_array_equal(given_out(np.array([[50.0, 60.0]]), False), [[100, 60]])


def test_the_smallest_come_first() -> None:
    asked = np.array([[50.0, 10.0], [20.0, 80.0], [40.0, 40.0]])
    np.testing.assert_allclose(given_out(asked, True), [[50, 10], [10, 50], [40, 40]])
    np.testing.assert_allclose(given_out(asked, False)[:, 1], [10, 50, 40])


@given(asked=SIZES, shortest_first=st.booleans(), seed=st.integers(0, 1000))
def test_allocations_permute_with_the_pods(asked: Any, shortest_first: bool, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(asked))
    whole = given_out(asked, shortest_first)
    np.testing.assert_allclose(given_out(asked[order], shortest_first), whole[order])


@given(seed=st.integers(0, 10_000), parallel=st.booleans())
@settings(max_examples=60)
def test_counts_are_those_of_a_naive_reading(seed: int, parallel: bool) -> None:
    random = np.random.default_rng(seed)
    pods, nodes = int(random.integers(1, 9)), int(random.integers(1, 5))
    trace = random_trace(seed, mean=float(random.integers(1, 30)))
    cluster = cluster_of(random.integers(0, nodes, pods), nodes, 100.0, float(random.integers(0, 20)))
    model = "parallel" if parallel else "serial"
    instance = instance_of(trace, cluster, resource_model=model, max_pods_per_node=pods)
    episode, demand = Episode(instance), instance.demand
    for window in range(4):
        pointer = episode.pointer
        expected = naive_counts(
            demand.requests(window),
            demand.moment[demand.first[window] : demand.first[window + 1]],
            pointer,
            cluster.placement,
            cluster.requests,
            cluster.capacity,
            parallel,
        )
        many = episode.count(np.array([window]))[0]
        counts = episode.advance()
        np.testing.assert_array_equal(counts, many)
        found = dict(zip(COUNTS, counts.tolist(), strict=True))
        assert {name: found[name] for name in expected} == expected
        assert episode.pointer == (pointer + len(demand.requests(window))) % pods


@given(seed=st.integers(0, 10_000), parallel=st.booleans(), shortest_first=st.booleans())
@settings(max_examples=40)
def test_permuting_nodes_and_pods_permutes_everything(
    seed: int, parallel: bool, shortest_first: bool
) -> None:
    random = np.random.default_rng(seed)
    nodes, pods = 4, 7
    trace, cluster = random_trace(seed, mean=15), cluster_of(random.integers(0, nodes, pods), nodes)
    of_nodes = random.permutation(nodes)
    # Pods are handed requests in turn: shifted, with the first turn shifted too, they are the same.
    shift = int(random.integers(pods))
    of_pods = (np.arange(pods) + shift) % pods
    other = PodCluster(
        "small",
        cluster.capacity[of_nodes],
        cluster.requests[of_pods],
        np.argsort(of_nodes)[cluster.placement[of_pods]],
        cluster.node_names,
        cluster.pod_names,
    )
    rules: dict[str, Any] = {
        "resource_model": "parallel" if parallel else "serial",
        "allocation": "sjf" if shortest_first else "proportional",
    }
    first, second = (Episode(instance_of(trace, one, **rules)) for one in (cluster, other))
    second.pointer = -shift % pods
    for _ in range(3):
        np.testing.assert_allclose(first.advance(), second.advance())
        np.testing.assert_allclose(first.history[of_nodes], second.history)
        np.testing.assert_allclose(first.demand[of_pods], second.demand)
        np.testing.assert_allclose(first.granted[of_pods], second.granted)


def test_serial_requests_of_a_pod_do_not_add_up() -> None:
    # Three requests for two pods on one node: slots with 40 + 40 and with 40, beside 2 x 5.
    trace = trace_of([0, 0, 1, 1499], [40, 40, 40, 1], [1, 1, 1, 1])
    for model, violations, slots in (("serial", 1, 2), ("parallel", 2, 2)):
        episode = Episode(instance_of(trace, cluster_of([0, 0], 1), resource_model=model))
        counts = dict(zip(COUNTS, episode.advance().tolist(), strict=True))
        assert (counts["violations"], counts["cpu_over"], counts["mem_over"]) == (violations, violations, 0)
        assert counts["slots"] == slots


def test_requests_are_gone_after_the_window_unless_they_are_carried_over() -> None:
    trace = trace_of([0, 1500], [30, 1], [20, 1])
    for carry_over in (False, True):
        episode = Episode(instance_of(trace, cluster_of([0, 1, 2]), carry_over=carry_over))
        episode.advance()
        np.testing.assert_array_equal(episode.base[0], [35, 25] if carry_over else [5, 5])
        np.testing.assert_array_equal(episode.base[1], [5, 5])


def test_a_window_without_requests_is_looked_at_once() -> None:
    trace = trace_of([0, 1500], [1, 1], [1, 1])
    episode = Episode(instance_of(trace, cluster_of([0, 0, 0, 1], 3)))
    episode.advance()
    counts = dict(zip(COUNTS, episode.advance().tolist(), strict=True))
    assert (counts["slots"], counts["under"], counts["violations"]) == (3, 3, 0)
    assert episode.requests == 0


def test_what_may_not_be_moved() -> None:
    trace = trace_of([0, 1500], [1, 1], [1, 1])
    episode = Episode(instance_of(trace, cluster_of([0, 0, 1], 3), max_pods_per_node=2))
    assert not episode.may_move(2, 0)  # full
    assert not episode.may_move(2, 1)  # there already
    assert episode.move(0, 2) == pytest.approx(-0.01 * 10 / 3)
    assert not episode.may_move(0, 1)  # once a window
    episode.move(2, 0)
    with pytest.raises(ValueError, match="pod 1 may not move to node 2"):
        episode.move(1, 2)  # two moves a window
    episode.advance()
    assert episode.may_move(0, 1)


@pytest.mark.parametrize("seed", range(3))
def test_compat_earns_what_the_reference_says(seed: int) -> None:
    """Requests stay for ever; -(0.6 over + 0.4 under + pods' resources unsatisfied + 0.01 moved)."""
    trace, cluster = random_trace(seed, mean=10), cluster_of([0, 0, 1, 1, 2, 2], 3)
    rules: dict[str, Any] = {"resource_model": "parallel", "allocation": "sjf", "carry_over": True}
    instance = instance_of(trace, cluster, compat=True, **rules)
    episode, demand = Episode(instance), instance.demand
    asked, pointer = cluster.requests.copy(), 0
    for window in range(5):
        over = under = unsatisfied = 0
        for request in range(*demand.first[window : window + 2]):
            asked[pointer % 6] += demand.amount[request]
            pointer += 1
            if (
                request + 1 < demand.first[window + 1]
                and demand.moment[request + 1] == demand.moment[request]
            ):
                continue
            for node in range(3):
                here = asked[cluster.placement == node]
                load = here.sum(axis=0) / 100
                over, under = over + bool((load > 0.8).any()), under + bool((load < 0.2).any())
                left = np.array([100.0, 100.0])
                for pod in here[np.argsort(here.sum(axis=1))]:
                    unsatisfied += int((pod > left + 1e-9).sum())
                    left -= np.minimum(pod, left)
        reward = sum(float(term[0]) for term in instance.terms(episode.advance()[None]).values())
        assert reward == pytest.approx(-(0.6 * over + 0.4 * under + unsatisfied))
    assert episode.move(0, 1) == pytest.approx(-0.01 * asked[0].sum())
