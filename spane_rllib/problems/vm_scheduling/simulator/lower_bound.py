"""LB2: a proven lower bound on the total wait of any first come, first served schedule without migration.

The relaxation pools all nodes into one, and in addition demands that the double VMs that run at the same time
can be packed into the servers from scratch. Whatever runs at some moment in a real schedule also fits in the
relaxation, and no VM starts later in the relaxation than in a real schedule (by induction over the queue), so
its waits bound every policy's waits VM by VM, even for policies that idle on purpose.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiled_arrays import borrowed, copy_into
from spane_rllib.core.compiling import compiled, included, inlined
from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.simulator.any_order_bound import any_order_bounds
from spane_rllib.problems.vm_scheduling.simulator.cluster import Cluster
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    ARRIVAL,
    CPU,
    DOUBLE,
    HEAD,
    LIFETIME,
    MEMORY,
    NOW,
    STOP,
    TOTAL_WAIT,
    LaneState,
    allocate,
    next_end,
    occupy,
    release_until,
    reset_lane,
)
from spane_rllib.problems.vm_scheduling.simulator.workload import Workload, WorkloadArrays, freeze

# The packing search gives up after this many tries and takes "packable" for an answer, which keeps the bound
# valid. On 2 to 9 servers of the Huawei trace it is never reached.
_PACKING_TRIES = 100_000


def lower_bounds(
    workload: Workload, cluster: Cluster, starts: npt.ArrayLike, vm_counts: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """A bound on the total wait (seconds) of each episode, shape (E,); `inf` where a VM can never be placed.

    LB2 where VMs are placed in order of arrival, else that of `any_order_bound`.
    """
    workload.check_cluster(cluster)
    starts, vm_counts = workload.check_episodes(starts, vm_counts)
    workload = workload.under(workload.queue)  # whatever is known
    work = workload.arrays
    assert work.growth is None, "only waits have a lower bound"
    if not workload.queue.is_fifo:
        return any_order_bounds(workload, cluster, starts, vm_counts)
    nodes = 1 + work.need[:, DOUBLE].astype(np.int64)
    pool = workload.pooled_units(cluster)
    if pool.max() > np.iinfo(np.int32).max:
        raise UserError(
            f"{cluster.servers} servers are too many to bound: their pooled cpu or memory is more than "
            f"{np.iinfo(np.int32).max} units of 1/{workload.units_per_core}; use fewer or coarser sizes"
        )
    pooled_need = np.zeros_like(work.need, np.int64)
    pooled_need[:, :2] = work.need[:, :2] * nodes[:, None]
    pooled = work._replace(need=pooled_need.astype(np.int32), capacity=pool.astype(np.int32)[None])
    freeze(pooled)  # so that it has the types for which the rules are compiled in any case
    # Largest first makes the greedy packing succeed most often and the search short.
    double_rows = np.flatnonzero(work.need[:, DOUBLE])
    flavours, flavour_of_double = np.unique(work.need[double_rows, :2], axis=0, return_inverse=True)
    size = (flavours / work.capacity[0]).max(axis=1) if len(flavours) else np.zeros(0)
    by_size = np.argsort(-size, kind="stable")
    flavour = np.full(len(work.need), -1, np.int32)
    flavour[double_rows] = np.argsort(by_size)[flavour_of_double.ravel()]
    scratch = allocate(1, 2, int(vm_counts.max(initial=1)))
    return _bounds(
        pooled,
        scratch,
        starts,
        vm_counts,
        flavour,
        np.ascontiguousarray(flavours[by_size], np.int32),
        workload.units_for_halves(cluster),
    )


@compiled
def _bounds(
    pooled: WorkloadArrays,
    scratch: LaneState,
    starts: npt.NDArray[np.int64],
    vm_counts: npt.NDArray[np.int64],
    flavour: npt.NDArray[np.int32],
    flavours: npt.NDArray[np.int32],
    nodes: npt.NDArray[np.int32],
) -> npt.NDArray[np.float64]:
    pooled, scratch = borrowed(pooled), borrowed(scratch)
    flavours, nodes = borrowed(flavours), borrowed(nodes)
    totals = np.empty(len(starts))
    free, counters, clocks = scratch.free[0], scratch.counters[0], scratch.clocks[0]
    longest = scratch.slot_of.shape[1]
    double_end = np.empty(longest)
    double_flavour = np.empty(longest, np.int32)
    bins = np.empty_like(nodes)
    counts = np.empty(len(flavours), np.int64)
    for episode in range(len(starts)):
        reset_lane(pooled, scratch, 0, starts[episode], vm_counts[episode])
        free[:, 1] = 0  # the pool is one node
        doubles = 0
        while counters[HEAD] < counters[STOP]:
            head = counters[HEAD]
            need, arrival = pooled.need[head], pooled.times[head, ARRIVAL]
            release_until(pooled, scratch, 0, arrival)
            seen = max(clocks[NOW], arrival)
            while True:
                if free[CPU, 0] >= need[CPU] and free[MEMORY, 0] >= need[MEMORY]:
                    if flavour[head] < 0:
                        break
                    # Forget the double VMs that have left, then see whether one more can be packed.
                    kept = 0
                    counts[:] = 0
                    for index in range(doubles):
                        if double_end[index] > seen:
                            double_end[kept] = double_end[index]
                            double_flavour[kept] = double_flavour[index]
                            counts[double_flavour[kept]] += 1
                            kept += 1
                    doubles = kept
                    counts[flavour[head]] += 1
                    if _packable(counts, flavours, nodes, bins):
                        break
                seen = next_end(pooled, scratch, 0)
                if seen == np.inf:
                    break
                release_until(pooled, scratch, 0, seen)
            if seen == np.inf:
                clocks[TOTAL_WAIT] = np.inf
                break
            clocks[NOW] = max(clocks[NOW], arrival)
            if flavour[head] >= 0:
                double_end[doubles] = clocks[NOW] + pooled.times[head, LIFETIME]
                double_flavour[doubles] = flavour[head]
                doubles += 1
            occupy(pooled, scratch, 0, 0)
        totals[episode] = clocks[TOTAL_WAIT]
    return totals


@inlined
def _packable(
    counts: npt.NDArray[np.int64],
    flavours: npt.NDArray[np.int32],
    nodes: npt.NDArray[np.int32],
    bins: npt.NDArray[np.int32],
) -> bool:
    """Whether `counts` VMs of each flavour can be packed into empty servers; True when the search gives up.

    Both nodes of a server hold the same halves of double VMs, so one of `nodes` (N, 2) stands for the server.
    """
    copy_into(bins, nodes)
    for index in range(len(flavours)):
        left = counts[index]
        for server in range(len(bins)):
            if left == 0:
                break
            cpu, memory = flavours[index, CPU], flavours[index, MEMORY]
            hosted = min(left, min(bins[server, CPU] // cpu, bins[server, MEMORY] // memory))
            bins[server, CPU] -= hosted * cpu
            bins[server, MEMORY] -= hosted * memory
            left -= hosted
        if left > 0:
            break
    else:
        return True
    cpu_over, memory_over, total = np.int64(0), np.int64(0), np.int64(0)
    for index in range(len(flavours)):
        cpu_over += counts[index] * flavours[index, CPU]
        memory_over += counts[index] * flavours[index, MEMORY]
        total += counts[index]
    for server in range(len(nodes)):
        cpu_over -= nodes[server, CPU]
        memory_over -= nodes[server, MEMORY]
    if cpu_over > 0 or memory_over > 0:
        return False
    items = np.empty(total, np.int64)
    position = 0
    for index in range(len(flavours)):
        for _ in range(counts[index]):
            items[position] = index
            position += 1
    return _search_packing(items, flavours, nodes, bins)


@included
def _search_packing(
    items: npt.NDArray[np.int64],
    flavours: npt.NDArray[np.int32],
    nodes: npt.NDArray[np.int32],
    bins: npt.NDArray[np.int32],
) -> bool:
    """Depth-first search over servers for each item in turn.

    Of servers with equal free room only the first is tried, and equal items take servers in order. (Of all
    packings the first in the order of servers survives both.)
    """
    copy_into(bins, nodes)
    choice = np.empty(len(items), np.int64)
    for index in range(len(items)):
        choice[index] = -1
    depth = 0
    for _ in range(_PACKING_TRIES):
        cpu, memory = flavours[items[depth], CPU], flavours[items[depth], MEMORY]
        server = choice[depth]
        if server >= 0:  # back from a dead end: take the item out of where it was
            bins[server, CPU] += cpu
            bins[server, MEMORY] += memory
        elif depth > 0 and items[depth] == items[depth - 1]:
            server = choice[depth - 1] - 1
        server += 1
        while server < len(bins):
            if bins[server, CPU] >= cpu and bins[server, MEMORY] >= memory:
                repeated = False
                for earlier in range(server):
                    if (
                        bins[earlier, CPU] == bins[server, CPU]
                        and bins[earlier, MEMORY] == bins[server, MEMORY]
                    ):
                        repeated = True
                        break
                if not repeated:
                    break
            server += 1
        if server < len(bins):
            bins[server, CPU] -= cpu
            bins[server, MEMORY] -= memory
            choice[depth] = server
            depth += 1
            if depth == len(items):
                return True
        else:
            choice[depth] = -1
            depth -= 1
            if depth < 0:
                return False
    return True
