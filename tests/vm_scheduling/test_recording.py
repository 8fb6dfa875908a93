"""A recording is exactly the episode that evaluation plays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spane_rllib.__main__ import main
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.policies import HeuristicPolicy, NetworkPolicy, Policy
from spane_rllib.problems.vm_scheduling.recordings.loading import read_schedule
from spane_rllib.problems.vm_scheduling.recordings.recorder import record_episode, record_episodes
from spane_rllib.problems.vm_scheduling.recordings.schedule import NOWHERE
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Lanes, Workload, compile_workload
from spane_rllib.problems.vm_scheduling.simulator.episodes import EpisodeResults
from spane_rllib.problems.vm_scheduling.simulator.rules import CPU, HEAD, MEMORY

CLUSTER = Cluster(servers=3)


def network_policy() -> NetworkPolicy:
    return NetworkPolicy("models/spane", build_network("spane", {}, CLUSTER.servers, seed=0))


@pytest.fixture(scope="module")
def workload(trace: VmTrace) -> Workload:
    return compile_workload(trace, CLUSTER)


@pytest.mark.parametrize("name", [*HEURISTICS, "network"])
@pytest.mark.parametrize("start", [0, 57])
def test_waits_are_those_of_evaluation(name: str, start: int, workload: Workload) -> None:
    policy: Policy = network_policy() if name == "network" else HeuristicPolicy(name, training_rows=200)
    schedule = record_episode(policy, workload, CLUSTER, start, 300, seed=5)
    results = EpisodeResults.of_state(*policy.play(workload, CLUSTER, np.array([start]), np.array([300]), 5))
    assert len(schedule.vms.number) == results.placed[0] == 300
    assert schedule.total_wait == results.total_wait[0] > 0
    assert np.nanmax(schedule.wait) == results.max_wait[0]
    assert -np.log1p(schedule.wait).sum() == pytest.approx(results.episode_return[0], rel=1e-12)


def test_the_state_before_every_decision_is_the_simulators(workload: Workload) -> None:
    schedule = record_episode(HeuristicPolicy("best-fit"), workload, CLUSTER, 10, 200)
    lanes = Lanes(workload, CLUSTER)
    lanes.reset(0, 10, 200)
    changes = schedule.node_changes()
    scale = workload.units_per_core
    used = np.zeros((2, CLUSTER.slots))
    capacity = workload.arrays.capacity[0][:, None] / scale
    for event, placed in enumerate(~schedule.events.departure):
        if placed:
            vm = schedule.events.vm[event]
            assert lanes.state.counters[0, HEAD] == 10 + vm
            np.testing.assert_array_equal(lanes.state.free[0] / scale, capacity - used)
            lanes.step(schedule.vms.slot[[vm]])
        rows = changes.event == event
        np.add.at(used[CPU], changes.slot[rows], changes.cpu[rows])
        np.add.at(used[MEMORY], changes.slot[rows], changes.memory[rows])
    assert not lanes.running[0]


def test_a_schedule_by_hand(tiny_trace: VmTrace) -> None:
    """VM 2 fits neither beside VM 1, which is double, nor after VM 0 has departed: only from 20 s on."""
    cluster = Cluster(servers=1, node_cpu=4, node_memory=8)
    workload = compile_workload(tiny_trace, cluster)
    schedule = record_episode(HeuristicPolicy("first-fit"), workload, cluster, 0, 4)
    np.testing.assert_array_equal(schedule.vms.double, [False, True, False, False])
    np.testing.assert_array_equal(schedule.vms.slot, [0, 0, 0, 0])
    np.testing.assert_array_equal(schedule.wait, [0, 0, 19, 18])
    np.testing.assert_array_equal(schedule.events.vm, [0, 1, 0, 1, 2, 3])
    np.testing.assert_array_equal(schedule.events.departure, [False, False, True, True, False, False])
    np.testing.assert_array_equal(schedule.events.time, [0, 0, 10, 20, 20, 20])


@settings(max_examples=60)
@given(
    sizes=st.lists(
        st.tuples(st.integers(1, 8), st.integers(1, 16), st.integers(0, 9), st.integers(1, 60)),
        min_size=2,
        max_size=40,
    ),
    name=st.sampled_from(list(HEURISTICS)),
)
def test_any_trace_is_recorded_as_it_is_evaluated(sizes: list[tuple[int, ...]], name: str) -> None:
    cpu, memory, gap, lifetime = np.array(sizes, float).T
    trace = VmTrace(cpu, memory, np.cumsum(gap), lifetime)
    cluster = Cluster(servers=2, node_cpu=8, node_memory=16, double_memory_threshold=5)
    workload, policy = compile_workload(trace, cluster), HeuristicPolicy(name)
    schedule = record_episode(policy, workload, cluster, 0, len(trace), seed=3)
    results = EpisodeResults.of_state(
        *policy.play(workload, cluster, np.array([0]), np.array([len(trace)]), 3)
    )
    assert schedule.total_wait == results.total_wait[0]


def test_vms_behind_one_that_can_never_be_placed_are_nowhere() -> None:
    trace = VmTrace(
        cpu=np.array([4.0, 4.0, 1.0, 1.0]),
        memory=np.ones(4),
        arrival=np.arange(4.0),
        lifetime=np.array([np.inf, np.inf, 5.0, 5.0]),
    )
    cluster = Cluster(servers=1, node_cpu=4, node_memory=8)
    schedule = record_episode(HeuristicPolicy("first-fit"), compile_workload(trace, cluster), cluster, 0, 3)
    np.testing.assert_array_equal(schedule.vms.slot, [0, 1, NOWHERE])
    assert len(schedule.events.time) == 2


def test_files_are_named_after_policy_servers_and_start(workload: Workload, tmp_path: Path) -> None:
    policies = [NetworkPolicy(name, network_policy().network) for name in ("../a/b", "a-b", "a b")]
    files = list(record_episodes(policies, workload, CLUSTER, np.array([3, 9]), tmp_path / "out"))
    assert [file.name for file in files] == [
        f"{name}-3-servers-start-{start}.npz" for name in ("a-b", "a-b-1", "a-b-2") for start in (3, 9)
    ]
    assert sorted(files) == sorted((tmp_path / "out").iterdir())
    assert [read_schedule(file).policy for file in files[::2]] == ["../a/b", "a-b", "a b"]


def test_the_command_records_what_its_table_says(tmp_path: Path) -> None:
    command = (
        "evaluate --trace synthetic:vms=3000 --policy random --policy sbf --servers 4 --episodes 3 --seed 2"
    )
    folders = ["--output", str(tmp_path), "--record", str(tmp_path / "record"), "--record-episodes", "2"]
    assert main([*command.split(), *folders]) == 0
    table = [line.split(",") for line in (tmp_path / "episodes.csv").read_text().splitlines()]
    at = {name: index for index, name in enumerate(table[0])}
    waits = {(row[at["policy"]], int(row[at["start"]])): float(row[at["total_wait_s"]]) for row in table[1:]}
    recorded = [read_schedule(file) for file in (tmp_path / "record").iterdir()]
    assert len(recorded) == 4
    for schedule in recorded:
        assert waits[schedule.policy, schedule.start] == schedule.total_wait
        assert schedule.source.endswith("evaluate --record, seed 2")
