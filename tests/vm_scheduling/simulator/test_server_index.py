"""Large clusters: what is chosen by an index of the servers is what is chosen by looking at every one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from calling import from_python

from spane_rllib.datasets.vm_traces.synthetic import synthesize
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.allocations.scenario import load_scenario
from spane_rllib.problems.vm_scheduling.allocations.workload import AllocationWorkload
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS
from spane_rllib.problems.vm_scheduling.queue_disciplines import parse_queue
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    FragmentationGradient,
    Heuristic,
    PlacementScore,
    Workload,
    episodes,
    probe_vm_counts,
    rankings,
    server_index,
)
from spane_rllib.problems.vm_scheduling.simulator.cluster import ServerGroup
from spane_rllib.problems.vm_scheduling.simulator.episodes import index_for, index_of
from spane_rllib.problems.vm_scheduling.simulator.fragmentation import NO_FRAGMENTATION
from spane_rllib.problems.vm_scheduling.simulator.heuristic_codes import BALANCE_FIT, FIRST_FIT, SBF
from spane_rllib.problems.vm_scheduling.simulator.rankings import ranking_of
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    FINISHED,
    FIRST_SLOT,
    STATUS,
    STUCK,
    TOTAL_WAIT,
    LaneState,
    allocate,
)
from spane_rllib.problems.vm_scheduling.simulator.server_index import ServerIndex

_note_all = from_python(server_index.note_all)

VMS = 3_000
GRADIENT = FragmentationGradient(((1.0, 2.0), (3.0, 4.0), (12.0, 20.0)), (0.5, 1.0, 2.0), 0.7)


def random_trace(seed: int, servers: int, kinds: int, endless: float = 0.0) -> VmTrace:
    """VMs of `kinds` sizes, some far more frequent than others; after a while, `servers` are too few."""
    random = np.random.default_rng(seed)
    sizes = np.column_stack([random.integers(1, 9, kinds), random.integers(1, 17, kinds)]).astype(float)
    sizes[:2] = (16, 24), (1, 1)
    kind = (kinds * random.random(VMS) ** 3).astype(int)
    lifetime = random.choice([1.0, 10.0, 40.0, 1000.0], VMS) * random.uniform(1.0, 3.0, VMS).round()
    lifetime[random.random(VMS) < endless] = np.inf
    arrival = np.sort(random.integers(0, 4 * VMS // servers, VMS)).astype(float)
    cpu, memory = sizes[kind].T
    return VmTrace(cpu, memory, arrival, lifetime, "random")


def play(
    workload: Workload, cluster: Cluster, heuristic: Heuristic, starts: list[int], indexed: bool
) -> list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Slots of all VMs, counters and clocks of each episode, one after the other in the same lane."""
    code, fragmentation = heuristic.compile(workload, cluster.pairs)
    index = index_of(code, workload, cluster, fragmentation) if indexed else None
    lane: LaneState = allocate(1, cluster.slots, VMS, index=index)
    played = []
    for start in starts:
        lane.slot_of[:] = 0
        ends = allocate(1, 0, 0)
        rows, counts = workload.check_episodes(start, VMS)
        episodes._run_episodes(workload.arrays, lane, code, fragmentation, rows, counts, np.uint64(3), ends)
        # Where servers are ranked, what is no longer asked for is not the first slot but the best.
        ends.counters[0, FIRST_SLOT] = 0
        played.append((lane.slot_of[0].copy(), ends.counters[0], ends.clocks[0]))
    return played


def assert_same(workload: Workload, cluster: Cluster, starts: list[int]) -> set[int]:
    """Every heuristic plays the same with and without an index; what became of the episodes."""
    heuristics = [Heuristic(name, GRADIENT if name == "fgd" else None) for name in HEURISTICS]
    heuristics.append(Heuristic("fgd", PlacementScore(GRADIENT.flavours, GRADIENT.weights, 0.3, 0.2, 0.4)))
    status = set()
    for heuristic in heuristics:
        for plain, indexed in zip(
            *(play(workload, cluster, heuristic, starts, indexed) for indexed in (False, True)), strict=True
        ):
            for expected, got in zip(plain, indexed, strict=True):
                np.testing.assert_array_equal(got, expected, heuristic.name)
            status.add(int(plain[1][STATUS]))
    return status


@pytest.mark.parametrize("servers", [1, 3, 70, 131])
def test_every_decision_of_every_heuristic(servers: int) -> None:
    cluster = Cluster(servers, 8, 16, 16)
    for seed, kinds in enumerate([3, 12]):
        workload = Workload(random_trace(seed, servers, kinds), cluster)
        assert assert_same(workload, cluster, [0, 700]) == {FINISHED}


def test_servers_that_differ_and_vms_that_never_end() -> None:
    groups = [ServerGroup(20, 4, 16, 4), ServerGroup(50, 8, 16), ServerGroup(9, 8, 12, 3)]
    cluster = Cluster.of_groups(groups, 16)
    workload = Workload(random_trace(5, cluster.pairs, 9, endless=0.2), cluster)
    assert STUCK in assert_same(workload, cluster, [0, 2900])


def test_more_kinds_of_vms_than_are_ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rankings, "RANKED_KINDS", 4)
    cluster = Cluster(70, 8, 16, 16)
    workload = Workload(random_trace(6, 70, 60), cluster)
    ranking = ranking_of(70, workload, SBF, NO_FRAGMENTATION)
    counts = np.bincount(workload.kind)
    assert len(ranking.need) == 4
    assert counts[ranking.column >= 0].min() >= counts[ranking.column < 0].max()
    assert_same(workload, cluster, [0])


@pytest.mark.parametrize(("units", "places"), [(0, 2**13), (0, 1), (600, 2**13)])
def test_places_that_are_scores_and_places_that_are_exact(
    units: int, places: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rankings, "_MOST_UNITS", units)
    monkeypatch.setattr(rankings, "_PLACES", places)  # with few, nearly all are disputed
    cluster = Cluster(70, 40, 90, 8)
    workload = Workload(random_trace(10, 70, 12), cluster)
    code, fragmentation = Heuristic("keep-64").compile(workload, 70)
    for ranking in (
        ranking_of(70, workload, SBF, NO_FRAGMENTATION),
        ranking_of(70, workload, code, fragmentation),
    ):
        assert ranking.is_exact == (units > 0)
    assert_same(workload, cluster, [0])


def test_places_have_the_order_of_scores() -> None:
    workload = Workload(random_trace(11, 70, 3), Cluster(70, 40, 90, 8))
    shares, pairs, sums = rankings._exact_ranks(workload, SBF, NO_FRAGMENTATION)
    cpu, memory = workload.arrays.capacity[0]
    exact = np.concatenate([np.arange(cpu + 1) / cpu, np.arange(memory + 1) / memory])
    rank = np.concatenate([shares[0, : cpu + 1], shares[1, : memory + 1]])
    places = pairs[rank[:, None], rank].ravel()
    order = np.argsort(places, kind="stable")
    steps, rises = np.diff(places[order]), np.diff((exact[:, None] + exact).ravel()[order])
    np.testing.assert_array_equal(steps > 0, rises > 0)
    assert (rises >= 0).all()
    assert places.max() == sums - 1


def _played(heuristic: str, servers: int) -> tuple[LaneState, ServerIndex]:
    cluster = Cluster(servers, 8, 16, 16)
    workload = Workload(random_trace(7, servers, 4), cluster)
    code, parameters = Heuristic(heuristic, GRADIENT).compile(workload, servers)
    index = index_of(code, workload, cluster, parameters)
    lane = allocate(1, cluster.slots, VMS, index=index)
    ends, (rows, counts) = allocate(1, 0, 0), workload.check_episodes(0, VMS)
    episodes._run_episodes(workload.arrays, lane, code, parameters, rows, counts, np.uint64(0), ends)
    assert ends.clocks[0, TOTAL_WAIT] > 0  # it was full at times
    return lane, index


@pytest.mark.parametrize("servers", [33, 70])
def test_what_is_remembered_is_true(servers: int) -> None:
    lane, index = _played("balance-fit", servers)
    kept = index.most.copy()
    assert (kept[1] >= 0).all()
    _note_all(index, lane.free, lane.share, 0)
    np.testing.assert_array_equal(index.most, kept)


@pytest.mark.parametrize("servers", [33, 70])
@pytest.mark.parametrize("heuristic", ["sbf", "fgd"])
def test_servers_are_ranked_by_what_is_free(
    heuristic: str, servers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rankings, "_FEWEST_SLOTS", 1)  # more is seen than there is room for
    lane, index = _played(heuristic, servers)
    ranking = index.ranking
    rows = np.sort(ranking.known_at[ranking.known_at >= 0])
    np.testing.assert_array_equal(rows, np.arange(ranking.known_rows[0]))
    assert len(rows) <= len(ranking.known_free)
    leaves = len(ranking.least) // 2
    for node in range(1, leaves):
        if node.bit_length() % 2 == 1:  # others are on no level of the tree
            np.testing.assert_array_equal(
                ranking.least[node], ranking.least[4 * node : 4 * node + 4].min(axis=0)
            )
    fresh = np.setdiff1d(np.arange(servers), index.stale.servers[: index.stale.number[0]])
    free = lane.free[0].reshape(2, servers, 2).transpose(1, 0, 2)
    exchanged = np.sign(free[..., 0] - free[..., 1]) @ (2, 1) < 0  # first by cpu, then by memory
    free[exchanged] = free[exchanged, :, ::-1]
    np.testing.assert_array_equal(ranking.known_free[ranking.row[fresh]], free[fresh].reshape(-1, 4))
    np.testing.assert_array_equal(
        ranking.least[leaves : leaves + servers][fresh], ranking.known_least[ranking.row[fresh]]
    )


def test_episodes_are_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(70, 8, 16, 16)
    trace = random_trace(8, 70, 12)
    plain = probe_vm_counts(Workload(trace, cluster), cluster, [0, 300])
    monkeypatch.setattr(episodes, "SCANNED_SERVERS", 10)
    assert probe_vm_counts(Workload(trace, cluster), cluster, [0, 300]).tolist() == plain.tolist()


def test_who_has_an_index() -> None:
    few, many = episodes.SCANNED_SERVERS, episodes.SCANNED_SERVERS + 1
    workload = Workload(random_trace(9, 70, 3), Cluster(few, 8, 16, 16))
    assert index_for(SBF, workload, workload.cluster) is None
    large = Cluster(many, 8, 16, 16)
    indexed = index_for(SBF, workload, large)
    assert indexed is not None and indexed.most is None
    indexed = index_for(BALANCE_FIT, workload, large)
    assert indexed is not None and indexed.ranking is None
    assert index_for(FIRST_FIT, workload, large) is None  # ends early
    assert index_for(SBF, workload.under(parse_queue("skip:16")), large) is None
    scenario = load_scenario("fading").with_servers(many)
    allocations = AllocationWorkload(synthesize(vms=100), scenario)
    assert index_for(SBF, allocations, allocations.cluster) is None
