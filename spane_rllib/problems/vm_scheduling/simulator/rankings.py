"""How well a heuristic likes each server of a large cluster for each kind of VM, for a `ServerIndex`.

What a server is worth to a kind of VM depends on nothing but what is free on it. A tree has a column for each
kind: its leaves say which place a server has in the order of preference, the least is best, and a node holds
the least of its children. So the root says whether a VM fits anywhere, and the way down where it goes. A tree
of n leaves is an array of 2 n rows: node k has the children 4 k to 4 k + 3, and the leaves come last, in the
order of servers. All columns of a row are compared by the same vector instructions.

A server whose free units have been seen before, on whichever server and node, has the row of then.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.vm_scheduling.simulator.fragmentation import FragmentationArrays
from spane_rllib.problems.vm_scheduling.simulator.heuristic_codes import FGD, SBF
from spane_rllib.problems.vm_scheduling.simulator.least_rows import CHILDREN, WIDTH
from spane_rllib.problems.vm_scheduling.simulator.server_index import power_of_two
from spane_rllib.problems.vm_scheduling.simulator.workload import Workload

RANKED_KINDS = 64
"""The most kinds of VMs that are ranked, as many as `Ranking.second` has bits; of more, the most frequent."""
NOWHERE = 2**31 - 1
"""In place of a place, that the VM does not fit."""
_FEWEST_SLOTS = 2**17  # of `Ranking.known_at`
_PLACES = 2**13  # in `Ranking.held` for each column
_DISPUTED = 2**14
_CACHE_LINE = 64  # bytes
_MOST_UNITS = 600  # of a node whose shares are counted out


class Ranking(NamedTuple):
    """The N servers of a lane for K kinds of VMs; W is K rounded up, R rows are for what has been seen."""

    code: int  # of the heuristic
    fragmentation: FragmentationArrays
    kind: npt.NDArray[np.int32]  # (n,) as Workload.kind
    column: npt.NDArray[np.int32]  # (all kinds,) that of each, -1 for none
    need: npt.NDArray[np.int32]  # (K, 4) as WorkloadArrays.need
    least: npt.NDArray[np.int32]  # (nodes, W) the tree
    second: npt.NDArray[np.int64]  # (N,) bits, whether the VM goes to the second node of the server
    row: npt.NDArray[np.int32]  # (N,) that of what is known
    known_rows: npt.NDArray[np.int64]  # (1,) how many are used
    known_at: npt.NDArray[np.int32]  # (T,) a table with open addressing of what is free: its row, or -1
    known_free: npt.NDArray[np.int32]  # (R, 4) free units of cpu on both nodes, then of memory
    known_least: npt.NDArray[np.int32]  # (R, W)
    known_second: npt.NDArray[np.int64]  # (R, 2) as `second`, and that of a server with its nodes exchanged
    # Whether places are counted out, so that servers of one place are equally good. Else a place is the score
    # in float32, whose last bits tell almost equal scores apart, and how full server and node are.
    is_exact: bool
    # What is needed for that, without rows where places are exact.
    known_score: npt.NDArray[np.float64]  # (R, W)
    known_share: npt.NDArray[np.float64]  # (R, 2) free shares of both nodes
    # A table with open addressing of who was first at a place: W place + column, or inf, and the standing.
    held: npt.NDArray[np.float64]  # (H, 4)
    held_places: npt.NDArray[np.int64]  # (1,) how many are used
    disputed: npt.NDArray[np.bool_]  # (D,) by hash: whether those of one place may differ in standing
    shares: npt.NDArray[np.int32]  # (2, largest capacity + 1) rank of the free share by free cpu, by memory
    pairs: npt.NDArray[np.int32]  # (S, S) rank of the sum of two shares by their ranks
    sums: int  # how many ranks these are


def ranking_of(servers: int, workload: Workload, code: int, fragmentation: FragmentationArrays) -> Ranking:
    """An empty one for heuristic `code`, whose choice must depend on each server by itself."""
    frequent = np.argsort(-np.bincount(workload.kind), kind="stable")[:RANKED_KINDS]
    column = np.full(int(workload.kind.max(initial=-1)) + 1, -1, np.int32)
    column[frequent] = np.arange(len(frequent))
    vms = np.zeros(len(column), np.int64)
    vms[workload.kind] = np.arange(len(workload.kind))  # any of the kind
    width = -(-len(frequent) // WIDTH) * WIDTH
    leaves = CHILDREN
    while leaves < servers:
        leaves *= CHILDREN
    slots = max(_FEWEST_SLOTS, 4 * power_of_two(servers))
    rows = slots // 2
    shares, pairs, sums = _exact_ranks(workload, code, fragmentation)
    least = _aligned(2 * leaves, width, np.int32)
    least[:] = NOWHERE
    is_exact = sums > 0
    held = _aligned(0 if is_exact else power_of_two(_PLACES * width), 4, np.float64)
    held[:] = np.inf
    return Ranking(
        code,
        fragmentation,
        workload.kind,
        column,
        np.ascontiguousarray(workload.arrays.need[vms[frequent]]),
        least,
        np.zeros(servers, np.int64),
        np.zeros(servers, np.int32),
        np.zeros(1, np.int64),
        np.full(slots, -1, np.int32),
        np.empty((rows, 4), np.int32),
        _aligned(rows, width, np.int32),
        np.empty((rows, 2), np.int64),
        is_exact,
        np.empty((0 if is_exact else rows, width)),
        np.empty((0 if is_exact else rows, 2)),
        held,
        np.zeros(1, np.int64),
        np.zeros(_DISPUTED, np.bool_),
        shares,
        pairs,
        sums,
    )


def _aligned(rows: int, width: int, kind: type[Any]) -> npt.NDArray[Any]:
    """(rows, width) of anything, from the beginning of a cache line on."""
    numbers = np.empty(rows * width + _CACHE_LINE, kind)
    first = -numbers.ctypes.data % _CACHE_LINE // numbers.itemsize
    return numbers[first : first + rows * width].reshape(rows, width)


def _exact_ranks(
    workload: Workload, code: int, fragmentation: FragmentationArrays
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], int]:
    """`Ranking.shares`, `.pairs` and `.sums`, empty where the order of preference has no whole numbers."""
    cpu, memory = map(int, workload.arrays.capacity[0])
    costs = 1
    if code == FGD:
        weights = fragmentation.weights
        is_whole = fragmentation.fullness == 0.0 and fragmentation.imbalance == 0.0
        is_whole &= bool(((weights >= 0) & (weights == np.rint(weights))).all())
        hosted = np.minimum(fragmentation.hosted_by_cpu[-1], fragmentation.hosted_by_memory[-1])
        costs = 1 + int((2 * weights * hosted).sum()) if is_whole else 0  # one more than a server can lose
    if code in (SBF, FGD) and costs > 0 and cpu + memory <= _MOST_UNITS:
        shares, pairs = _ranks_of_shares(cpu, memory)
        sums = int(pairs.max()) + 1
        if costs * sums * len(pairs) < NOWHERE:
            return shares, pairs, sums
    return np.zeros((2, 0), np.int32), np.zeros((0, 0), np.int32), 0


@lru_cache(maxsize=8)
def _ranks_of_shares(cpu: int, memory: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """`Ranking.shares` and `.pairs` for nodes of so many units; equal is what rounding makes equal."""
    by_resource = np.arange(cpu + 1) / cpu, np.arange(memory + 1) / memory
    distinct = np.unique(np.concatenate(by_resource))
    shares = np.zeros((2, max(cpu, memory) + 1), np.int32)
    for ranks, values in zip(shares, by_resource, strict=True):
        ranks[: len(values)] = np.searchsorted(distinct, values)
    sums: Any = np.unique(distinct[:, None] + distinct, return_inverse=True)[1]
    return shares, sums.reshape(len(distinct), len(distinct)).astype(np.int32)
