"""Servers in groups, of any number of NUMA nodes: against the plain simulators, and cases by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import queue_simulator as plain
import reference_simulator as reference
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scenarios import Scenario, scenarios, trace_of
from test_against_reference import assert_same_episode
from test_queue_rules import assert_same_decisions, queues

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.queue_disciplines import parse_queue
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    FragmentationGradient,
    Heuristic,
    Lanes,
    Workload,
    compile_workload,
    lower_bounds,
    probe_vm_counts,
    run_heuristic,
)
from spane_rllib.problems.vm_scheduling.simulator.cluster import ServerGroup

unlike = scenarios(unlike=True)
small = ServerGroup(1, 4, 8)
large = ServerGroup(2, 8, 32)


@given(unlike)
@settings(max_examples=60)
def test_episodes_of_heuristics(scenario: Scenario) -> None:
    workload = scenario.workload
    for name, policy in reference.HEURISTICS.items():
        assert_same_episode(scenario, workload, Heuristic(name), policy)
    double = scenario.cluster.double_memory_threshold < 6
    flavour = reference.Vm(reference.Size(reference.Fraction(4), reference.Fraction(6)), 0.0, 0.0, double)
    gradient = Heuristic("fgd", FragmentationGradient(((4.0, 6.0),), (1.0,), 0.3))
    assert_same_episode(
        scenario, workload, gradient, lambda now: reference.fragmentation_gradient(now, [flavour], [1.0], 0.3)
    )


@given(st.data(), unlike, queues)
@settings(max_examples=60)
def test_every_decision_of_every_discipline(data: st.DataObject, scenario: Scenario, queue) -> None:  # type: ignore[no-untyped-def]
    lifetimes = [vm.lifetime for vm in scenario.vms]
    assert_same_decisions(scenario, queue, lifetimes, lambda now: data.draw(st.sampled_from(now.feasible)))


@given(scenarios(max_vms=9, max_servers=3, unlike=True))
@settings(max_examples=60)
def test_probing_and_the_bound_in_order(scenario: Scenario) -> None:
    workload, cluster, vms = scenario.workload, scenario.cluster, scenario.vms
    arguments = (vms, scenario.servers, scenario.node)
    starts = range(len(vms) - 1)
    assert probe_vm_counts(workload, cluster, starts, extra=0).tolist() == [
        reference.first_unplaceable(*arguments, start, scenario.sizes) for start in starts
    ]
    episode = (scenario.start, scenario.vm_count)
    assert lower_bounds(workload, cluster, *episode).tolist() == [
        reference.lower_bound(*arguments, *episode, sizes=scenario.sizes)
    ]


@given(scenarios(max_vms=5, max_servers=2, unlike=True))
@settings(max_examples=60)
def test_the_bound_of_any_order(scenario: Scenario) -> None:
    assume(not any(math.isinf(vm.lifetime) for vm in scenario.vms) and scenario.cluster.slots <= 4)
    workload = scenario.workload.under(parse_queue("skip"))
    bound = lower_bounds(workload, scenario.cluster, scenario.start, scenario.vm_count)[0]
    episode = scenario.vms[scenario.start : min(scenario.start + scenario.vm_count, len(scenario.vms) - 1)]
    least = plain.least_total_wait(episode, scenario.servers, scenario.node, scenario.sizes)
    assert 0 <= bound <= least + 1e-6


def test_the_bound_of_any_order_where_cores_and_memory_are_short_in_turn() -> None:
    """Two VMs that each need most of a node, one of its cores and one of its memory, fit there together."""
    vms = [(7, 1, 0, 100), (1, 7, 0, 100)] * 4 + [(1, 1, 500, 1)]
    cluster = Cluster(servers=2, node_cpu=8, node_memory=8, double_memory_threshold=8)
    workload = Workload(trace_of(vms), cluster).under(parse_queue("skip"))
    assert run_heuristic(workload, cluster, Heuristic("first-fit"), 0, 8).total_wait.tolist() == [0]
    assert lower_bounds(workload, cluster, 0, 8).tolist() == [0]


def test_groups_of_equal_servers_of_two_nodes_are_no_groups() -> None:
    groups = [ServerGroup(2, 40, 90), ServerGroup(3, 40, 90)]
    assert Cluster.of_groups(groups) == Cluster(5)
    cluster = Cluster.of_groups([small, large])
    assert (cluster.servers, cluster.node_cpu, cluster.node_memory) == (3, 8, 32)
    assert cluster.shows_sizes
    assert cluster.text == "1 x 2 x (4 cpu, 8 GiB) + 2 x 2 x (8 cpu, 32 GiB)"


def test_nodes_pair_with_their_neighbours() -> None:
    cluster = Cluster.of_groups([ServerGroup(1, 4, 8, 5), ServerGroup(2, 4, 8, 1)], 6)
    assert (cluster.servers, cluster.pairs, cluster.slots, cluster.nodes) == (3, 5, 10, 7)
    assert cluster.places.tolist() == [[0, k] for k in range(6)] + [[1, 0], [1, 1], [2, 0], [2, 1]]
    assert cluster.node_sizes()[:, 0].tolist() == [4, 4, 4, 4, 4, 0, 4, 0, 4, 0]
    workload = Workload(trace_of([(4, 8, 0, 1), (1, 2, 0, 1), (4, 4, 0, 1)]), cluster)
    lanes = Lanes(workload, cluster)
    lanes.reset(0, 0, 2)  # the double VM of 2 x (2 cpu, 4 GiB) needs both nodes of a pair
    assert np.flatnonzero(lanes.observations.action_mask[0]).tolist() == [0, 1, 2, 3]
    lanes.step(np.array([3]))
    assert np.flatnonzero(lanes.observations.action_mask[0]).tolist() == [0, 1, 2, 3, 4, 6, 8]
    assert lanes.observations.servers[0, :, :, 0].tolist() == [[1, 1], [0.5, 0.5], [1, 0], [1, 0], [1, 0]]
    assert lanes.observations.servers[0, :, :, 2].tolist() == [[1, 1], [1, 1], [1, 0], [1, 0], [1, 0]]
    assert "server 0, node 5" in lanes.explain(0, 5)


def test_observations_show_sizes_as_shares_of_the_largest_node() -> None:
    cluster = Cluster.of_groups([small, large])
    lanes = Lanes(Workload(trace_of([(6, 8, 0, 1), (1, 2, 0, 1)]), cluster), cluster)
    lanes.reset(0, 0, 1)
    assert lanes.state.counters[0, 5] == 2  # the first VM has no room on the first server
    assert lanes.observations.servers[0, 0, 0].tolist() == [0.5, 0.25, 0.5, 0.25]
    assert lanes.observations.request[0].tolist() == [0.75, 0.25, 0]


def test_a_vm_that_no_server_holds_and_values_that_are_not_allowed() -> None:
    cluster = Cluster.of_groups([ServerGroup(2, 8, 32, 1), small], 10)
    with pytest.raises(UserError, match="VM 1 needs 2 cpu x 20 GiB, more than an empty server of 2 x 1 x"):
        Workload(trace_of([(8, 9, 0, 1), (2, 20, 0, 1)]), cluster)
    with pytest.raises(UserError, match="give 1 to 8 nodes"):
        Cluster.of_groups([ServerGroup(1, 8, 32, 9)])


def test_a_workload_is_for_its_groups_alone() -> None:
    cluster = Cluster.of_groups([small, large])
    trace = trace_of([(1, 2, 0, 1), (1, 2, 0, 1)])
    workload = compile_workload(trace, cluster)
    assert compile_workload(trace, Cluster.of_groups([small, large])) is workload
    with pytest.raises(ValueError, match="compiled for"):
        probe_vm_counts(workload, Cluster.of_groups([large, small]), [0])
