"""Recording: the episode that evaluation plays, decision by decision, as a `Schedule`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from spane_rllib.core.console import Progress
from spane_rllib.core.errors import one_line
from spane_rllib.core.version import __version__
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.policies import Policy
from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO
from spane_rllib.problems.vm_scheduling.recordings.schedule import (
    NOWHERE,
    Events,
    Floats,
    Schedule,
    Servers,
    Vms,
    Whole,
)
from spane_rllib.problems.vm_scheduling.recordings.schedule_file import write_schedule
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Lanes, Workload, probe_vm_counts
from spane_rllib.problems.vm_scheduling.simulator.rules import HEAD, NOW, STOP

Decide = Callable[[Lanes], int]


def record_episodes(
    policies: Sequence[Policy],
    workload: Workload,
    cluster: Cluster,
    starts: Whole,
    folder: Path,
    seed: int = 0,
) -> Iterator[Path]:
    """Record every policy from every start; yields each file, `POLICY-N-servers-start-ROW.npz`, once written.

    In the name a queue discipline other than first come, first served follows the policy. The length of each
    episode is that of `evaluation.evaluate_policy`.
    """
    counts = dict(zip(starts.tolist(), probe_vm_counts(workload, cluster, starts).tolist(), strict=True))
    queue = "" if workload.queue.is_fifo else "-" + workload.queue.text.replace(":", "-")
    names = [
        f"{name}{queue}-{cluster.servers}-servers"
        for name in file_names([policy.name for policy in policies])
    ]
    return write_recordings(
        policies,
        names,
        starts,
        folder,
        lambda policy, start: record_episode(policy, workload, cluster, start, counts[start], seed),
    )


def write_recordings(
    policies: Sequence[Policy],
    names: Sequence[str],
    starts: Whole,
    folder: Path,
    record: Callable[[Policy, int], Schedule],
) -> Iterator[Path]:
    """Write what `record` makes of every policy and start; yields each file, `NAME-start-ROW.npz`."""
    for policy, name in zip(policies, names, strict=True):
        for start in starts.tolist():
            file = folder / f"{name}-start-{start}.npz"
            write_schedule(file, record(policy, start))
            yield file


def show_progress(files: Iterable[Path], total: int) -> None:
    """Go through all of `files`, which are recorded on the way, and show how many of `total` there are."""
    progress = Progress("recorded", total, "episodes")
    for done, file in enumerate(files, start=1):
        progress.update(done, f"({file})")


def file_names(names: Sequence[str]) -> list[str]:
    """A distinct file name for each; those of models are directories."""
    found: list[str] = []
    for text in names:
        name = unique = re.sub(r"[^\w.-]+", "-", text).strip("-.")[-100:] or "policy"
        while unique in found:
            unique = f"{name}-{len(found)}"
        found.append(unique)
    return found


def record_episode(
    policy: Policy, workload: Workload, cluster: Cluster, start: int, vm_count: int, seed: int = 0
) -> Schedule:
    """The episode of `vm_count` VMs from row `start` that `policy.run` plays, with every decision.

    A VM that could never be placed (behind VMs that never end) and those behind it are on slot `NOWHERE`.
    """
    lanes = Lanes(workload, cluster)
    lanes.reset(0, start, vm_count)
    stop = int(lanes.state.counters[0, STOP])
    slots: list[int] = []
    times: list[float] = []
    placed: list[int] = []
    for slot in decisions(policy, lanes, start, seed):
        slots.append(slot)
        times.append(lanes.state.clocks[0, NOW])
        placed.append(lanes.state.counters[0, HEAD] - start)
    vms = vms_of(workload, start, stop, slots, placed)
    placed_at = np.array(times)
    end = placed_at + vms.lifetime[placed]
    # The departures due by a decision come before it, as `rules.release_until` has it.
    before = np.maximum(np.searchsorted(placed_at, end), np.arange(len(slots)) + 1)
    events = order_events(placed_at, end, before, len(slots), np.array(placed, np.int64))
    sizes = cluster.node_sizes().reshape(cluster.pairs, -1, 2)
    nodes = np.count_nonzero(sizes[:, :, 0], axis=1)
    servers = Servers(sizes[:, 0, 0], sizes[:, 0, 1], np.full(cluster.pairs, vms.arrival[0]), nodes)
    return schedule_of(policy, workload.trace, seed, vms, events, servers, queue=workload.queue.text)


def schedule_of(
    policy: Policy,
    trace: VmTrace,
    seed: int,
    vms: Vms,
    events: Events,
    servers: Servers,
    scenario: str = "",
    queue: str = FIFO.text,
) -> Schedule:
    """The parts of an episode, with what they are of."""
    return Schedule(
        policy=one_line(policy.name),
        trace=one_line(trace.name),
        trace_sha256=trace.sha256,
        start=int(vms.number[0]),
        source=f"spane_rllib {__version__} evaluate --record, seed {seed}",
        vms=vms,
        events=events,
        servers=servers,
        scenario=one_line(scenario),
        queue=queue,
    )


def vms_of(
    workload: Workload, start: int, stop: int, slots: Sequence[int], placed: Sequence[int] | None = None
) -> Vms:
    """The rows `start` to `stop` - 1 of the trace, those `placed` on `slots` and the others nowhere.

    `placed` counts from `start`; None for the first ones.
    """
    trace, rows = workload.trace, slice(start, stop)
    cpu, memory = trace.cpu[rows], trace.memory[rows]
    slot = np.full(stop - start, NOWHERE, np.int64)
    slot[np.arange(len(slots)) if placed is None else np.array(placed, np.int64)] = slots
    return Vms(
        number=np.arange(start, stop),
        cpu=cpu,
        memory=memory,
        double=workload.is_double(cpu, memory),
        arrival=trace.arrival[rows],
        lifetime=trace.lifetime[rows],
        slot=slot,
    )


def order_events(
    placed_at: Floats, end: Floats, before: Floats | Whole, until: int, vms: Whole | None = None
) -> Events:
    """The placements in order, and each departure, at `end`, before the decision `before`.

    All are (P,), of the VMs that were placed in the order of decisions, `vms` (default: 0 to P - 1).
    Departures before decision `until` or a later one are left out.
    """
    decisions = np.arange(len(placed_at))
    placed = decisions if vms is None else vms
    seen = before < until
    time = np.concatenate([end[seen], placed_at])
    vm = np.concatenate([placed[seen], placed])
    departure = np.arange(len(time)) < seen.sum()
    decision = np.concatenate([before[seen], decisions])
    order = np.lexsort((vm, time, ~departure, decision))
    return Events(time[order], vm[order], departure[order])


def decisions(policy: Policy, lanes: Lanes, start: int, seed: int) -> Iterator[int]:
    """Play the episode in lane 0, which begins at `start`, as `policy.play` would.

    Yields the slot of every VM before it is placed there.
    """
    decide = policy.decider(lanes, start, seed)
    while lanes.running[0]:
        slot = decide(lanes)
        yield slot
        lanes.step(np.array([slot]))
