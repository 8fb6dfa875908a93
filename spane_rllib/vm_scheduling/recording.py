"""Recording: the episode that evaluation plays, decision by decision, as a `Schedule`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spane_rllib import __version__
from spane_rllib.compiling import borrowed, compiled
from spane_rllib.errors import one_line
from spane_rllib.schedules.schedule import NOWHERE, Events, Schedule, Servers, Vms
from spane_rllib.schedules.schedule_file import write_schedule
from spane_rllib.vm_scheduling.policies import HeuristicPolicy, NetworkPolicy, Policy, ScorePolicy
from spane_rllib.vm_scheduling.simulator import Cluster, Lanes, Workload, probe_vm_counts
from spane_rllib.vm_scheduling.simulator.fragmentation import FragmentationArrays
from spane_rllib.vm_scheduling.simulator.heuristics import choose
from spane_rllib.vm_scheduling.simulator.rules import HEAD, NOW, STOP, LaneState
from spane_rllib.vm_scheduling.simulator.workload import WorkloadArrays

Decide = Callable[[Lanes], int]


def record_episodes(
    policies: Sequence[Policy],
    workload: Workload,
    cluster: Cluster,
    starts: npt.NDArray[np.int64],
    folder: Path,
    seed: int = 0,
) -> Iterator[Path]:
    """Record every policy from every start; yields each file, `POLICY-N-servers-start-ROW.npz`, once written.

    The length of each episode is that of `evaluation.evaluate_policy`.
    """
    vm_counts = probe_vm_counts(workload, cluster, starts)
    for policy, name in zip(policies, _file_names(policies), strict=True):
        for start, vm_count in zip(starts, vm_counts, strict=True):
            file = folder / f"{name}-{cluster.servers}-servers-start-{start}.npz"
            write_schedule(file, record_episode(policy, workload, cluster, int(start), int(vm_count), seed))
            yield file


def _file_names(policies: Sequence[Policy]) -> list[str]:
    """One distinct file name per policy; those of models are directories."""
    names: list[str] = []
    for policy in policies:
        name = unique = re.sub(r"[^\w.-]+", "-", policy.name).strip("-.")[-100:] or "policy"
        while unique in names:
            unique = f"{name}-{len(names)}"
        names.append(unique)
    return names


def record_episode(
    policy: Policy, workload: Workload, cluster: Cluster, start: int, vm_count: int, seed: int = 0
) -> Schedule:
    """The episode of `vm_count` VMs from row `start` that `policy.run` plays, with every decision.

    A VM that could never be placed (behind VMs that never end) and those behind it are on slot `NOWHERE`.
    """
    lanes = Lanes(workload, cluster)
    decide = _decider(policy, workload, cluster, start, seed)
    lanes.reset(0, start, vm_count)
    stop = int(lanes.state.counters[0, STOP])
    slot = np.full(stop - start, NOWHERE, np.int64)
    placed_at = np.full(stop - start, np.inf)
    while lanes.running[0]:
        vm = int(lanes.state.counters[0, HEAD]) - start
        slot[vm] = decide(lanes)
        placed_at[vm] = lanes.state.clocks[0, NOW]
        lanes.step(slot[vm : vm + 1])
    trace, rows = workload.trace, slice(start, stop)
    vms = Vms(
        number=np.arange(start, stop),
        cpu=trace.cpu[rows],
        memory=trace.memory[rows],
        double=trace.memory[rows] > cluster.double_memory_threshold,
        arrival=trace.arrival[rows],
        lifetime=trace.lifetime[rows],
        slot=slot,
    )
    return Schedule(
        policy=one_line(policy.name),
        trace=one_line(trace.name),
        trace_sha256=trace.sha256,
        start=start,
        source=f"spane_rllib {__version__} evaluate --record, seed {seed}",
        vms=vms,
        events=_events(vms, placed_at),
        servers=Servers(
            np.full(cluster.servers, cluster.node_cpu),
            np.full(cluster.servers, cluster.node_memory),
            np.full(cluster.servers, trace.arrival[start]),
        ),
    )


def _events(vms: Vms, placed_at: npt.NDArray[np.float64]) -> Events:
    """Placements in order, each after the departures due by then, as `rules.release_until` has it."""
    placed = np.flatnonzero(vms.slot != NOWHERE)
    placed_at = placed_at[placed]
    end = placed_at + vms.lifetime[placed]
    before = np.maximum(np.searchsorted(placed_at, end), np.arange(len(placed)) + 1)
    seen = before < len(placed)  # the rest departs after the last decision
    time = np.concatenate([end[seen], placed_at])
    vm = np.concatenate([placed[seen], placed])
    departure = np.arange(len(time)) < seen.sum()
    decision = np.concatenate([before[seen], np.arange(len(placed))])
    order = np.lexsort((vm, time, ~departure, decision))
    return Events(time[order], vm[order], departure[order])


def _decider(policy: Policy, workload: Workload, cluster: Cluster, start: int, seed: int) -> Decide:
    """What chooses the slot for the head VM of lane 0, as `policy.run` would."""
    if isinstance(policy, HeuristicPolicy | ScorePolicy):
        code, fragmentation = policy.heuristic(workload).compile(workload, cluster.servers)
        random = np.array([seed << 32 ^ start], np.uint64)  # as `episodes._run_episodes` begins an episode
        return lambda lanes: _choose(code, workload.arrays, lanes.state, random, fragmentation)
    if isinstance(policy, NetworkPolicy):
        from spane_rllib.vm_scheduling.networks.compiled import CompiledQNetwork

        network = CompiledQNetwork(policy.network)
        return lambda lanes: int(network.greedy_actions(*lanes.observations)[0])
    raise TypeError(f"cannot record decisions of a {type(policy).__name__}")


@compiled
def _choose(
    code: int,
    work: WorkloadArrays,
    state: LaneState,
    random: npt.NDArray[np.uint64],
    fragmentation: FragmentationArrays,
) -> int:
    return choose(code, borrowed(work), borrowed(state), 0, random, borrowed(fragmentation))
