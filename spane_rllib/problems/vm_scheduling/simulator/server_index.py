"""What is remembered of the servers of a large cluster, so that a decision need not look at every one.

By who decides, some of three things. A tree holds the most free cpu, the most free memory and the largest
imbalance of a server among ever larger groups of neighbours: a search leaves out groups in which nothing can
be found. A tree of n leaves is an array of 2 n: node k has the children 2 k and 2 k + 1, and the leaves come
last, in the order of servers. For heuristics whose order of preference depends on the VM, there is a
`Ranking`. Whoever remembers servers is told which ones have changed since.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.simulator.cluster import NODES_PER_SERVER

SLOTS_OF_LEAF = 4 * NODES_PER_SERVER
"""Slots that are a leaf of the tree."""
SHARE, IMBALANCE = 2, 3  # columns of `ServerIndex.most`, after those of cpu and memory
COLUMNS = 4


class StaleServers(NamedTuple):
    """Servers of the N of a lane that have changed since they were last looked at, each once."""

    servers: npt.NDArray[np.int32]  # (N,) of which the first are used
    is_stale: npt.NDArray[np.bool_]  # (N,)
    number: npt.NDArray[np.int64]  # (1,) how many those are

    @classmethod
    def none_of(cls, servers: int) -> StaleServers:
        """None, of so many servers."""
        return cls(np.zeros(servers, np.int32), np.zeros(servers, np.bool_), np.zeros(1, np.int64))


class ServerIndex(NamedTuple):
    """What is remembered of the servers of a lane; what nobody asks for is None."""

    # (nodes, COLUMNS) float64, of a NUMA node the most free units of cpu, and of memory, and the largest free
    # share; the largest difference of the free shares of a server's nodes. -1 where there are no servers.
    most: Any
    ranking: Any  # Ranking
    stale: Any  # StaleServers


def tree_of(servers: int) -> npt.NDArray[np.float64]:
    """`ServerIndex.most` for so many servers."""
    return np.full((2 * power_of_two(NODES_PER_SERVER * servers // SLOTS_OF_LEAF + 1), COLUMNS), -1.0)


def power_of_two(least: int) -> int:
    """The smallest one that is at least `least`."""
    return 1 << max(0, least - 1).bit_length()


@inlined
def after_subtree(node: int, child_bits: int) -> int:
    """The node of a tree that comes after `node` and all below it, from left to right; 0 after the last.

    A node k has 2^b children from 2^b k on, with b = `child_bits`; the root is 1.
    """
    last = (1 << child_bits) - 1
    while node & last == last:
        node >>= child_bits
    return node + 1 if node > 1 else 0


@inlined
def _summarize(
    tree: npt.NDArray[np.float64], free: npt.NDArray[np.int32], share: npt.NDArray[np.float64], leaf: int
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
    most = tree[(len(tree) >> 1) + leaf]
    most[0], most[1], most[SHARE], most[IMBALANCE] = most_cpu, most_memory, most_share, imbalance


@inlined
def _combine(tree: npt.NDArray[np.float64], node: int) -> bool:
    """Bring a node that is no leaf up to date; whether it has changed."""
    left, right, most = tree[2 * node], tree[2 * node + 1], tree[node]
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
        _climb(index.most, free, share, slot)
        _note_stale(index.stale, slot >> 1)


@inlined
def _climb(most: Any, free: npt.NDArray[np.int32], share: npt.NDArray[np.float64], slot: int) -> None:
    if most is not None:
        leaf = slot // SLOTS_OF_LEAF
        _summarize(most, free, share, leaf)
        node = ((len(most) >> 1) + leaf) >> 1
        while node > 0 and _combine(most, node):
            node >>= 1


@inlined
def _note_stale(stale: Any, server: int) -> None:
    if stale is not None:  # noqa: SIM102  # by itself, so that nothing is compiled where there is none
        if not stale.is_stale[server]:
            stale.is_stale[server] = True
            stale.servers[stale.number[0]] = server
            stale.number[0] += 1


@inlined
def note_all(index: Any, free: npt.NDArray[np.int32], share: npt.NDArray[np.float64], lane: int) -> None:
    """The same after all servers of a lane have changed; `free` and `share` are those of all lanes."""
    if index is not None:
        _summarize_all(index.most, free, share, lane)
        note_all_stale(index.stale)


@inlined
def _summarize_all(most: Any, free: npt.NDArray[np.int32], share: npt.NDArray[np.float64], lane: int) -> None:
    if most is not None:
        leaves = len(most) >> 1
        for leaf in range(leaves):
            _summarize(most, free[lane], share[lane], leaf)
        for node in range(leaves - 1, 0, -1):
            _combine(most, node)


@inlined
def note_all_stale(stale: Any) -> None:
    """All servers are to be looked at anew."""
    if stale is not None:
        for server in range(len(stale.servers)):
            stale.servers[server] = server
            stale.is_stale[server] = True
        stale.number[0] = len(stale.servers)
