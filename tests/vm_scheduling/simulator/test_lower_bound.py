"""LB2: below every policy, above the pool alone, and its packing search exact."""

import numpy as np
import pytest
import reference_simulator as reference
from calling import from_python
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_simulator import Size, Vm
from scenarios import Scenario, scenarios

from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS
from spane_rllib.problems.vm_scheduling.simulator import Heuristic, lower_bounds, run_heuristic
from spane_rllib.problems.vm_scheduling.simulator.lower_bound import _packable

_packable_alone = from_python(_packable)


@given(scenarios(max_vms=25))
@settings(max_examples=80)
def test_no_policy_waits_less(scenario: Scenario) -> None:
    workload, cluster = scenario.workload, scenario.cluster
    bound = lower_bounds(workload, cluster, scenario.start, scenario.vm_count)[0]
    policies = [
        (Heuristic(name), seed) for name in HEURISTICS for seed in range(20 if name == "random" else 1)
    ]
    for heuristic, seed in policies:
        results = run_heuristic(workload, cluster, heuristic, scenario.start, scenario.vm_count, seed)
        assert bound <= results.total_wait[0], (heuristic.name, seed)


@given(scenarios(max_vms=8, max_servers=3))
@settings(max_examples=60)
def test_packing_only_tightens_the_pooled_bound(scenario: Scenario) -> None:
    bound = lower_bounds(scenario.workload, scenario.cluster, scenario.start, scenario.vm_count)[0]
    arguments = (scenario.vms, scenario.servers, scenario.node, scenario.start, scenario.vm_count)
    pooled = reference.lower_bound(*arguments, packing=False)
    assert bound >= pooled
    if not any(vm.double for vm in scenario.vms):
        assert bound == pooled


def is_packable(sizes: list[tuple[int, int]], nodes: list[tuple[int, int]]) -> bool:
    """Ask the compiled search, flavours in order of decreasing size as `lower_bounds` gives them."""
    flavours, counts = np.unique(sizes, axis=0, return_counts=True)
    order = np.argsort(-(flavours / np.max(nodes, axis=0)).max(axis=1), kind="stable")
    bins = np.zeros((len(nodes), 2), np.int32)
    return bool(
        _packable_alone(
            counts[order], np.ascontiguousarray(flavours[order], np.int32), np.array(nodes, np.int32), bins
        )
    )


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=7),
    st.lists(st.tuples(st.integers(4, 9), st.integers(4, 9)), min_size=1, max_size=3),
)
@settings(max_examples=150)
def test_packing_search_against_every_assignment(
    sizes: list[tuple[int, int]], nodes: list[tuple[int, int]]
) -> None:
    doubles = [Vm(Size(2 * cpu, 2 * memory), 0.0, 1.0, double=True) for cpu, memory in sizes]
    halves = [Size(*node) for node in nodes for _ in range(2)]
    assert is_packable(sizes, nodes) == reference.packable(doubles, halves)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([5, 4, 4, 3, 2, 2], True),  # 5 + 3 + 2 and 4 + 4 + 2, which largest-first misses
        ([5, 4, 4, 4, 3], False),  # 20 in all, but 5 goes with neither 4 nor 3 to make 10
        ([6, 6, 6], False),
        ([10, 10], True),
    ],
)
def test_packing_two_servers_of_ten(sizes: list[int], expected: bool) -> None:
    assert is_packable([(size, 1) for size in sizes], [(10, 90)] * 2) is expected
    assert is_packable([(1, size) for size in sizes], [(90, 10)] * 2) is expected
