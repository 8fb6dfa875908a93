"""What cannot be simulated is refused with a line that says why."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scenarios import trace_of

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    Heuristic,
    Lanes,
    Workload,
    lower_bounds,
    probe_vm_counts,
    run_heuristic,
)

SERVER = Cluster(servers=2, node_cpu=4, node_memory=8, double_memory_threshold=4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"servers": 0}, "servers: 0 is not allowed"),
        ({"node_cpu": 0}, "node_cpu: 0 is not allowed"),
        ({"node_memory": float("nan")}, "node_memory: nan is not allowed"),
        ({"node_memory": float("inf")}, "node_memory: inf is not allowed"),
        ({"double_memory_threshold": -1}, "double_memory_threshold: -1 is not allowed"),
        ({"double_memory_threshold": float("nan")}, "double_memory_threshold: nan is not allowed"),
    ],
)
def test_clusters_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Cluster(**change)


@pytest.mark.parametrize(
    ("vm", "message"),
    [
        ((4.5, 4, 0, 1), r"VM 1 needs 4\.5 cpu x 4 GiB, more than an empty server of 2 x \(4 cpu, 8 GiB\)"),
        ((8.5, 5, 0, 1), r"VM 1 needs 8\.5 cpu x 5 GiB"),
        ((1, 17, 0, 1), r"VM 1 needs 1 cpu x 17 GiB.*\(1 such VMs\)"),
        ((1 / 3, 1, 0, 1), "multiples of 1/1000 or 1/1024"),
    ],
)
def test_vms_that_cannot_be_simulated(vm: tuple[float, float, float, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Workload(trace_of([(1, 1, 0, 1), vm]), SERVER)


def test_the_largest_vms_that_fit() -> None:
    workload = Workload(trace_of([(4, 4, 0, 1), (8, 16, 0, 1), (1, 1, 0, 1)]), SERVER)
    assert workload.arrays.need[:, :3].tolist() == [[8, 8, 0], [8, 16, 1], [2, 2, 0]]


def test_a_node_too_large_to_count() -> None:
    with pytest.raises(UserError, match="too large to count"):
        Workload(trace_of([(1, 1, 0, 1)] * 2), Cluster(node_cpu=2.0**30))


def test_a_cluster_too_large_to_bound() -> None:
    cluster = Cluster(servers=2**27, node_cpu=4, node_memory=8)
    workload = Workload(trace_of([(1, 1, 0, 1)] * 2), cluster)
    with pytest.raises(UserError, match="servers are too many to bound"):
        lower_bounds(workload, cluster, 0, 1)


def test_resolution_is_the_coarsest_that_counts_every_size() -> None:
    for size, units_per_core in (
        (1, 2),
        (0.5, 4),
        (0.2, 10),
        (0.3, 20),
        (0.05, 40),
        (0.001, 2000),
        (2**-10, 2048),
    ):
        assert Workload(trace_of([(size, 1, 0, 1)] * 2), SERVER).units_per_core == units_per_core


def test_the_arrays_are_shared_and_read_only() -> None:
    workload = Workload(trace_of([(1, 1, 0, 1)] * 2), SERVER)
    arrays = [array for array in workload.arrays if array is not None]  # None: of the other objective
    assert len(arrays) == 5
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0


CALLS: dict[str, Callable[[Workload, Cluster, Any, Any], Any]] = {
    "run_heuristic": lambda work, cluster, starts, counts: run_heuristic(
        work, cluster, Heuristic("first-fit"), starts, counts
    ),
    "lower_bounds": lower_bounds,
    "probe_vm_counts": lambda work, cluster, starts, counts: probe_vm_counts(work, cluster, starts),
    "Lanes": lambda work, cluster, starts, counts: Lanes(work, cluster).reset(0, starts, counts),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_starts_outside_the_trace(call: Callable[..., Any]) -> None:
    workload = Workload(trace_of([(1, 1, 0, 1)] * 4), SERVER)
    for start in (-1, 3):
        with pytest.raises(UserError, match=f"start {start} .*outside trace; allowed are 0 to 2"):
            call(workload, SERVER, [start], [1])


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_servers_of_another_type(call: Callable[..., Any]) -> None:
    workload = Workload(trace_of([(1, 1, 0, 1)] * 4), SERVER)
    with pytest.raises(ValueError, match="compiled for servers like"):
        call(workload, Cluster(servers=2), [0], [1])


@pytest.mark.parametrize("name", ["run_heuristic", "lower_bounds"])
def test_counts_that_make_no_episode(name: str) -> None:
    workload = Workload(trace_of([(1, 1, 0, 1)] * 4), SERVER)
    for starts, counts in (([0], [0]), ([0, 1], [1, -5]), ([[0]], [[1]])):
        with pytest.raises(ValueError, match="one-dimensional and vm_counts at least 1"):
            CALLS[name](workload, SERVER, starts, counts)
    with pytest.raises(ValueError, match="broadcast"):
        CALLS[name](workload, SERVER, [0, 1], [1, 1, 1])


def test_no_episodes() -> None:
    workload = Workload(trace_of([(1, 1, 0, 1)] * 4), SERVER)
    assert len(run_heuristic(workload, SERVER, Heuristic("fgd"), [], [])) == 0
    assert lower_bounds(workload, SERVER, [], []).shape == (0,)
    assert probe_vm_counts(workload, SERVER, []).shape == (0,)


def test_a_count_beyond_the_trace_is_cut_at_its_end() -> None:
    workload = Workload(trace_of([(1, 1, 0, 1)] * 4), SERVER)
    results = run_heuristic(workload, SERVER, Heuristic("first-fit"), [0, 2], np.iinfo(np.int64).max)
    assert results.placed.tolist() == [3, 1]
