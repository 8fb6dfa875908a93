"""Small cases worked out with pencil: one server of two nodes with 4 cpu and 8 GiB unless said otherwise.

VMs of more than 4 GiB are double: half on each node. A VM is written (cpu, GiB, arrival, lifetime).
"""

from math import inf, log, sqrt
from typing import Any

import numpy as np
import pytest
from calling import from_python
from scenarios import choice, trace_of

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    FragmentationGradient,
    Heuristic,
    Lanes,
    Workload,
    lower_bounds,
    probe_vm_counts,
    run_heuristic,
)
from spane_rllib.problems.vm_scheduling.simulator.heuristics import next_random

_next_random = from_python(next_random)

SERVER = Cluster(servers=1, node_cpu=4, node_memory=8, double_memory_threshold=4)
LAST_ROW = (1, 1, 1000, 1)  # never placed: an episode ends when it is reached


def waits(*vms: tuple[float, float, float, float]) -> list[float]:
    """Under First Fit, VM by VM."""
    lanes = Lanes(Workload(trace_of([*vms, LAST_ROW]), SERVER), SERVER)
    lanes.reset(0, 0, 100)
    found = []
    while lanes.running[0]:
        lanes.step(lanes.observations.action_mask.argmax(axis=1))
        found.append(float(lanes.wait[0]))
    return found


def test_a_vm_waits_for_the_first_departure_that_makes_room() -> None:
    node_0_until_10, node_1_until_21 = (4, 4, 0, 10), (4, 4, 1, 20)
    from_10_to_15, from_15 = (4, 4, 2, 5), (1, 1, 3, 5)
    vms = [node_0_until_10, node_1_until_21, from_10_to_15, from_15]
    assert waits(*vms) == [0, 0, 8, 12]
    results = run_heuristic(
        Workload(trace_of([*vms, LAST_ROW]), SERVER), SERVER, Heuristic("first-fit"), 0, 100
    )
    assert (results.placed[0], results.total_wait[0], results.max_wait[0]) == (4, 20, 12)
    assert results.episode_return[0] == pytest.approx(-(log(9) + log(13)))


def test_a_vm_at_the_head_blocks_those_behind_it() -> None:
    on_node_0, double_waits, would_fit_at_once = (2, 2, 0, 10), (6, 6, 1, 5), (1, 1, 2, 1)
    assert waits(on_node_0, double_waits, would_fit_at_once) == [0, 9, 8]


def test_a_departure_at_the_moment_of_an_arrival_comes_first() -> None:
    assert waits((8, 8, 0, 5), (8, 8, 5, 5), (8, 8, 10, 1)) == [0, 0, 0]


def test_all_departures_of_one_moment_are_processed_before_fit_is_tested() -> None:
    half, other_half, whole = (4, 4, 0, 7), (4, 4, 3, 4), (8, 8, 4, 1)
    assert waits(half, other_half, whole) == [0, 0, 3]


def test_a_vm_that_waited_ends_at_start_plus_lifetime() -> None:
    assert waits((8, 8, 0, 10), (8, 8, 1, 10), (8, 8, 2, 10), (8, 8, 30, 1)) == [0, 9, 18, 0]


def test_the_clock_does_not_wait_for_a_vm_that_arrives_during_a_wait() -> None:
    # Both start at 10, when the first leaves; neither waits for the other.
    assert waits((8, 8, 0, 10), (4, 4, 1, 5), (4, 4, 9, 5)) == [0, 9, 1]


def test_behind_a_vm_that_never_ends_the_episode_is_stuck() -> None:
    trace = trace_of([(8, 8, 0, inf), (1, 1, 5, 1), LAST_ROW])
    workload = Workload(trace, SERVER)
    results = run_heuristic(workload, SERVER, Heuristic("sbf"), 0, 2)
    assert (results.placed[0], results.total_wait[0], results.episode_return[0]) == (1, inf, -inf)
    assert lower_bounds(workload, SERVER, 0, 2).tolist() == [inf]


def test_the_last_row_is_never_placed() -> None:
    workload = Workload(trace_of([(1, 1, 0, 1)] * 3), SERVER)
    results = run_heuristic(workload, SERVER, Heuristic("first-fit"), [0, 1, 0], [100, 100, 1])
    assert results.placed.tolist() == [2, 1, 1]


def test_probing_tests_fit_before_departures_are_processed() -> None:
    workload = Workload(
        trace_of([(4, 4, 0, 1), (4, 4, 0, 1), (4, 4, 50, 1), (1, 1, 60, 1), LAST_ROW]), SERVER
    )
    # From row 0: the third VM finds both nodes still taken, although their VMs left long ago. From row 1:
    # node 1 is free for row 2; then row 3 finds room on node 0, and the trace ends.
    assert probe_vm_counts(workload, SERVER, [0, 1], extra=0).tolist() == [2, 3]
    assert probe_vm_counts(workload, SERVER, [1, 0]).tolist() == [43, 42]


def test_lower_bound_packs_double_vms_but_pools_small_ones() -> None:
    small_on_each_node = [(3, 3, 0, 9), (3, 3, 0, 9)]
    # In one pool 2 of 8 cpu are left, so that a VM of 2 cpu starts at once; on real nodes it waits for 9 s.
    workload = Workload(trace_of([*small_on_each_node, (2, 2, 0, 1), LAST_ROW]), SERVER)
    assert lower_bounds(workload, SERVER, 0, 3).tolist() == [0]
    assert run_heuristic(workload, SERVER, Heuristic("sbf"), 0, 3).total_wait.tolist() == [9]
    # Two servers hold 16 cpu, but no two of three double VMs of 5 cpu share one.
    doubles = Workload(trace_of([*[(5, 5, 0, 9)] * 3, LAST_ROW]), SERVER)
    assert lower_bounds(doubles, Cluster(2, 4, 8, 4), 0, 3).tolist() == [9]


# Three servers; free (cpu, GiB) of their nodes, and min(cpu / 4, GiB / 8) beside it.
FREE = [(2, 4), (2, 4), (1, 8), (3, 4), (4, 4), (4, 8)]  # .5 .5 | .25 .5 | .5 1


@pytest.mark.parametrize(
    ("name", "small", "double"),
    [
        ("first-fit", 0, 0),
        ("best-fit", 2, 2),  # node with .25; server with .25 + .5
        ("worst-fit", 5, 4),  # node with 1; server with .5 + 1
        ("balance-fit", 5, 0),  # the last server differs most, by .5
        ("move-to-front", 4, 4),
        ("sbf", 3, 3),  # the second server is fullest, its second node roomier
        ("fgd", 2, 3),  # see below
        ("keep-64", 3, 3),  # such a VM fits on no server anyway
        ("best-fit-vmagent", 5, 0),  # .75 are left there; of nodes 0, .125 on the first and the last server
    ],
)
def test_the_choice_of_each_heuristic(name: str, small: int, double: int) -> None:
    # A flavour of 2 cpu x 4 GiB: the servers could host 1 + 1, 0 + 1 and 1 + 2. A small VM of 1 cpu x 2 GiB
    # costs one of them everywhere but on slot 2. A double one of 1 cpu x 3 GiB per node costs 2, 1 and 2.
    gradient = FragmentationGradient(flavours=((2.0, 4.0),), weights=(1.0,))
    workload = Workload(trace_of([(1, 2, 0, 1), (2, 6, 0, 1)]), SERVER)
    free = np.array(FREE, np.int32).T * workload.units_per_core
    heuristic = Heuristic(name, gradient)
    assert [choice(heuristic, workload, free, vm, last_slot=4) for vm in (0, 1)] == [small, double]


@pytest.mark.parametrize("name", [name for name in HEURISTICS if name != "random"])
@pytest.mark.parametrize("memory", [1, 6])
def test_empty_servers_are_taken_in_order(name: str, memory: int) -> None:
    workload = Workload(trace_of([(1, memory, 0, 1)] * 2), SERVER)
    empty = np.repeat(workload.arrays.capacity[0][:, None], 6, axis=1)
    assert choice(Heuristic(name), workload, empty) == 0


@pytest.mark.parametrize("name", ["sbf", "fgd"])
def test_of_servers_equally_full_the_one_with_the_roomier_node(name: str) -> None:
    workload = Workload(trace_of([(1, 2, 0, 1)] * 2), SERVER)
    free = np.array([(3, 6), (3, 6), (2, 4), (4, 8)], np.int32).T * workload.units_per_core  # .75 .75 | .5 1
    too_large = FragmentationGradient(flavours=((9.0, 18.0),), weights=(1.0,))
    assert choice(Heuristic(name, too_large), workload, free) == 3


def test_keep_64_keeps_the_server_that_could_host_a_giant() -> None:
    cluster = Cluster(servers=2)
    workload = Workload(trace_of([(10, 10, 0, 1)] * 2), cluster)
    # A giant needs 32 cpu x 64 GiB on each node: only the first server could host one, and it is the fuller.
    free = np.array([(40, 90), (32, 64), (31, 90), (40, 90)], np.int32).T * 2
    assert choice(Heuristic("sbf"), workload, free) == 0
    assert choice(Heuristic("keep-64"), workload, free) == 3


def test_flavours_of_a_trace() -> None:
    trace = trace_of([(4, 8, 0, 1), (1, 2, 0, 1), (1, 2, 0, 1), (1, 2, 0, 1), (9, 9, 0, 1)])
    gradient = FragmentationGradient.of_trace(trace, last=4)
    assert gradient.flavours == ((1.0, 2.0), (4.0, 8.0))
    assert gradient.weights == pytest.approx((sqrt(3 / 4) * 1, sqrt(1 / 4) * 4))


def test_flavours_in_units() -> None:
    # Hundredths, so a unit is 1/200. 0.07 * 200 is 14.000000000000002 in floating point.
    workload = Workload(trace_of([(0.01, 0.01, 0, 1)] * 2), SERVER)
    gradient = FragmentationGradient(flavours=((0.07, 0.0712), (1.0, 6.0)), weights=(1.0, 1.0))
    hosted = gradient.compile(workload, servers=1)
    # As many amounts of free units as a flavour needs host none of it.
    assert [int((table == 0).sum(axis=0)[k]) for table in hosted[:2] for k in (0, 1)] == [14, 100, 15, 600]
    assert hosted.double.tolist() == [False, True]


@pytest.mark.parametrize(
    ("flavours", "weights", "message"),
    [
        (((1.0, 2.0),), (), "1 flavours but 0 weights"),
        (((1.0, 2.0),), (inf,), "finite"),
        (((1.0, inf),), (1.0,), "finite"),
    ],
)
def test_gradients_that_make_no_sense(flavours: Any, weights: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        FragmentationGradient(flavours, weights)


def test_a_table_of_flavours_that_would_be_too_large() -> None:
    cluster = Cluster(servers=1, node_cpu=2**26, node_memory=1)
    workload = Workload(trace_of([(1, 1, 0, 1)] * 2), cluster)
    with pytest.raises(UserError, match="fgd: 1 flavours on nodes of 134217728 units"):
        run_heuristic(workload, cluster, Heuristic("keep-64"), 0, 1)


def test_a_node_size_is_rounded_to_the_nearest_unit() -> None:
    # 0.29 * 200 is 57.99999999999999 in floating point, yet a VM of 0.29 cpu fits.
    cluster = Cluster(servers=1, node_cpu=0.29, node_memory=2)
    assert Workload(trace_of([(0.29, 1, 0, 1)] * 2), cluster).arrays.capacity.tolist() == [[58, 400]]


def test_unknown_heuristic() -> None:
    with pytest.raises(UserError, match="worst: not a heuristic; allowed are first-fit, "):
        Heuristic("worst")
    assert [Heuristic(name).name for name in HEURISTICS] == list(HEURISTICS)


def test_random_numbers_are_those_of_splitmix64() -> None:
    state = np.array([1234567], np.uint64)
    # The first outputs for this seed that Rosetta Code gives.
    assert [int(_next_random(state)) for _ in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_random_takes_every_feasible_slot_equally_often() -> None:
    workload = Workload(trace_of([(4, 4, 0, 1)] * 2), SERVER)
    full = 2 * np.array([(4, 8), (3, 8), (4, 3), (4, 4), (0, 0), (4, 8)], np.int32).T
    random = np.zeros(1, np.uint64)
    chosen = [choice(Heuristic("random"), workload, full, random=random) for _ in range(3000)]
    slots, counts = np.unique(chosen, return_counts=True)
    assert slots.tolist() == [0, 3, 5]
    assert (abs(counts - 1000) < 5 * sqrt(3000 * (1 / 3) * (2 / 3))).all()  # five standard deviations


def test_random_episodes_depend_on_the_seed_and_their_start_only() -> None:
    cluster = Cluster(3, 4, 8, 4)
    generator = np.random.default_rng(0)
    sizes = generator.integers(1, 5, (300, 2))
    trace = trace_of([(cpu, memory, k, 20) for k, (cpu, memory) in enumerate(sizes)])
    workload = Workload(trace, cluster)

    def totals(starts: list[int], seed: int) -> list[float]:
        return run_heuristic(workload, cluster, Heuristic("random"), starts, 150, seed).total_wait.tolist()

    together = totals([0, 50, 100], seed=1)
    assert together == [totals([start], seed=1)[0] for start in (0, 50, 100)]
    assert together != totals([0, 50, 100], seed=2)
