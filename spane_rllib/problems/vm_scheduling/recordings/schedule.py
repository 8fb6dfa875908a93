"""A recorded schedule: every placement and departure of one episode, from which all else follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

NOWHERE = -1
"""The slot of a VM that was never placed."""
MAX_VMS = 1_000_000
MAX_SERVERS = 10_000
_ROUNDING = 1e-6  # cores or GiB


class Vms(NamedTuple):
    """The V VMs of an episode in order of arrival."""

    number: Whole  # (V,) row of the trace
    cpu: Floats  # (V,) cores, of both halves where the VM is double
    memory: Floats  # (V,) GiB, likewise
    double: Flags  # (V,) whether it lies in halves on both NUMA nodes of its server
    arrival: Floats  # (V,) seconds
    lifetime: Floats  # (V,) seconds from its placement; inf where it never ends or that is not known
    slot: Whole  # (V,) 2 * server + node; NOWHERE if it was never placed


class Events(NamedTuple):
    """The E placements and departures in the order in which they happened."""

    time: Floats  # (E,) seconds, not decreasing
    vm: Whole  # (E,) index into Vms
    departure: Flags  # (E,) False: placement


class Servers(NamedTuple):
    """The N servers, each of one NUMA node or two equal ones; servers of more are several here."""

    node_cpu: Floats  # (N,) cores of one node
    node_memory: Floats  # (N,) GiB of one node
    active_from: Floats  # (N,) seconds; before this time the server is not part of the cluster
    nodes: Whole  # (N,) 1 or 2

    @classmethod
    def of_two_nodes(cls, node_cpu: Floats, node_memory: Floats, active_from: Floats) -> Servers:
        """Servers of two nodes each."""
        return cls(node_cpu, node_memory, active_from, np.full(len(node_cpu), 2))


class NodeChanges(NamedTuple):
    """What events change on NUMA nodes: one row per event, two for a double VM."""

    event: Whole  # (C,) index into Events, not decreasing
    slot: Whole  # (C,)
    cpu: Floats  # (C,) cores taken, negative where they are given back
    memory: Floats  # (C,) GiB, likewise


@dataclass(frozen=True, eq=False)
class Schedule:
    """One episode under one policy.

    Args:
        policy: its name or the directory of its model.
        trace: name of the trace.
        trace_sha256: hash of the trace's content (`VmTrace.sha256`); empty when not known.
        start: row of the trace at which the episode begins.
        source: what made the recording.
        scenario: what the scenario is called whose episodes end with the first VM that fits nowhere; empty
            where VMs wait.
        queue: the queue discipline; with another than first come, first served, VMs may pass others.

    Raises:
        ValueError: the parts contradict each other; the message says where.
    """

    policy: str
    trace: str
    trace_sha256: str
    start: int
    source: str
    vms: Vms
    events: Events
    servers: Servers
    scenario: str = ""
    queue: str = FIFO.text

    def __post_init__(self) -> None:
        _check_vms(self.vms, len(self.servers.node_cpu))
        _check_servers(self.servers)
        _check_events(self.events, self.vms, self.servers, self.queue == FIFO.text)
        _check_capacity(self)
        if self.scenario:
            placed = (self.vms.slot[:-1] != NOWHERE).all()
            _require(placed and self.total_wait == 0, "VMs wait, but nobody does in a scenario")

    @property
    def placed_at(self) -> Floats:
        """(V,) time of placement, seconds; NaN for a VM that was never placed."""
        times = np.full(len(self.vms.number), np.nan)
        placements = ~self.events.departure
        times[self.events.vm[placements]] = self.events.time[placements]
        return times

    @property
    def wait(self) -> Floats:
        """(V,) seconds from arrival to placement; NaN for a VM that was never placed."""
        return self.placed_at - self.vms.arrival

    @property
    def total_wait(self) -> float:
        """Sum of the waits of the VMs that were placed, seconds."""
        return float(np.nansum(self.wait))

    def node_changes(self) -> NodeChanges:
        """What the events change on NUMA nodes, in order."""
        vm = self.events.vm
        double = self.vms.double[vm]
        event = np.repeat(np.arange(len(vm)), 1 + double)
        second = np.concatenate([[False], event[1:] == event[:-1]])
        row = vm[event]
        slot = np.where(double[event], self.vms.slot[row] // 2 * 2 + second, self.vms.slot[row])
        share = np.where(self.events.departure[event], -1.0, 1.0) / (1 + double[event])
        return NodeChanges(event, slot, share * self.vms.cpu[row], share * self.vms.memory[row])


def _require(condition: bool | np.bool_, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _same_length(table: Vms | Events | Servers) -> None:
    lengths = {name: np.shape(column) for name, column in table._asdict().items()}
    name = type(table).__name__.lower()
    _require(len(set(lengths.values())) == 1, f"the columns of {name} differ in length: {lengths}")


def _check_vms(vms: Vms, servers: int) -> None:
    _same_length(vms)
    _require(1 <= len(vms.number) <= MAX_VMS, f"{len(vms.number)} VMs; allowed are 1 to {MAX_VMS:,}")
    for name in ("cpu", "memory"):
        sizes = getattr(vms, name)
        _require(np.isfinite(sizes).all() and (sizes >= 0).all(), f"a VM's {name} is negative or no number")
    _require(np.isfinite(vms.arrival).all(), "an arrival is no finite time")
    _require((np.diff(vms.arrival) >= 0).all(), "the VMs are not in order of arrival")
    _require((vms.lifetime > 0).all(), "a lifetime is not positive")
    known = (vms.slot >= NOWHERE) & (vms.slot < 2 * servers)
    _require(known.all(), f"a VM lies on a slot outside 0 to {2 * servers - 1}")


def _check_servers(servers: Servers) -> None:
    _same_length(servers)
    count = len(servers.node_cpu)
    _require(1 <= count <= MAX_SERVERS, f"{count} servers; allowed are 1 to {MAX_SERVERS:,}")
    for name, column in servers._asdict().items():
        _require(np.isfinite(column).all(), f"a server's {name} is no finite number")
    _require((servers.node_cpu > 0).all() and (servers.node_memory > 0).all(), "a server has no capacity")
    _require(((servers.nodes == 1) | (servers.nodes == 2)).all(), "a server has neither one nor two nodes")


def _check_events(events: Events, vms: Vms, servers: Servers, in_line: bool) -> None:
    _same_length(events)
    time, vm, departure = events
    _require(np.isfinite(time).all() and (np.diff(time) >= 0).all(), "the events are not in order of time")
    _require(((vm >= 0) & (vm < len(vms.number))).all(), "an event is of a VM that there is none")
    placements, departures = np.flatnonzero(~departure), np.flatnonzero(departure)
    placed = vm[placements]
    if in_line:  # the n-th decision is on the n-th VM
        _require(np.array_equal(placed, np.arange(len(placed))), "VMs are not placed in order of arrival")
    _require(np.array_equal(np.sort(placed), np.flatnonzero(vms.slot >= 0)), "slots and placements differ")
    _require((time[placements] >= vms.arrival[placed]).all(), "a VM is placed before it arrives")
    _require(len(np.unique(vm[departures])) == len(departures), "a VM departs twice")
    position = np.full(len(vms.number), len(vm))
    position[placed] = placements
    _require((position[vm[departures]] < departures).all(), "a VM departs before it is placed")
    active = time[placements] >= servers.active_from[vms.slot[placed] // 2]
    _require(active.all(), "a VM is placed on a server before the server is active")


def _check_capacity(schedule: Schedule) -> None:
    changes, servers = schedule.node_changes(), schedule.servers
    order = np.argsort(changes.slot, kind="stable")
    slot = changes.slot[order]
    first = np.flatnonzero(np.diff(slot, prepend=-1))
    for name, change, capacity in (
        ("cores", changes.cpu[order], servers.node_cpu),
        ("GiB", changes.memory[order], servers.node_memory),
    ):
        used = np.cumsum(change)
        before = np.concatenate([[0.0], used])[first]
        used -= np.repeat(before, np.diff(first, append=len(used)))
        room = capacity[slot // 2] * (slot % 2 < servers.nodes[slot // 2])
        over = np.flatnonzero(used > room + _ROUNDING)
        if len(over):
            at = over[np.argmin(changes.event[order][over])]
            raise ValueError(
                f"event {changes.event[order][at]} fills node {slot[at] % 2} of server {slot[at] // 2} with "
                f"{used[at]:g} of {room[at]:g} {name}"
            )
