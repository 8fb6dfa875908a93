"""What is remembered of the servers of a large cluster, so that a decision need not look at every one.

Three trees hold the most free cpu, the most free memory and the largest imbalance of a server among ever
larger groups of neighbours: a search leaves out groups in which nothing can be found. A tree of n leaves is
an array of 2 n: node k has the children 2 k and 2 k + 1, and the leaves come last, in the order of servers.

For heuristics whose order of preference depends on the VM, each kind of VM has a tournament of its own; see
`tournaments`. These are brought up to date when a VM of the kind is placed, by the list of what has changed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.simulator.cluster import NODES_PER_SERVER

SLOTS_OF_LEAF = 4 * NODES_PER_SERVER
"""Slots that are a leaf of the three trees."""
SHARE, IMBALANCE = 2, 3  # columns of `ServerIndex.most`, after those of cpu and memory
COLUMNS = 4
_LARGEST_TABLE = 2**21  # places of servers in tournaments


class ServerIndex(NamedTuple):
    """What is remembered of the N servers of a lane; K kinds of VMs, R tournaments."""

    # (nodes, COLUMNS) of a NUMA node the most free units of cpu, and of memory, and the largest free share;
    # the largest difference of the free shares of a server's nodes. -1 where there are no servers.
    most: npt.NDArray[np.float64]
    changes: npt.NDArray[np.int64]  # (1,) how often a server has changed
    changed: npt.NDArray[np.int32]  # (C,) which ones, the k-th change at k modulo C
    # Kind k has tournament k modulo R.
    kind: npt.NDArray[np.int32]  # (n,) as Workload.kind
    kind_of: npt.NDArray[np.int32]  # (R,) whose tournament it is
    seen: npt.NDArray[np.int64]  # (R,) `changes` at the last decision for that kind
    is_ready: npt.NDArray[np.bool_]  # (R,) whether the tournament is of that moment
    slot: npt.NDArray[np.int32]  # (R, N) the best slot of each server, -1 if the VM does not fit
    score: npt.NDArray[np.float64]  # (R, N, 3) of that slot; the least wins, the first number counts first
    winner: npt.NDArray[np.int32]  # (R, tournament) the server that wins, -1 if the VM fits none


def server_index(servers: int, kind: npt.NDArray[np.int32]) -> ServerIndex:
    """An index for one lane; `kind` is that of the workload, empty for no tournaments."""
    nodes = 2 * _power_of_two(NODES_PER_SERVER * servers // SLOTS_OF_LEAF + 1)
    kinds = int(kind.max(initial=-1)) + 1
    rows = min(kinds, max(1, _LARGEST_TABLE // servers))
    return ServerIndex(
        np.full((nodes, COLUMNS), -1.0),
        np.zeros(1, np.int64),
        np.zeros(_power_of_two(servers // 4), np.int32),
        kind,
        np.full(rows, -1, np.int32),
        np.zeros(rows, np.int64),
        np.zeros(rows, np.bool_),
        np.zeros((rows, servers), np.int32),
        np.zeros((rows, servers, 3)),
        np.full((rows, 2 * _power_of_two(servers)), -1, np.int32),
    )


def _power_of_two(least: int) -> int:
    return 1 << max(0, least - 1).bit_length()


@inlined
def after_subtree(node: int) -> int:
    """The node of a tree that comes after `node` and all below it, from left to right; 0 after the last."""
    while node & 1:
        node >>= 1
    return node + 1 if node > 0 else 0


@inlined
def _summarize(
    index: ServerIndex, free: npt.NDArray[np.int32], share: npt.NDArray[np.float64], leaf: int
) -> None:
    cpu, memory = free[0], free[1]
    most_cpu = most_memory = most_share = imbalance = -1.0
    first, slots = leaf * SLOTS_OF_LEAF, len(cpu)
    for place in range(0, SLOTS_OF_LEAF, 2):  # unrolled, which takes half the time of one up to the last slot
        slot = first + place
        if slot < slots:
            most_cpu = max(most_cpu, np.float64(max(cpu[slot], cpu[slot + 1])))
            most_memory = max(most_memory, np.float64(max(memory[slot], memory[slot + 1])))
            most_share = max(most_share, share[slot], share[slot + 1])
            imbalance = max(imbalance, abs(share[slot] - share[slot + 1]))
    most = index.most[(len(index.most) >> 1) + leaf]
    most[0], most[1], most[SHARE], most[IMBALANCE] = most_cpu, most_memory, most_share, imbalance


@inlined
def _combine(index: ServerIndex, node: int) -> bool:
    """Bring a node that is no leaf up to date; whether it has changed."""
    left, right, most = index.most[2 * node], index.most[2 * node + 1], index.most[node]
    has_changed = False
    for column in range(COLUMNS):
        new = max(left[column], right[column])
        has_changed |= new != most[column]
        most[column] = new
    return has_changed


@inlined
def least_of(need: npt.NDArray[np.int32], capacity: npt.NDArray[np.int32]) -> tuple[float, float, float]:
    """What the first columns of `ServerIndex.most` are at least where a VM of `need` fits.

    `capacity` (2,) is that of the largest node.
    """
    # What fits in both respects has as large a share as the lesser of what it needs.
    return (
        np.float64(need[0]),
        np.float64(need[1]),
        min(need[0] / capacity[0], need[1] / capacity[1]),
    )


@inlined
def may_fit(most: npt.NDArray[np.float64], least: tuple[float, float, float]) -> bool:
    """Whether the VM of `least` may fit a server of the node with `most`."""
    return bool((most[0] >= least[0]) & (most[1] >= least[1]) & (most[SHARE] >= least[2]))


@inlined
def note_change(index: Any, free: npt.NDArray[np.int32], share: npt.NDArray[np.float64], slot: int) -> None:
    """After a change on the server of `slot`; `free` and `share` are those of the lane."""
    if index is not None:
        changes = index.changes[0]
        index.changed[changes & (len(index.changed) - 1)] = slot >> 1
        index.changes[0] = changes + 1
        leaf = slot // SLOTS_OF_LEAF
        _summarize(index, free, share, leaf)
        node = ((len(index.most) >> 1) + leaf) >> 1
        while node > 0 and _combine(index, node):
            node >>= 1


@inlined
def note_all(index: Any, free: npt.NDArray[np.int32], share: npt.NDArray[np.float64], lane: int) -> None:
    """The same after all servers of a lane have changed; `free` and `share` are those of all lanes."""
    if index is not None:
        index.changes[0] += len(index.changed) + 1  # more than a tournament can catch up with
        leaves = len(index.most) >> 1
        for leaf in range(leaves):
            _summarize(index, free[lane], share[lane], leaf)
        for node in range(leaves - 1, 0, -1):
            _combine(index, node)
