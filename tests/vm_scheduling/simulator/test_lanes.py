"""Properties of stepping: what must hold for any policy on any trace."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenarios import Scenario, scenarios, trace_of

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Heuristic, Lanes, Workload, run_heuristic
from spane_rllib.problems.vm_scheduling.simulator.lanes import InfeasibleAction
from spane_rllib.problems.vm_scheduling.simulator.rules import FINISHED, HEAD, IDLE, NOW

some = settings(max_examples=80)


def snapshot(lanes: Lanes) -> list[npt.NDArray[Any]]:
    return [array.copy() for array in (*lanes.state, *lanes.observations) if array is not None]


def assert_unchanged(lanes: Lanes, before: list[npt.NDArray[Any]]) -> None:
    for then, now in zip(before, snapshot(lanes), strict=True):
        np.testing.assert_array_equal(then, now)


@given(st.randoms(use_true_random=False), scenarios())
@some
def test_resources_mask_clock_and_observations_at_every_decision(random: Any, scenario: Scenario) -> None:
    workload, trace = scenario.workload, scenario.workload.trace
    capacity = np.array([scenario.cluster.node_cpu, scenario.cluster.node_memory])
    lanes = Lanes(workload, scenario.cluster)
    lanes.reset(0, scenario.start, scenario.vm_count)
    placed: list[tuple[float, list[int], npt.NDArray[np.float64]]] = []  # (end, nodes, need of each)
    before, waits = trace.arrival[scenario.start], 0.0
    while lanes.running[0]:
        vm, now = lanes.state.counters[0, HEAD], lanes.state.clocks[0, NOW]
        assert now >= before
        assert now >= trace.arrival[vm]
        before = now
        # A VM occupies its nodes from its start until start + lifetime, and nothing else does.
        used = np.zeros((scenario.cluster.slots, 2))
        for end, nodes, need in placed:
            used[nodes] += need if end > now else 0
        free = lanes.state.free[0].T / workload.units_per_core
        np.testing.assert_allclose(free, capacity - used, rtol=0, atol=1e-9)
        assert (free >= 0).all()

        size = np.array([trace.cpu[vm], trace.memory[vm]])
        double = bool(trace.memory[vm] > scenario.cluster.double_memory_threshold)
        servers, request, mask = (array[0] for array in lanes.observations.named().values())
        np.testing.assert_array_equal(servers.reshape(-1, 2), (free / capacity).astype(np.float32))
        np.testing.assert_array_equal(request, np.array([*(size / capacity), double], np.float32))
        for slot in np.flatnonzero(mask == 0):
            state = snapshot(lanes)
            with pytest.raises(InfeasibleAction, match=f"slot {slot} .*no room for VM {vm}"):
                lanes.step(np.array([slot]))
            assert_unchanged(lanes, state)
        slot = random.choice(np.flatnonzero(mask).tolist())
        lanes.step(np.array([slot]))
        nodes = [slot & ~1, slot | 1] if double else [slot]
        placed.append((now + trace.lifetime[vm], nodes, size / len(nodes)))
        assert lanes.wait[0] == now - trace.arrival[vm]
        waits += lanes.wait[0]
    assert lanes.observations.request[0].tolist() == [0, 0, 0]
    assert not lanes.observations.action_mask.any()
    if lanes.status[0] == FINISHED:
        assert lanes.results().total_wait[0] == waits
        assert len(placed) == min(scenario.vm_count, len(trace) - 1 - scenario.start)


@given(st.data(), scenarios(max_vms=20))
@some
def test_any_number_of_lanes_is_the_same_as_one_and_as_whole_episodes(
    data: st.DataObject, scenario: Scenario
) -> None:
    """First Fit for a queue of episodes, each given to whatever lane is free next."""
    workload, cluster = scenario.workload, scenario.cluster
    start = st.integers(0, len(workload) - 2)
    queue = data.draw(st.lists(st.tuples(start, st.integers(1, 20)), min_size=1, max_size=8))
    expected = run_heuristic(workload, cluster, Heuristic("first-fit"), *np.array(queue).T)
    lanes = Lanes(workload, cluster, data.draw(st.integers(1, 4)))
    episode_of = np.full(len(lanes), -1)
    totals = np.full(len(queue), np.nan)
    following = 0
    while np.isnan(totals).any():
        idle = np.flatnonzero(~lanes.running)[: len(queue) - following]
        if len(idle):
            episode_of[idle] = np.arange(following, following + len(idle))
            lanes.reset(idle, *np.array(queue)[episode_of[idle]].T)
            following += len(idle)
        assert lanes.running.any()
        actions = lanes.observations.action_mask.argmax(axis=1)
        lanes.step(np.where(lanes.running, actions, -7))
        done = (episode_of >= 0) & ~lanes.running
        totals[episode_of[done]] = lanes.results().total_wait[done]
        episode_of[done] = -1
    assert totals.tolist() == expected.total_wait.tolist()


@given(st.randoms(use_true_random=False), scenarios())
@some
def test_servers_and_their_nodes_are_interchangeable(random: Any, scenario: Scenario) -> None:
    """Renaming servers, or the two nodes of a server, renames what is seen and feasible; no wait changes."""
    workload, cluster = scenario.workload, scenario.cluster
    servers = random.sample(range(cluster.servers), cluster.servers)
    renamed = np.array([2 * server + (node ^ random.getrandbits(1)) for server in servers for node in (0, 1)])
    renamed[1::2] = renamed[::2] ^ 1
    plain, other = Lanes(workload, cluster), Lanes(workload, cluster)
    for lanes in (plain, other):
        lanes.reset(0, scenario.start, scenario.vm_count)
    while plain.running[0]:
        mask = plain.observations.action_mask[0]
        np.testing.assert_array_equal(mask, other.observations.action_mask[0][renamed])
        nodes, nodes_renamed = (
            lanes.observations.servers[0].reshape(cluster.slots, 2) for lanes in (plain, other)
        )
        np.testing.assert_array_equal(nodes, nodes_renamed[renamed])
        action = random.choice(np.flatnonzero(mask).tolist())
        plain.step(np.array([action]))
        other.step(renamed[[action]])
        assert plain.wait[0] == other.wait[0]
    assert plain.status[0] == other.status[0]
    assert plain.results().total_wait[0] == other.results().total_wait[0]


@pytest.fixture
def three_lanes() -> Lanes:
    cluster = Cluster(servers=2, node_cpu=4, node_memory=8, double_memory_threshold=4)
    trace = trace_of([(4, 4, k, 3.5 * (1 + k % 2)) for k in range(3000)])
    return Lanes(Workload(trace, cluster), cluster, 3)


def test_lanes_without_an_episode_are_left_alone(three_lanes: Lanes) -> None:
    three_lanes.reset([1], [5], [2])
    assert three_lanes.running.tolist() == [False, True, False]
    assert three_lanes.status.tolist()[::2] == [IDLE, IDLE]
    before = snapshot(three_lanes)
    three_lanes.step(np.array([99, 0, -1]))
    three_lanes.step(np.array([99, 1, -1]))
    for then, now in zip(before, snapshot(three_lanes), strict=True):
        np.testing.assert_array_equal(then[::2], now[::2])
    assert three_lanes.results().placed.tolist() == [0, 2, 0]


def test_a_longer_episode_does_not_disturb_the_running_ones(three_lanes: Lanes) -> None:
    workload, cluster = three_lanes.workload, three_lanes.cluster
    # Lane 0 has VMs that run and VMs that waited when the lanes grow from 1,024 to 2,500 VMs.
    counts = [1000, 2500]
    three_lanes.reset(0, 0, counts[0])
    for step in range(counts[1] + 500):
        if step == 500:
            three_lanes.reset(2, 3, counts[1])
        three_lanes.step(three_lanes.observations.action_mask.argmax(axis=1))
    expected = run_heuristic(workload, cluster, Heuristic("first-fit"), [0, 3], counts)
    assert expected.total_wait.min() > 0
    assert three_lanes.results().total_wait[[0, 2]].tolist() == expected.total_wait.tolist()


@pytest.mark.parametrize(("action", "message"), [(4, "lane 2: action 4"), (-1, "lane 2: action -1")])
def test_no_lane_moves_when_one_action_is_infeasible(three_lanes: Lanes, action: int, message: str) -> None:
    three_lanes.reset([0, 1, 2], [0, 1, 2], [9, 9, 9])
    before = snapshot(three_lanes)
    with pytest.raises(InfeasibleAction, match=f"{message} is not a slot; allowed are 0 to 3"):
        three_lanes.step(np.array([0, 0, action]))
    assert_unchanged(three_lanes, before)


@pytest.mark.parametrize("actions", [np.zeros(2, int), np.zeros(4, int), np.zeros((3, 1), int)])
def test_actions_of_the_wrong_shape(three_lanes: Lanes, actions: npt.NDArray[np.int64]) -> None:
    with pytest.raises(ValueError, match=r"actions must have shape \(3,\)"):
        three_lanes.step(actions)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 2999, 5), UserError, r"start 2999 \(position 0\) is outside trace; allowed are 0 to 2998"),
        (([0, 1], [4, -1], [5, 5]), UserError, r"start -1 \(position 1\)"),
        ((3, 0, 5), ValueError, "lanes must be 1 of 0 to 2"),
        ((-1, 0, 5), ValueError, "lanes must be 1 of 0 to 2"),
        (([0, 1], 0, 5), ValueError, "lanes must be 1 of 0 to 2, one per start"),
        ((0, 0, 0), ValueError, "vm_counts at least 1"),
        (([0, 1, 2], [0, 0, 0], [5, 5]), ValueError, "could not be broadcast|shape mismatch"),
    ],
)
def test_reset_refuses(
    three_lanes: Lanes, arguments: tuple[Any, Any, Any], error: type[Exception], message: str
) -> None:
    before = snapshot(three_lanes)
    with pytest.raises(error, match=message):
        three_lanes.reset(*arguments)
    assert_unchanged(three_lanes, before)
