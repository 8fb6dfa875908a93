"""A trace compiled for one kind of server: whole-number resources and departures sorted in advance."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.lifetimes import UNKNOWN, Lifetimes
from spane_rllib.problems.vm_scheduling.placement import placeable
from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO, Queue
from spane_rllib.problems.vm_scheduling.reference_cluster import VM_SIZES
from spane_rllib.problems.vm_scheduling.simulator.cluster import NODES_PER_SERVER, Cluster

# How many parts of a core or GiB the simulator may have to tell apart, tried in this order.
RESOLUTIONS = (1, 2, 4, 5, 8, 10, 16, 20, 50, 100, 1000, 1024)
_LARGEST_CAPACITY = 2**30


class WorkloadArrays(NamedTuple):
    """What the compiled rules read; shared by all lanes and never written.

    A VM that starts the moment it arrives ends at arrival + lifetime, which is known in advance. `end_time`
    and `end_vm` list those ends in order, so the departures of VMs that did not wait are read off this list
    and only VMs that waited need a queue.

    `growth` decides when a kernel is compiled which objective it is for. Nobody waits in the allocations
    objective, so all that counts about an end is the creation it comes before: `end_time` holds that row.
    `queue` decides in the same way whether VMs wait in line, or by another discipline.
    """

    need: npt.NDArray[np.int32]  # (n, 4) units of cpu and memory on each node it uses, 1 if on both; size
    times: npt.NDArray[np.float64]  # (n, 2) arrival, lifetime, seconds
    end_time: npt.NDArray[np.float64]  # (n,) arrival + lifetime, seconds, or row; sorted
    end_vm: npt.NDArray[np.int32]  # (n,) the VM that ends then
    # (1, 2) units of cpu and memory of a node; (1 + slots, 2) where nodes differ: the largest, which shares
    # are of, then every node.
    capacity: npt.NDArray[np.int32]
    # Of the allocations objective alone, else None:
    growth: Any = None  # (3,) float64, servers at first, servers added at a time, used share that adds
    # Of queue disciplines other than first come, first served, and where lifetimes are known, else None:
    # (6,) float64, fields of `Queue`, and 1 if running VMs are listed; see `queue_rules`
    queue: Any = None
    estimate: Any = None  # (n,) float64, lifetimes as the scheduler knows them, seconds


class Workload:
    """`trace` as the simulator sees it on servers like those of `cluster`.

    The number of servers does not matter unless they are in groups.

    Raises:
        UserError: a VM does not fit an empty server (it would wait for ever), or sizes are too fine-grained
            to be counted in whole units.
    """

    def __init__(self, trace: VmTrace, cluster: Cluster) -> None:
        self.trace = trace
        self.cluster = cluster
        nodes = np.array(self.node_sizes())
        resolution = _resolution(trace, nodes)
        # One unit is half of the finest part, so that halves of a double VM are whole numbers too.
        scale = NODES_PER_SERVER * resolution
        self.units_per_core = scale
        with np.errstate(over="ignore"):  # refused below
            sizes = np.rint(nodes * scale)
        if sizes.max() > _LARGEST_CAPACITY:
            raise UserError(
                f"a node of {cluster.node_cpu} cpu x {cluster.node_memory} GiB is too large to count"
            )
        double = self.is_double(trace.cpu, trace.memory)
        share = np.where(double, scale / NODES_PER_SERVER, scale)
        need = np.empty((len(trace), 4), np.int64)
        need[:, 0] = np.rint(trace.cpu * share)
        need[:, 1] = np.rint(trace.memory * share)
        need[:, 2] = double
        # A small VM is on one of the two nodes of a server, a double one takes the same share of both.
        of_server = (need[:, :2] / sizes.max(axis=0)).max(axis=1) * np.where(
            double, 1.0, 1 / NODES_PER_SERVER
        )
        need[:, 3] = np.searchsorted([*VM_SIZES.values()][:-1], of_server - 1e-9)
        too_large = np.flatnonzero(~placeable(trace, double, self._server_kinds()))
        if len(too_large):
            vm = int(too_large[0])
            kind = f"2 x ({cluster.node_cpu:g} cpu, {cluster.node_memory:g} GiB)"
            raise UserError(
                f"{trace.name}: VM {vm} needs {trace.cpu[vm]:g} cpu x {trace.memory[vm]:g} GiB, more than an "
                f"empty server of {cluster.text if cluster.groups else kind} can hold "
                f"({len(too_large)} such VMs); use larger servers or drop these VMs"
            )
        times = np.stack([trace.arrival, trace.lifetime], axis=1)
        of_slots = np.rint(self._of_every_slot() * scale)
        capacity = np.concatenate([sizes.max(axis=0, keepdims=True), of_slots]).astype(np.int32)
        self.arrays = self._compile(np.ascontiguousarray(need, np.int32), times, capacity)
        # First Fit run lengths by number of servers, filled by `probe_vm_counts`; 0 = not probed yet.
        self.probed: dict[int, npt.NDArray[np.int32]] = {}
        self.queue = FIFO
        self.lifetimes = UNKNOWN
        freeze(self.arrays)

    def __len__(self) -> int:
        return len(self.trace)

    def node_sizes(self) -> list[tuple[float, float]]:
        """(cores, GiB) of every kind of node."""
        kinds = {(group.node_cpu, group.node_memory) for group in self.cluster.groups}
        return sorted(kinds) or [(self.cluster.node_cpu, self.cluster.node_memory)]

    def _server_kinds(self) -> npt.NDArray[np.float64]:
        """(K, 2, 2) or (K, 2) cores and GiB of the nodes of every kind of server; see `placeable`."""
        return self.cluster.kinds()

    def _of_every_slot(self) -> npt.NDArray[np.float64]:
        """(slots, 2) cores and GiB of every slot; (0, 2) where all are equal, however many."""
        return self.cluster.node_sizes() if self.cluster.groups else np.zeros((0, 2))

    def is_double(self, cpu: npt.ArrayLike, memory: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether VMs of so many cores and GiB are split over both nodes of a server."""
        return self.cluster.is_double(cpu, memory)

    def _compile(
        self, need: npt.NDArray[np.int32], times: npt.NDArray[np.float64], capacity: npt.NDArray[np.int32]
    ) -> WorkloadArrays:
        """What the rules read."""
        end = times.sum(axis=1)
        order = np.argsort(end, kind="stable")
        return WorkloadArrays(need, times, end[order], order.astype(np.int32), capacity)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        # Rebuilt rather than copied: unpickled arrays would be writable, another type to the compiled rules.
        return _rebuilt, (self.trace, self.cluster, self.queue, self.lifetimes)

    def under(self, queue: Queue, lifetimes: Lifetimes = UNKNOWN) -> Workload:
        """The same VMs under another queue discipline, and what is known of them; all else is shared."""
        if (queue, lifetimes) == (self.queue, self.lifetimes):
            return self
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.queue, other.lifetimes = queue, lifetimes
        other.arrays = self.arrays._replace(queue=None, estimate=None)
        # The rules of queues with a depth of 1 are first come, first served, and list what runs if asked.
        if lifetimes.is_known or not queue.is_fifo:
            listed = lifetimes.is_known or queue.reservations > 0
            settings = (queue.depth, queue.patience, queue.reservations, listed, queue.order, queue.holds)
            rule = np.array(settings, np.float64)
            other.arrays = other.arrays._replace(queue=rule, estimate=lifetimes.of(self.arrays.times[:, 1]))
            freeze(other.arrays)
        return other

    def vms_by_size(
        self, starts: npt.NDArray[np.int64], vm_counts: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """(E, len(VM_SIZES)) VMs of each size among the `vm_counts[e]` from row `starts[e]`."""
        return self._counted_sizes[starts + vm_counts] - self._counted_sizes[starts]

    @cached_property
    def _counted_sizes(self) -> npt.NDArray[np.int64]:
        """(n + 1, len(VM_SIZES)) VMs of each size before each row."""
        is_size = self.arrays.need[:, 3, None] == np.arange(len(VM_SIZES))
        return np.concatenate([np.zeros((1, len(VM_SIZES)), np.int64), is_size.cumsum(axis=0)])

    def __deepcopy__(self, memo: dict[int, object]) -> Workload:
        return self  # never changes

    def pooled_units(self, cluster: Cluster) -> npt.NDArray[np.int64]:
        """(2,) units of cpu and memory of all nodes of `cluster` together."""
        capacity = self.arrays.capacity.astype(np.int64)
        return capacity[1:].sum(axis=0) if len(capacity) > 1 else capacity[0] * cluster.slots

    def units_for_halves(self, cluster: Cluster) -> npt.NDArray[np.int32]:
        """(N, 2) units of cpu and memory that a double VM can have on either node of every server."""
        capacity = self.arrays.capacity
        if len(capacity) == 1:
            return np.repeat(capacity, cluster.servers, axis=0)
        return np.ascontiguousarray(capacity[1:].reshape(-1, NODES_PER_SERVER, 2).min(axis=1))

    @cached_property
    def kind(self) -> npt.NDArray[np.int32]:
        """(n,) numbers from 0, the same for VMs that need the same."""
        cpu, memory, double, _ = self.arrays.need.T.astype(np.int64)
        return np.unique(cpu << 32 | memory << 1 | double, return_inverse=True)[1].astype(np.int32)

    def check_cluster(self, cluster: Cluster) -> None:
        """Raise a `ValueError` unless `cluster` has servers of the type this was compiled for."""
        if replace(cluster, servers=self.cluster.servers) != self.cluster:
            raise ValueError(f"the workload was compiled for servers like {self.cluster}, not {cluster}")

    def check_episodes(
        self, starts: npt.ArrayLike, vm_counts: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Both as arrays of shape (E,), broadcast, with counts cut at the end of the trace.

        Raises:
            UserError: an episode cannot begin at one of `starts`.
            ValueError: the shapes do not go together, or a count is less than 1.
        """
        rows, counts = np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(x, np.int64)) for x in (starts, vm_counts))
        )
        if rows.ndim != 1 or counts.min(initial=1) < 1:
            raise ValueError("starts and vm_counts must be one-dimensional and vm_counts at least 1")
        self.check_starts(rows)
        return rows.copy(), np.minimum(counts, len(self))

    def check_starts(self, starts: npt.NDArray[np.int64]) -> None:
        """Raise a `UserError` unless an episode can begin at every row of `starts`."""
        last = len(self) - 2  # an episode ends when the last row is reached, so that row is never placed
        wrong = np.flatnonzero((starts < 0) | (starts > last))
        if len(wrong):
            raise UserError(
                f"start {starts[wrong[0]]} (position {wrong[0]}) is outside {self.trace.name}; "
                f"allowed are 0 to {last}"
            )


def compile_workload(
    trace: VmTrace, cluster: Cluster, queue: Queue = FIFO, lifetimes: Lifetimes = UNKNOWN
) -> Workload:
    """`Workload(trace, cluster)`, made once per process for each trace object and type of server."""
    servers = cluster if cluster.groups else replace(cluster, servers=1)
    return _compile_workload(trace, servers).under(queue, lifetimes)


def _rebuilt(trace: VmTrace, cluster: Cluster, queue: Queue, lifetimes: Lifetimes) -> Workload:
    return Workload(trace, cluster).under(queue, lifetimes)


def freeze(arrays: WorkloadArrays) -> None:
    """Make the arrays read-only, which to a compiled function is another type."""
    for array in arrays:
        if array is not None:
            array.flags.writeable = False


@lru_cache(maxsize=4)
def _compile_workload(trace: VmTrace, server_type: Cluster) -> Workload:
    return Workload(trace, server_type)


def _resolution(trace: VmTrace, nodes: npt.NDArray[np.float64]) -> int:
    resolution = resolution_of(np.concatenate([trace.cpu, trace.memory, nodes.ravel()]))
    if resolution is None:
        raise UserError(
            f"{trace.name}: cpu and memory must be multiples of 1/1000 or 1/1024; round them first"
        )
    return resolution


def resolution_of(sizes: npt.ArrayLike) -> int | None:
    """The least of `RESOLUTIONS` whose parts all sizes, cores or GiB, are whole numbers of; None without."""
    distinct = np.unique(np.asarray(sizes, np.float64))
    for resolution in RESOLUTIONS:
        scaled = distinct * resolution
        if np.all(np.abs(scaled - np.rint(scaled)) < 1e-6):
            return resolution
    return None
