"""The placement score: its terms by hand, its symmetries, and what it must not know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from calling import from_python
from hypothesis import given, settings
from hypothesis import strategies as st

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    FragmentationGradient,
    Heuristic,
    PlacementScore,
    Workload,
    run_heuristic,
)
from spane_rllib.problems.vm_scheduling.simulator.heuristics import choose
from spane_rllib.problems.vm_scheduling.simulator.objectives import begin, place
from spane_rllib.problems.vm_scheduling.simulator.rules import HEAD, RUNNING, STATUS, LaneState, allocate

_begin, _choose, _place = from_python(begin), from_python(choose), from_python(place)

CLUSTER = Cluster(servers=2, node_cpu=8, node_memory=16, double_memory_threshold=10)
SIZES = ((1.0, 1.0), (2.0, 4.0), (4.0, 8.0), (8.0, 16.0))


def trace_of(sizes: list[tuple[float, float]], arrival: list[float], lifetime: float = 1e6) -> VmTrace:
    cpu, memory = np.array(sizes, float).T
    return VmTrace(
        cpu=cpu,
        memory=memory,
        arrival=np.array(arrival, float),
        lifetime=np.full(len(sizes), lifetime),
        name="test",
    )


def placements(trace: VmTrace, score: PlacementScore, cluster: Cluster = CLUSTER) -> list[int]:
    """Slots of all VMs but the last one of the trace, which is never placed."""
    workload = Workload(trace, cluster)
    code, parameters = Heuristic("fgd", score).compile(workload, cluster.servers)
    state: LaneState = allocate(1, cluster.slots, len(trace))
    random = np.zeros(1, np.uint64)
    _begin(workload.arrays, state, 0, 0, len(trace))
    slots = []
    while state.counters[0, STATUS] == RUNNING:
        slots.append(int(_choose(code, workload.arrays, state, 0, random, parameters)))
        assert state.counters[0, HEAD] == len(slots) - 1
        _place(workload.arrays, state, 0, slots[-1])
    return slots


def test_without_its_own_terms_it_is_fragmentation_gradient() -> None:
    rng = np.random.default_rng(0)
    sizes = [SIZES[index] for index in rng.integers(0, 4, 300)]
    trace = trace_of(sizes, list(np.cumsum(rng.exponential(5.0, 300))), lifetime=60.0)
    weights = (0.5, 1.0, 2.0, 7.0)
    workload = Workload(trace, CLUSTER)
    starts, counts = np.arange(0, 200, 10), np.full(20, 80)
    results = [
        run_heuristic(workload, CLUSTER, Heuristic("fgd", parameters), starts, counts).total_wait
        for parameters in (
            FragmentationGradient(SIZES, weights, 1.0),
            PlacementScore(SIZES, weights, 1.0),
        )
    ]
    np.testing.assert_array_equal(*results)
    assert results[0].max() > 0


@pytest.mark.parametrize(
    ("imbalance", "expected"),
    # The 1-core VM lies on node 0, which the tie goes to. Balance wants the second one on node 1.
    [(0.0, [0, 1]), (5.0, [0, 1]), (-5.0, [0, 0])],
)
def test_imbalance(imbalance: float, expected: list[int]) -> None:
    trace = trace_of([(1, 1)] * 3, [0, 10, 20])
    assert placements(trace, PlacementScore(((64.0, 128.0),), (1.0,), 1.0, imbalance=imbalance)) == expected


@pytest.mark.parametrize(
    ("arrival", "siblings", "server"),
    [
        # A cost of -1 per free share sends each VM to the emptiest server, unless its sibling is elsewhere.
        ([0, 0.2, 0.5, 9], 5.0, 0),
        ([0, 0.2, 1.0, 9], 5.0, 0),
        ([0, 0.2, 1.5, 9], 5.0, 1),  # too late to be a sibling
        ([0, 0.2, 0.5, 9], 0.0, 1),
        ([0, 0.2, 0.5, 9], 0.01, 1),  # less than what the emptier server is worth
    ],
)
def test_siblings_are_of_one_burst_and_kind(arrival: list[float], siblings: float, server: int) -> None:
    sizes = [(2, 4), (1, 1), (2, 4), (1, 1)]
    score = PlacementScore(((64.0, 128.0),), (0.0,), -1.0, siblings=siblings)
    slots = placements(trace_of(sizes, arrival), score)
    assert [slot >> 1 for slot in slots] == [0, 1, server] if server else slots[2] >> 1 == 0


def test_siblings_that_had_to_wait_count_too() -> None:
    # Two VMs fill both servers until 100; then siblings go to one server although the other one is emptier.
    sizes = [(16, 32), (16, 32), (2, 4), (2, 4), (1, 1)]
    trace = trace_of(sizes, [0, 0, 10, 10, 500])
    trace = replace(trace, lifetime=np.array([100.0, 100.0, 1000.0, 1000.0, 1.0]))
    together = placements(trace, PlacementScore(((64.0, 128.0),), (0.0,), -1.0, siblings=9.0))
    apart = placements(trace, PlacementScore(((64.0, 128.0),), (0.0,), -1.0))
    assert together[2] >> 1 == together[3] >> 1
    assert apart[2] >> 1 != apart[3] >> 1


@settings(max_examples=25)
@given(st.lists(st.sampled_from(SIZES), min_size=5, max_size=40), st.integers(0, 10_000))
def test_what_is_still_to_come_changes_nothing(sizes: list[tuple[float, float]], seed: int) -> None:
    """The same first half, followed by other VMs with other lifetimes, is placed alike."""
    rng = np.random.default_rng(seed)
    arrival = list(np.cumsum(rng.choice([0.0, 0.5, 30.0], len(sizes))))
    half = len(sizes) // 2
    score = PlacementScore(SIZES, (0.2, 0.5, 1.0, 3.0), 0.3, imbalance=1.0, siblings=0.5)
    first = trace_of(sizes, arrival, lifetime=1e9)
    other_sizes = sizes[:half] + [(1.0, 1.0)] * (len(sizes) - half)
    second = trace_of(other_sizes, arrival, lifetime=1e9)
    lifetime = np.where(np.arange(len(sizes)) < half, 1e9, 1e9 + rng.random(len(sizes)))
    second = replace(second, lifetime=lifetime)
    known = min(half, 8)  # before anything waits for ever
    large = replace(CLUSTER, servers=40)
    assert placements(first, score, large)[:known] == placements(second, score, large)[:known]


def test_numbers_must_be_finite() -> None:
    for terms in ({"imbalance": np.inf}, {"siblings": np.nan}, {"fullness": np.inf}):
        with pytest.raises(UserError, match="finite"):
            PlacementScore(SIZES, (1.0, 1.0, 1.0, 1.0), **terms)


def test_no_state_is_left_from_one_episode_to_the_next() -> None:
    rng = np.random.default_rng(3)
    sizes = [SIZES[index] for index in rng.integers(0, 4, 400)]
    trace = trace_of(sizes, list(np.cumsum(rng.choice([0.0, 4.0], 400))), lifetime=50.0)
    workload = Workload(trace, CLUSTER)
    score = PlacementScore(SIZES, (0.2, 0.5, 1.0, 3.0), 0.3, imbalance=1.0, siblings=0.5)

    def waits(starts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return run_heuristic(workload, CLUSTER, Heuristic("fgd", score), starts, 60).total_wait

    starts = np.arange(0, 300, 7)
    np.testing.assert_array_equal(waits(starts), waits(starts[::-1])[::-1])
    assert waits(starts).max() > 0
