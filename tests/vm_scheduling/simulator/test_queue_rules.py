"""Queue disciplines: the compiled rules against the plain ones, what the rules promise, and cases by hand."""

from __future__ import annotations

import math
from dataclasses import astuple, replace
from functools import partial

import numpy as np
import pytest
import queue_simulator as plain
import reference_simulator as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_simulator import Choose, Situation
from scenarios import Scenario, scenarios, trace_of

from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO, Queue, parse_queue
from spane_rllib.problems.vm_scheduling.reference_cluster import VM_SIZES
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    FragmentationGradient,
    Heuristic,
    Lanes,
    Workload,
    run_heuristic,
)
from spane_rllib.problems.vm_scheduling.simulator.rules import HEAD, NOW, STUCK

QUEUES = ["skip", "skip:2", "skip:3", "easy", "conservative", "aged:0.5", "aged:3"]
QUEUES += ["smallest", "largest", "hold"]
queues = st.sampled_from(QUEUES).map(parse_queue)
many = settings(max_examples=150)
some = settings(max_examples=60)


def with_estimates(workload: Workload, estimates: list[float]) -> Workload:
    array = np.array(estimates)
    array.flags.writeable = False
    workload.arrays = workload.arrays._replace(estimate=array)
    return workload


def assert_same_decisions(scenario: Scenario, queue: Queue, estimates: list[float], choose: Choose) -> None:
    expected, fairness = plain.simulate(
        scenario.vms,
        scenario.servers,
        scenario.node,
        choose,
        queue,
        scenario.start,
        scenario.vm_count,
        estimates,
        scenario.sizes,
    )
    workload = with_estimates(scenario.workload.under(queue), estimates)
    lanes = Lanes(workload, scenario.cluster)
    lanes.reset(0, scenario.start, scenario.vm_count)
    for decision in expected.decisions:
        assert lanes.state.counters[0, HEAD] == decision.vm
        assert lanes.state.clocks[0, NOW] == decision.time
        free = lanes.state.free[0].T / workload.units_per_core
        assert free.tolist() == [[float(size.cpu), float(size.memory)] for size in decision.free]
        assert np.flatnonzero(lanes.observations.action_mask[0]).tolist() == decision.feasible
        lanes.step(np.array([decision.slot]))
        assert lanes.wait[0] == decision.wait
    assert not lanes.running[0]
    assert (lanes.status[0] == STUCK) == expected.stuck
    results = lanes.results()
    assert results.total_wait[0] == expected.total_wait
    assert results.placed[0] == len(expected.decisions)
    if not expected.stuck:
        assert (results.overtaken[0], results.passes[0], results.most_passes[0]) == astuple(fairness)
        assert results.size_wait[0].sum() == expected.total_wait


@given(st.data(), scenarios(), queues)
@many
def test_every_decision_of_every_discipline(data: st.DataObject, scenario: Scenario, queue: Queue) -> None:
    lifetimes = [vm.lifetime for vm in scenario.vms]
    assert_same_decisions(scenario, queue, lifetimes, lambda now: data.draw(st.sampled_from(now.feasible)))


@given(st.data(), scenarios(max_vms=16, max_servers=3), st.sampled_from(["easy", "conservative"]))
@many
def test_reservations_by_estimates_that_are_wrong(data: st.DataObject, scenario: Scenario, name: str) -> None:
    estimates = [data.draw(st.sampled_from([0.25, 1.0, 3.0, 50.0, math.inf])) for _ in scenario.vms]
    assert_same_decisions(
        scenario, parse_queue(name), estimates, lambda now: data.draw(st.sampled_from(now.feasible))
    )


def keep_large(now: Situation, scenario: Scenario) -> int:
    flavour = reference.Vm(reference.Size(*map(reference.Fraction, (4, 6))), 0.0, 0.0, double=False)
    double = scenario.cluster.double_memory_threshold < 6
    flavours = [replace(flavour, double=double)]
    return reference.fragmentation_gradient(now, flavours, [1.0], 0.3)


@pytest.mark.parametrize("name", [*reference.HEURISTICS, "fgd"])
@given(scenario=scenarios(max_vms=16, max_servers=3), queue=queues)
@settings(max_examples=25)
def test_episodes_of_a_heuristic(name: str, scenario: Scenario, queue: Queue) -> None:
    """Heuristics choose among what is allowed, and rate servers by what is free."""
    gradient = FragmentationGradient(((4.0, 6.0),), (1.0,), 0.3)
    policy = partial(keep_large, scenario=scenario) if name == "fgd" else reference.HEURISTICS[name]
    arguments = (scenario.vms, scenario.servers, scenario.node, policy, queue)
    expected, _ = plain.simulate(*arguments, scenario.start, scenario.vm_count)
    workload = scenario.workload.under(queue)
    results = run_heuristic(
        workload, scenario.cluster, Heuristic(name, gradient), scenario.start, scenario.vm_count
    )
    assert results.placed.tolist() == [len(expected.decisions)]
    assert results.total_wait.tolist() == [expected.total_wait]


@given(scenarios(max_vms=20))
@some
def test_disciplines_that_are_another_one(scenario: Scenario) -> None:
    def run(queue: Queue) -> tuple[object, ...]:
        results = run_heuristic(
            scenario.workload.under(queue),
            scenario.cluster,
            Heuristic("sbf"),
            scenario.start,
            scenario.vm_count,
        )
        totals = (results.total_wait, results.max_wait, results.episode_return, results.size_wait)
        return tuple(array.tolist() for array in (*totals, results.overtaken))

    fifo = run(FIFO)
    assert run(parse_queue("skip:1")) == fifo
    assert run(parse_queue("aged:0")) == fifo
    assert run(parse_queue("aged:1e300")) == run(parse_queue("skip")) == run(parse_queue("skip:1000000"))


@given(scenarios(max_vms=20, max_servers=3))
@some
def test_nobody_delays_the_first_blocked_vm_of_easy(scenario: Scenario) -> None:
    """With true lifetimes it starts no later than it could if nobody came after it."""
    queue = parse_queue("easy")
    if any(math.isinf(vm.lifetime) for vm in scenario.vms):
        return
    episode, _ = plain.simulate(
        scenario.vms, scenario.servers, scenario.node, reference.first_fit, queue, scenario.start
    )
    head = next((d.vm for d in episode.decisions if d.wait > 0), None)
    if head is None:
        return
    first = min(d.vm for d in episode.decisions if d.wait > 0)
    alone, _ = plain.simulate(
        [*scenario.vms[: first + 1], scenario.vms[-1]],
        scenario.servers,
        scenario.node,
        reference.first_fit,
        queue,
        scenario.start,
    )
    placed = {d.vm: d.time for d in episode.decisions}
    assert placed[first] <= {d.vm: d.time for d in alone.decisions}[first]


SERVER = Cluster(servers=1, node_cpu=4, node_memory=8, double_memory_threshold=8)
LAST_ROW = (1, 1, 1000, 1)


def starts_of(vms: list[tuple[float, ...]], queue: str, servers: int = 1) -> list[float]:
    """When each VM is placed by First Fit on servers like `SERVER`."""
    cluster = replace(SERVER, servers=servers)
    workload = Workload(trace_of([*vms, LAST_ROW]), cluster).under(parse_queue(queue))
    lanes = Lanes(workload, cluster)
    lanes.reset(0, 0, len(vms))
    times = [math.nan] * len(vms)
    while lanes.running[0]:
        times[lanes.state.counters[0, HEAD]] = lanes.state.clocks[0, NOW]
        lanes.step(lanes.observations.action_mask.argmax(axis=1))
    return times


# Node 0 is full until 10 s, node 1 until 4 s; a double VM needs both, and small ones follow.
BLOCKED_GIANT = [
    (4, 8, 0, 10),
    (4, 8, 0, 4),
    (8, 16, 1, 5),  # the giant
    (2, 2, 2, 6),  # from 4 s on it ends at 10 s, as the giant may begin
    (2, 2, 3, 20),  # would delay it
    (2, 2, 5, 3),
]


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        ("fifo", [0, 0, 10, 15, 15, 15]),
        ("skip:1", [0, 0, 10, 15, 15, 15]),
        ("skip:2", [0, 0, 24, 4, 4, 10]),
        ("skip", [0, 0, 24, 4, 4, 10]),
        ("easy", [0, 0, 10, 4, 15, 5]),
        ("conservative", [0, 0, 10, 4, 15, 5]),
        ("hold", [0, 0, 10, 15, 15, 15]),  # of one server nothing is left
        ("aged:2", [0, 0, 10, 15, 15, 15]),  # at 4 s the giant has waited for 3 s
        ("aged:4", [0, 0, 24, 4, 4, 29]),  # at 5 s it has waited for 4 s: VM 5 comes after it
    ],
)
def test_a_blocked_giant_by_hand(queue: str, expected: list[float]) -> None:
    assert starts_of(BLOCKED_GIANT, queue) == expected


# At 4 s four cores are free, and those that wait need three and two, or two, three and one.
ONE_LARGE_FIRST = [(4, 8, 0, 10), (4, 8, 0, 4), (3, 4, 1, 5), (2, 2, 2, 5), (2, 2, 3, 5)]
ONE_LARGE_SECOND = [(4, 8, 0, 10), (4, 8, 0, 4), (2, 2, 1, 5), (3, 4, 2, 5), (1, 1, 3, 5)]


@pytest.mark.parametrize(
    ("queue", "first", "second"),
    [
        ("skip", [0, 0, 4, 9, 9], [0, 0, 4, 9, 4]),
        ("smallest", [0, 0, 9, 4, 4], [0, 0, 4, 9, 4]),
        ("largest", [0, 0, 4, 9, 9], [0, 0, 9, 4, 4]),
    ],
)
def test_orders_of_size_by_hand(queue: str, first: list[float], second: list[float]) -> None:
    assert starts_of(ONE_LARGE_FIRST, queue) == first
    assert starts_of(ONE_LARGE_SECOND, queue) == second


def test_a_server_is_held_for_a_giant_by_hand() -> None:
    """The nodes of two servers are full until 10 and 4 s, 20 and 6 s; a giant waits, and a small VM comes."""
    vms = [(4, 8, 0, 10), (4, 8, 0, 4), (4, 8, 0, 20), (4, 8, 0, 6), (8, 16, 1, 5), (2, 2, 5, 20)]
    assert starts_of(vms, "skip", servers=2) == [0, 0, 0, 0, 20, 5]
    assert starts_of(vms, "hold", servers=2) == [0, 0, 0, 0, 10, 6]


def test_only_a_reservation_of_its_own_protects_the_second_blocked_vm() -> None:
    """VMs 2 and 3 wait for both nodes; VM 4 ends before VM 2 begins only if it is short."""
    vms = [(4, 8, 0, 10), (2, 4, 0, 5), (8, 16, 1, 5), (8, 16, 1, 5), (2, 2, 2, 30)]
    assert starts_of(vms, "easy") == [0, 0, 10, 15, 20]
    assert starts_of(vms, "conservative") == [0, 0, 10, 15, 20]
    shorter = [*vms[:4], (2, 2, 2, 8)]
    assert starts_of(shorter, "easy")[4] == starts_of(shorter, "conservative")[4] == 2


def test_sizes_are_shares_of_a_server() -> None:
    cluster = Cluster(servers=1, node_cpu=40, node_memory=90, double_memory_threshold=10)
    vms = [(4, 8, 0, 1), (8, 16, 0, 1), (16, 32, 0, 1), (32, 64, 0, 1), (64, 128, 0, 1), (5, 1, 0, 1)]
    workload = Workload(trace_of([*vms, LAST_ROW]), cluster)
    assert workload.arrays.need[:-1, 3].tolist() == [0, 1, 1, 2, 3, 0]
    counted = workload.vms_by_size(np.array([0, 3]), np.array([6, 2]))
    assert dict(zip(VM_SIZES, counted.T.tolist(), strict=True)) == {
        "small": [2, 0],
        "medium": [2, 0],
        "large": [1, 1],
        "giant": [1, 1],
    }


def test_lanes_do_not_disturb_each_other() -> None:
    """Plans are scratch that all lanes share."""
    workload = Workload(trace_of([*BLOCKED_GIANT, LAST_ROW]), SERVER).under(parse_queue("conservative"))
    lanes = Lanes(workload, SERVER, 3)
    lanes.reset([0, 1, 2], [0, 0, 1], [6, 6, 5])
    while lanes.running.any():
        lanes.step(lanes.observations.action_mask.argmax(axis=1))
    alone = [
        run_heuristic(workload, SERVER, Heuristic("first-fit"), start, count).total_wait[0]
        for start, count in ((0, 6), (0, 6), (1, 5))
    ]
    assert lanes.results().total_wait.tolist() == alone
