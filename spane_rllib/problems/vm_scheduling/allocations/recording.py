"""Recording episodes of the allocations objective: nobody waits, and servers may be added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from spane_rllib.problems.vm_scheduling.allocations.workload import AllocationWorkload
from spane_rllib.problems.vm_scheduling.policies import Policy, Rows
from spane_rllib.problems.vm_scheduling.recordings.recorder import (
    decisions,
    file_names,
    order_events,
    schedule_of,
    vms_of,
    write_recordings,
)
from spane_rllib.problems.vm_scheduling.recordings.schedule import Floats, Schedule, Servers
from spane_rllib.problems.vm_scheduling.simulator import Lanes
from spane_rllib.problems.vm_scheduling.simulator.rules import NOW, SERVER_SECONDS, SERVERS, STATUS, STUCK


def record_allocations(
    policies: Sequence[Policy], workload: AllocationWorkload, starts: Rows, folder: Path, seed: int = 0
) -> Iterator[Path]:
    """Record every policy from every start; yields each file once written.

    They are called `SCENARIO-POLICY-N-servers-start-ROW.npz`, where N is the number of servers at the start.
    """
    scenario = workload.scenario
    names = file_names([f"{scenario.name}-{policy.name}" for policy in policies])
    return write_recordings(
        policies,
        [f"{name}-{scenario.initial_servers}-servers" for name in names],
        starts,
        folder,
        lambda policy, start: record_episode(policy, workload, start, seed),
    )


def record_episode(policy: Policy, workload: AllocationWorkload, start: int, seed: int = 0) -> Schedule:
    """The episode from row `start` that `evaluation.evaluate_policy` plays, with every decision.

    The VM that fitted nowhere is the last one, on slot `NOWHERE`; an episode that the cap or the trace ended
    has none. The servers are those that were ever there; without deletions lifetimes are infinite.
    """
    scenario = workload.scenario
    lanes = Lanes(workload, workload.cluster)
    lanes.reset(0, start, scenario.max_decisions or len(workload))
    counters, clocks = lanes.state.counters[0], lanes.state.clocks[0]
    slots: list[int] = []
    growth: list[tuple[float, ...]] = []

    def note_growth() -> None:
        growth.append((clocks[NOW], counters[SERVERS], clocks[SERVER_SECONDS]))

    for slot in decisions(policy, lanes, start, seed):
        slots.append(slot)
        note_growth()
    note_growth()
    placed = len(slots)
    vms = vms_of(workload, start, start + placed + (counters[STATUS] == STUCK), slots)
    if not scenario.deletions:
        vms = vms._replace(lifetime=np.full(len(vms.lifetime), np.inf))
    row, end = _departures(workload, slice(start, start + placed))
    events = order_events(vms.arrival[:placed], end, row - start, placed + 1)
    active_from = _active_from(np.array(growth))
    sizes = scenario.node_sizes()[: len(active_from)]
    servers = Servers.of_two_nodes(sizes[:, 0], sizes[:, 1], active_from)
    return schedule_of(policy, workload.trace, seed, vms, events, servers, scenario.name)


def _departures(workload: AllocationWorkload, rows: slice) -> tuple[Floats, Floats]:
    """The row before whose creation each VM of `rows` is deleted (`inf`: none), and when, seconds."""
    trace = workload.trace
    before = np.full(len(trace), np.inf)
    before[workload.arrays.end_vm] = workload.arrays.end_time
    before = before[rows]
    # Rows decide when a VM leaves; arrival + lifetime may differ from them by a rounding error.
    row = np.minimum(before, len(trace) - 1).astype(np.int64)
    end = np.clip(trace.arrival[rows] + trace.lifetime[rows], trace.arrival[row - 1], trace.arrival[row])
    return before, end


def _active_from(growth: Floats) -> Floats:
    """(N,) when each server was added, from (D, 3) time, servers and server-seconds at every decision."""
    time, count, seconds = growth.T
    gap = np.diff(time)
    # Those added by the use that a placement led to were there until the next VM; others came with it.
    at_once = np.divide(np.diff(seconds), gap, out=count[1:].copy(), where=gap > 0).round()
    counts = np.concatenate([count[:1], np.column_stack([at_once, count[1:]]).ravel()])
    times = np.concatenate([time[:1], np.column_stack([time[:-1], time[1:]]).ravel()])
    return times[np.searchsorted(counts, np.arange(counts[-1]), side="right")]
