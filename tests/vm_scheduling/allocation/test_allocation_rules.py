"""Tiny episodes by hand, the compiled rules against a plain walk through events, and the spec's figures."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from allocation_cases import Event, play, scenario_of, trace_of_events, trace_of_vms
from event_simulator import EventSimulator
from hypothesis import given, settings
from hypothesis import strategies as st

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.loading import load_trace
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.allocations.published import published_starts
from spane_rllib.problems.vm_scheduling.allocations.results import AllocationResults
from spane_rllib.problems.vm_scheduling.allocations.scenario import AllocationScenario
from spane_rllib.problems.vm_scheduling.allocations.workload import AllocationWorkload
from spane_rllib.problems.vm_scheduling.simulator import Heuristic, Lanes
from spane_rllib.problems.vm_scheduling.simulator.episodes import Ends, play_heuristic
from spane_rllib.problems.vm_scheduling.simulator.rules import SERVERS

NODE = (4, 4)  # a VM that fills a node: 4 cpu, 4 GiB


def test_without_deletions_the_episode_ends_with_the_first_vm_that_fits_nowhere() -> None:
    results = play(trace_of_vms((*NODE, 0, 5), (*NODE, 10, 5), (1, 1, 3610, 5)), scenario_of())
    assert (results.allocations[0], results.ended_by[0]) == (2, "full")
    assert (results.cpu_rate[0], results.memory_rate[0]) == (1.0, 0.5)
    assert results.hours[0] == results.server_hours[0] == pytest.approx(3610 / 3600)


def test_deletions_give_back_what_was_used() -> None:
    trace = trace_of_vms((*NODE, 0, 5), (*NODE, 1, 50), (*NODE, 6, 5), (*NODE, 10, 5))
    results = play(trace, scenario_of(deletions=True))
    assert (results.allocations[0], results.ended_by[0]) == (3, "full")


def test_a_trace_that_ends_first() -> None:
    results = play(trace_of_vms((1, 1, 0, 5), (1, 1, 1, 5)), scenario_of(deletions=True))
    assert (results.allocations[0], results.ended_by[0]) == (2, "trace")  # the last row is never placed
    assert results.cpu_rate[0] == 0  # both were deleted before it


@pytest.mark.parametrize(
    ("rule", "double"),
    [
        ({"memory_above": 4}, False),
        ({"memory_above": 3.5}, True),
        ({"cpu_above": 2}, False),
        ({"cpu_above": 1.5}, True),
        ({"cpu_at_least": 2}, True),
        ({"cpu_at_least": 2.5}, False),
    ],
)
def test_the_double_rule(rule: dict[str, float], double: bool) -> None:
    workload = AllocationWorkload(trace_of_vms((2, 4, 0, 5), (1, 1, 1, 1)), scenario_of(double=rule))
    lanes = Lanes(workload, workload.cluster)
    lanes.reset(0, 0, 10)
    assert lanes.observations.request.tolist() == [[0.5, 0.5, double]]
    lanes.step(np.array([0]))
    free = [[[0.75, 0.75], [0.75, 0.75]]] if double else [[[0.5, 0.5], [1, 1]]]
    assert lanes.observations.servers[0].tolist() == free


def test_servers_of_different_size_are_seen_in_shares_of_the_largest() -> None:
    groups = [{"count": 1, "node_cpu": 2, "node_memory": 2}, {"count": 2, "node_cpu": 4, "node_memory": 8}]
    workload = AllocationWorkload(trace_of_vms((3, 2, 0, 5), (2, 2, 1, 5)), scenario_of(server_groups=groups))
    lanes = Lanes(workload, workload.cluster)
    lanes.reset(0, 0, 10)
    assert lanes.observations.servers[0, :, 0].tolist() == [[0.5, 0.25], [1, 1], [1, 1]]
    assert lanes.observations.action_mask[0].tolist() == [0, 0, 1, 1, 1, 1]
    lanes.step(np.array([3]))
    assert lanes.observations.action_mask[0].tolist() == [1, 1, 1, 0, 1, 1]
    assert play(workload.trace, workload.scenario, "best-fit").allocations[0] == 2


def test_growth_when_nothing_fits() -> None:
    growth = {"servers": 1, "used_threshold": 1.0, "max_servers": 3}
    vms = [(*NODE, 0, 5), (3, 3, 3600, 5), (*NODE, 7200, 5), (*NODE, 7200, 5), (*NODE, 7200, 5)]
    trace = trace_of_vms(*vms, (*NODE, 7200, 5), (*NODE, 10800, 5))
    results = play(trace, scenario_of(growth=growth))
    # The second server comes at 7200 for the third VM, the third for the fifth; node 1 of server 0 has 1 cpu.
    assert (results.allocations[0], results.expansions[0], results.ended_by[0]) == (6, 2, "full")
    assert results.server_hours[0] == 1 + 1 + 3
    assert results.cpu_rate[0] == 23 / 24


def test_growth_at_the_threshold_and_not_beyond_the_most() -> None:
    growth = {"servers": 2, "used_threshold": 0.5, "max_servers": 4}
    scenario = scenario_of(growth=growth)
    vms = [(2, 2, 0, 5), (2, 2, 1, 5), (4, 4, 2, 5), (4, 4, 3, 5), (4, 4, 4, 5), (1, 1, 5, 5)]
    workload = AllocationWorkload(trace_of_vms(*vms), scenario)
    lanes = Lanes(workload, workload.cluster)
    lanes.reset(0, 0, 10)
    assert lanes.observations.servers.shape == (1, 4, 2, 2)
    servers = []
    for slot in (0, 0, 1, 2, 3):
        servers.append(int(lanes.state.counters[0, SERVERS]))
        lanes.step(np.array([slot]))
    # The second VM makes it 4 of 8 cpu, the fourth 12 of 24; then there is room for one more server.
    assert servers == [1, 1, 3, 3, 4]
    assert lanes.observations.servers[0, 3].tolist() == [[1, 1], [1, 1]]
    results = AllocationResults.of(Ends(lanes.state.counters, lanes.state.clocks), workload, scenario)
    assert results.expansions[0] == 2


def test_a_cap_truncates_unless_the_episode_ends_anyway() -> None:
    trace = trace_of_vms(*[(*NODE, second, 500) for second in range(4)])
    assert play(trace, scenario_of(max_decisions=1)).ended_by[0] == "cap"
    assert play(trace, scenario_of(max_decisions=2)).ended_by[0] == "full"
    two = scenario_of(server_groups=[{"count": 2, "node_cpu": 4, "node_memory": 8}], max_decisions=4)
    assert play(trace, two).ended_by[0] == "trace"


def test_deletions_of_vms_from_before_the_start_have_no_effect(tmp_path: Path) -> None:
    events: list[Event] = [
        (1, 4, 4, 0, 0),
        (2, 4, 4, 1, 0),
        (1, 4, 4, 2, 1),
        (2, 4, 4, 3, 1),
        (3, 4, 4, 4, 0),
        (4, 1, 1, 5, 0),
        (5, 1, 1, 6, 0),
    ]
    trace = trace_of_events(tmp_path / "events.csv", events)
    workload = AllocationWorkload(trace, scenario_of(deletions=True))
    lanes = Lanes(workload, workload.cluster)
    lanes.reset(0, 2, 10)
    assert lanes.observations.servers.min() == lanes.observations.servers.max() == 1.0
    assert play(trace, workload.scenario, start=2).allocations[0] == 2


def test_the_order_of_a_file_within_a_second_counts(tmp_path: Path) -> None:
    create, delete, last = (3, 4, 4, 9, 0), (1, 4, 4, 9, 1), (4, 1, 1, 10, 0)
    begin: list[Event] = [(1, 4, 4, 0, 0), (2, 4, 4, 1, 0)]
    creation_first = trace_of_events(tmp_path / "a.csv", [*begin, create, delete, last])
    deletion_first = trace_of_events(tmp_path / "b.csv", [*begin, delete, create, last])
    scenario = scenario_of(deletions=True)
    assert play(creation_first, scenario).allocations[0] == 2
    assert play(deletion_first, scenario).allocations[0] == 3
    unordered = VmTrace(*(getattr(deletion_first, key) for key in ("cpu", "memory", "arrival", "lifetime")))
    assert play(unordered, scenario).allocations[0] == 2  # lifetimes: creations first


def test_a_vm_that_no_server_holds_is_refused() -> None:
    groups = [{"count": 1, "node_cpu": 2, "node_memory": 9}, {"count": 1, "node_cpu": 4, "node_memory": 3}]
    with pytest.raises(UserError, match="VM 0 needs 3 cpu x 4 GiB"):
        AllocationWorkload(trace_of_vms((3, 4, 0, 5)), scenario_of(server_groups=groups))


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[Event], AllocationScenario, int]:
    """A file of events, a scenario, and the event to start at (a creation follows, and another one)."""
    sizes = [(1, 1), (2, 4), (4, 2), (4, 8), (3, 6)]
    events: list[Event] = []
    alive: list[tuple[int, float, float, float]] = []
    now = 0
    for vm in range(draw(st.integers(2, 40))):
        now += draw(st.sampled_from([0, 0, 1, 3]))
        for _ in range(draw(st.integers(0, 2))):
            old = [entry for entry in alive if entry[3] < now]
            if old:
                gone = draw(st.sampled_from(old))
                alive.remove(gone)
                events.append((*gone[:3], now, 1))
        cpu, memory = draw(st.sampled_from(sizes))
        events.append((vm, cpu, memory, now, 0))
        alive.append((vm, cpu, memory, now))
    kinds = st.sampled_from([(4.0, 8.0), (8.0, 8.0), (4.0, 16.0)])
    groups = [
        {"count": draw(st.integers(1, 2)), "node_cpu": cpu, "node_memory": memory}
        for cpu, memory in draw(st.lists(kinds, min_size=1, max_size=2))
    ]
    rules: Any = [{"memory_above": 4}, {"cpu_above": 2}, {"cpu_at_least": 3}, {"memory_above": 0}]
    growth = draw(st.none() | st.sampled_from([(1, 0.5), (2, 0.75), (3, 1.0)]))
    scenario = scenario_of(
        server_groups=groups,
        double=draw(st.sampled_from(rules)),
        deletions=draw(st.booleans()),
        growth=growth and {"servers": growth[0], "used_threshold": growth[1], "max_servers": 6},
        max_decisions=draw(st.none() | st.integers(1, 20)),
    )
    last_start = [i for i, event in enumerate(events) if event[4] == 0][-2]
    return events, scenario, draw(st.integers(0, last_start))


@settings(max_examples=150)
@given(problem=problems(), seed=st.integers(0, 100))
def test_it_equals_a_walk_through_the_events(
    tmp_path_factory: pytest.TempPathFactory,
    problem: tuple[list[Event], AllocationScenario, int],
    seed: int,
) -> None:
    events, scenario, start = problem
    trace = trace_of_events(tmp_path_factory.getbasetemp() / "events.csv", events)
    workload = AllocationWorkload(trace, scenario)
    row = sum(event[4] == 0 for event in events[:start])
    longest = scenario.max_decisions or len(trace)
    rng = np.random.default_rng(seed)

    lanes = Lanes(workload, workload.cluster)
    lanes.reset(0, row, longest)
    simulator = EventSimulator(events, scenario, start)
    largest = np.array([workload.cluster.node_cpu, workload.cluster.node_memory])
    while not simulator.ended_by:
        slots = simulator.feasible()
        assert np.flatnonzero(lanes.observations.action_mask[0]).tolist() == slots
        there = len(simulator.free)
        np.testing.assert_allclose(lanes.observations.servers[0, :there], simulator.free / largest, 1e-6)
        assert not lanes.observations.servers[0, there:].any()
        slot = int(rng.choice(slots))
        lanes.step(np.array([slot]))
        simulator.place(slot)
    assert not lanes.running[0]
    choices = {"first-fit": lambda simulator: simulator.feasible()[0]}
    if len(scenario.server_groups) == 1:  # ours compares servers in shares of the largest
        choices["best-fit-vmagent"] = EventSimulator.best_fit_vmagent
    for name, choice in choices.items():
        simulator = EventSimulator(events, scenario, start)
        while not simulator.ended_by:
            simulator.place(choice(simulator))
        ends = play_heuristic(workload, workload.cluster, Heuristic(name), row, longest)
        results = AllocationResults.of(ends, workload, scenario)
        assert [column[0] for column in vars(results).values()] == [
            row,
            simulator.allocations,
            *simulator.rates(),
            simulator.expansions,
            simulator.server_seconds / 3600,
            (simulator.now - simulator.begun) / 3600,
            simulator.ended_by,
        ]


@settings(max_examples=30)
@given(problem=problems())
def test_events_and_lifetimes_agree_where_creations_come_first(
    tmp_path_factory: pytest.TempPathFactory, problem: tuple[list[Event], AllocationScenario, int]
) -> None:
    events, scenario, _ = problem
    ordered = sorted(events, key=lambda event: (event[3], event[4]))
    trace = trace_of_events(tmp_path_factory.getbasetemp() / "events.csv", ordered)
    lifetimes = VmTrace(trace.cpu, trace.memory, trace.arrival, trace.lifetime)
    assert trace.deleted_before is not None and lifetimes.deleted_before is None
    for left, right in zip(
        AllocationWorkload(trace, scenario).arrays,
        AllocationWorkload(lifetimes, scenario).arrays,
        strict=True,
    ):
        np.testing.assert_array_equal(left, right)


def test_dropping_vms_keeps_the_order_of_the_others(tmp_path: Path) -> None:
    events: list[Event] = [
        (1, 1, 1, 0, 0),
        (2, 1, 1, 1, 0),
        (1, 1, 1, 2, 1),
        (3, 1, 1, 2, 0),
        (3, 1, 1, 3, 1),
    ]
    trace = trace_of_events(tmp_path / "events.csv", events)
    assert trace.deleted_before.tolist() == [2, 3, 3]
    kept = trace.select(np.isfinite(trace.lifetime))
    assert kept.deleted_before.tolist() == [1, 2] and kept.name == trace.name


def test_a_workload_goes_to_other_processes() -> None:
    workload = AllocationWorkload(trace_of_vms((1, 1, 0, 5)), scenario_of(deletions=True))
    copied = pickle.loads(pickle.dumps(workload))
    for left, right in zip(workload.arrays, copied.arrays, strict=True):
        np.testing.assert_array_equal(left, right)
    with pytest.raises(ValueError, match="was compiled for"):
        Lanes(workload, replace(workload.cluster, servers=2))


# Means over 50 starts of an independent simulation of the lifetime trace, by memory threshold and deletions:
# the published BestFit, First Fit, Best Fit, and the standard deviation of one episode.
MEASURED = {
    (32, False): (219, 236, 237, 70),
    (10, False): (231, 236, 235, 70),
    (10, True): (451, 466, 455, 270),
}


@pytest.mark.parametrize(("threshold", "deletions"), MEASURED)
def test_the_measured_means(threshold: float, deletions: bool) -> None:
    path = os.environ.get("SPANE_RLLIB_DATA")
    if not path:
        pytest.skip("SPANE_RLLIB_DATA is not set")
    trace = load_trace(path, never_ending="keep")
    if len(trace) != 116_313:
        pytest.skip("needs Huawei-East-1-lt.csv in SPANE_RLLIB_DATA")
    scenario = scenario_of(
        server_groups=[{"count": 5, "node_cpu": 40, "node_memory": 90}],
        double={"memory_above": threshold},
        deletions=deletions,
    )
    workload = AllocationWorkload(trace, scenario)
    starts = published_starts(trace, 400, seed=0)
    *means, deviation = MEASURED[threshold, deletions]
    for name, mean in zip(("best-fit-vmagent", "first-fit", "best-fit"), means, strict=True):
        ends = play_heuristic(workload, workload.cluster, Heuristic(name), starts, len(trace))
        results = AllocationResults.of(ends, workload, scenario)
        error = deviation * np.sqrt(1 / 50 + 1 / len(starts))
        assert abs(results.allocations.mean() - mean) < 3 * error
        assert set(results.ended_by) == {"full"}
        if (name, threshold) == ("first-fit", 32):
            assert results.cpu_rate.mean() == pytest.approx(0.96, abs=0.015)
