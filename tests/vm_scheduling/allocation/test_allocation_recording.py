"""A recording of a scenario is exactly the episode that evaluation plays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from allocation_cases import scenario_of, trace_of_events, trace_of_vms
from hypothesis import given, settings
from hypothesis import strategies as st

from spane_rllib.__main__ import main
from spane_rllib.core.presets import presets_in
from spane_rllib.datasets.vm_traces.synthetic import synthesize
from spane_rllib.problems.vm_scheduling.allocations.evaluation import evaluate_policy
from spane_rllib.problems.vm_scheduling.allocations.recording import record_episode
from spane_rllib.problems.vm_scheduling.allocations.scenario import (
    PRESETS,
    AllocationScenario,
    Growth,
    load_scenario,
)
from spane_rllib.problems.vm_scheduling.allocations.workload import AllocationWorkload
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS
from spane_rllib.problems.vm_scheduling.networks.registry import build_network
from spane_rllib.problems.vm_scheduling.policies import HeuristicPolicy, NetworkPolicy, Policy
from spane_rllib.problems.vm_scheduling.recordings.loading import read_schedule
from spane_rllib.problems.vm_scheduling.recordings.schedule import NOWHERE, Schedule

HETEROGENEOUS = scenario_of(
    server_groups=[
        {"count": 2, "node_cpu": 40, "node_memory": 90},
        {"count": 1, "node_cpu": 64, "node_memory": 256},
    ],
    double={"cpu_at_least": 16},
    deletions=True,
    growth={"servers": 2, "used_threshold": 0.6, "max_servers": 8},
)


def small(name: str) -> AllocationScenario:
    """A preset with few servers and a cap."""
    scenario = load_scenario(name).with_servers(4)
    if scenario.growth:
        growth = Growth(servers=2, used_threshold=0.7, max_servers=9)
        scenario = scenario.model_copy(update={"growth": growth})
    return scenario.model_copy(update={"max_decisions": 300})


def check(schedule: Schedule, policy: Policy, workload: AllocationWorkload, seed: int = 0) -> None:
    """What follows from the recording is what evaluation says of the episode."""
    (row,) = evaluate_policy(policy, workload, np.array([schedule.start]), seed).itertuples(index=False)
    assert schedule.scenario == row.scenario
    assert (schedule.vms.slot != NOWHERE).sum() == row.allocations
    assert (schedule.vms.slot[-1] == NOWHERE) == (row.ended_by == "full")
    assert schedule.total_wait == 0
    changes, servers = schedule.node_changes(), schedule.servers
    assert changes.cpu.sum() / (2 * servers.node_cpu.sum()) == pytest.approx(row.cpu_rate, abs=1e-12)
    assert changes.memory.sum() / (2 * servers.node_memory.sum()) == pytest.approx(row.memory_rate, abs=1e-12)
    end = workload.trace.arrival[schedule.start + row.allocations]
    assert (end - servers.active_from).sum() / 3600 == pytest.approx(row.server_hours, rel=1e-12)
    added = len(servers.active_from) - workload.scenario.initial_servers
    growth = workload.scenario.growth
    assert row.expansions == (-(-added // growth.servers) if growth else 0)


@pytest.mark.parametrize("policy", [*HEURISTICS, "network"])
@pytest.mark.parametrize(
    "scenario", [*map(small, presets_in(PRESETS)), HETEROGENEOUS], ids=lambda one: one.name
)
def test_a_recording_is_what_evaluation_plays(scenario: AllocationScenario, policy: str) -> None:
    workload = AllocationWorkload(synthesize(vms=2000), scenario)
    played: Policy = HeuristicPolicy(policy, training_rows=800)
    if policy == "network":
        played = NetworkPolicy("spane", build_network("spane", {}, workload.cluster.servers, seed=0))
    for start in (0, 1900):  # the second reaches the end of the trace
        check(record_episode(played, workload, start, seed=3), played, workload, seed=3)


@settings(max_examples=80)
@given(
    vms=st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(0, 3), st.integers(1, 9)),
        min_size=2,
        max_size=40,
    ),
    deletions=st.booleans(),
    grows=st.booleans(),
    cap=st.integers(1, 40),
)
def test_any_trace_is_recorded_as_it_is_evaluated(
    vms: list[tuple[int, ...]], deletions: bool, grows: bool, cap: int
) -> None:
    cpu, memory, gap, lifetime = np.array(vms, float).T
    trace = trace_of_vms(*zip(cpu, memory, np.cumsum(gap), lifetime, strict=True))
    growth = {"servers": 2, "used_threshold": 0.5, "max_servers": 4} if grows else None
    scenario = scenario_of(deletions=deletions, growth=growth, max_decisions=cap)
    workload, policy = AllocationWorkload(trace, scenario), HeuristicPolicy("random")
    check(record_episode(policy, workload, 0, seed=7), policy, workload, seed=7)


def test_deletions_growth_and_the_vm_that_fits_nowhere_by_hand(tmp_path: Path) -> None:
    """One server of 2 x 4 cores, and another one from when all 8 are used: no room for VM 7."""
    trace = trace_of_events(
        tmp_path / "events.csv",
        [
            (1, 4, 4, 0, 0),
            (2, 1, 1, 10, 0),
            (3, 3, 4, 10, 0),
            (2, 1, 1, 20, 1),  # in the second of the next creation, but before it
            (4, 1, 1, 20, 0),
            (5, 4, 4, 20, 0),
            (1, 4, 4, 30, 1),
            (6, 4, 4, 30, 0),
            (7, 4, 4, 40, 0),
            (8, 4, 4, 50, 0),
            (9, 1, 1, 60, 0),
        ],
    )
    growth = {"servers": 1, "used_threshold": 1, "max_servers": 2}
    workload = AllocationWorkload(trace, scenario_of(deletions=True, growth=growth))
    schedule = record_episode(HeuristicPolicy("first-fit"), workload, 0)
    assert schedule.vms.slot.tolist() == [0, 1, 1, 1, 2, 0, 3, NOWHERE]
    assert schedule.servers.active_from.tolist() == [0, 10]
    assert schedule.events.vm.tolist() == [0, 1, 2, 1, 3, 4, 0, 5, 6]
    assert np.flatnonzero(schedule.events.departure).tolist() == [3, 6]
    assert schedule.events.time.tolist() == [0, 10, 10, 20, 20, 20, 30, 30, 40]
    assert schedule.vms.lifetime.tolist() == [30, 10, *[np.inf] * 6]


def test_servers_bought_for_a_vm_that_fits_nowhere_are_there_from_its_creation() -> None:
    """The second server comes with VM 1, which is double and finds no room on the first."""
    trace = trace_of_vms((1, 1, 0, 5), (8, 8, 100, 5), (1, 1, 200, 5))
    growth = {"servers": 1, "used_threshold": 1, "max_servers": 2}
    workload = AllocationWorkload(trace, scenario_of(growth=growth))
    schedule = record_episode(HeuristicPolicy("first-fit"), workload, 0)
    assert schedule.vms.slot.tolist() == [0, 2, 0]
    assert schedule.servers.active_from.tolist() == [0, 100]
    assert np.isinf(schedule.vms.lifetime).all()


def test_the_command_records_what_its_table_says(tmp_path: Path) -> None:
    words = (
        "evaluate --scenario recovering --trace synthetic:vms=3000 --policy sbf --policy random "
        "--servers 2 --servers 3 --episodes all --seed 4 --record-episodes 2"
    )
    assert main([*words.split(), "--output", str(tmp_path), "--record", str(tmp_path / "record")]) == 0
    table = pd.read_csv(tmp_path / "episodes.csv").set_index(["policy", "servers", "start"])
    files = sorted((tmp_path / "record").iterdir())
    first = min(start for _, _, start in table.index)
    assert [file.stem for file in files] == [
        f"recovering-{policy}-{servers}-servers-start-{start}"
        for policy in ("random", "sbf")
        for servers in (2, 3)
        for start in (first, first + 1)
    ]
    for schedule in map(read_schedule, files):
        key = (schedule.policy, len(schedule.servers.node_cpu), schedule.start)
        assert (schedule.vms.slot != NOWHERE).sum() == table.loc[key, "allocations"]
        assert schedule.scenario == "recovering" and schedule.source.endswith("seed 4")
