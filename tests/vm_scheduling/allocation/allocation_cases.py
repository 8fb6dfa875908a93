"""What the tests of the allocations objective share: traces of events, scenarios in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from spane_rllib.datasets.vm_traces.readers import read_trace
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.allocations.results import AllocationResults
from spane_rllib.problems.vm_scheduling.allocations.scenario import AllocationScenario
from spane_rllib.problems.vm_scheduling.allocations.workload import AllocationWorkload
from spane_rllib.problems.vm_scheduling.simulator import Heuristic
from spane_rllib.problems.vm_scheduling.simulator.episodes import play_heuristic

Event = tuple[int, float, float, float, int]  # vmid, cpu, memory, time, 0 to create and 1 to delete


def scenario_of(**keys: Any) -> AllocationScenario:
    """One server of 2 x (4 cpu, 8 GiB), VMs above 4 GiB double, no deletions, unless `keys` say otherwise."""
    defaults = {
        "name": "test",
        "server_groups": [{"count": 1, "node_cpu": 4, "node_memory": 8}],
        "double": {"memory_above": 4},
        "deletions": False,
    }
    return AllocationScenario.model_validate(defaults | keys)


def trace_of_events(file: Path, events: list[Event]) -> VmTrace:
    """The events as the reader of files sees them, VMs without a deletion kept."""
    rows = ["vmid,cpu,memory,time,type", *(",".join(map(str, event)) for event in events)]
    file.write_text("\n".join(rows) + "\n")
    return read_trace(file, never_ending="keep").trace


def trace_of_vms(*vms: tuple[float, float, float, float]) -> VmTrace:
    """VMs as (cpu, GiB, creation, lifetime), and a last one that is never placed."""
    return VmTrace(*np.array([*vms, (1, 1, 1e6, 1)]).T)


def play(
    trace: VmTrace, scenario: AllocationScenario, policy: str = "first-fit", start: int = 0
) -> AllocationResults:
    """One episode from row `start`."""
    workload = AllocationWorkload(trace, scenario)
    longest = scenario.max_decisions or len(trace)
    ends = play_heuristic(workload, workload.cluster, Heuristic(policy), start, longest)
    return AllocationResults.of(ends, workload, scenario)
