"""The choices of heuristics on large clusters: slot for slot those of the plain scans of `heuristics`.

What a server is worth to a kind of VM depends on nothing but the server. So each kind has a tournament of all
servers, in which few matches are played again when a server changes. A kind that is seldom placed would play
more than it saves: where more servers have changed since than `ServerIndex.changed` lists, it is left to the
plain scan.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.simulator.fragmentation import FragmentationArrays, capacity_lost
from spane_rllib.problems.vm_scheduling.simulator.heuristic_codes import (
    BALANCE_FIT,
    BEST_FIT,
    BEST_FIT_VMAGENT,
    FGD,
    SBF,
    WORST_FIT,
)
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    CPU,
    DOUBLE,
    HEAD,
    MEMORY,
    LaneState,
    fits_slot,
)
from spane_rllib.problems.vm_scheduling.simulator.server_index import (
    IMBALANCE,
    SLOTS_OF_LEAF,
    ServerIndex,
    after_subtree,
    least_of,
    may_fit,
)
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays

_Score = tuple[int, float, float, float]
"""Slot, -1 where none has room, and its score as in `ServerIndex.score`."""


@inlined
def choose_among_many(
    code: int, work: WorkloadArrays, state: LaneState, lane: int, fragmentation: FragmentationArrays
) -> int:
    """The slot heuristic `code` chooses for the VM at hand; -1 where that is left to the plain scan.

    The lane has an index.
    """
    index, vm = state.index, state.counters[lane, HEAD]
    need = work.need[vm]
    if code == BALANCE_FIT and not need[DOUBLE]:
        return _most_unbalanced(index, state.free[lane], state.share[lane], need, work.capacity[0])
    # Siblings and exits make a server worth more or less although it has not changed.
    by_server = fragmentation.siblings == 0.0 and fragmentation.exits == 0.0
    if code in (BEST_FIT, WORST_FIT, BEST_FIT_VMAGENT, SBF) or (code == FGD and by_server):
        kind = index.kind[vm]
        row = kind % len(index.kind_of)
        if _catch_up(index, row, kind, code, work, state, lane, need, fragmentation):
            return int(index.slot[row, index.winner[row, 1]])
    return -1


@inlined
def _most_unbalanced(
    index: ServerIndex,
    free: npt.NDArray[np.int32],
    share: npt.NDArray[np.float64],
    need: npt.NDArray[np.int32],
    capacity: npt.NDArray[np.int32],
) -> int:
    """Balance Fit."""
    most = index.most
    leaves = len(most) >> 1
    node = 1
    while node < leaves:
        node = 2 * node + (most[2 * node + 1, IMBALANCE] > most[2 * node, IMBALANCE])
    # Nearly always, the VM fits the most unbalanced server.
    chosen, largest = _most_unbalanced_of_leaf(free, share, need, node - leaves, -1, -1.0)
    if largest == most[1, IMBALANCE]:
        return chosen
    # Of equals, one before it may be found.
    chosen, largest, node = -1, largest - 1e-9, 1
    least = least_of(need, capacity)
    while node > 0:
        if (most[node, IMBALANCE] > largest) & may_fit(most[node], least):
            if node < leaves:
                node *= 2
                continue
            chosen, largest = _most_unbalanced_of_leaf(free, share, need, node - leaves, chosen, largest)
        node = after_subtree(node)
    return chosen


@inlined
def _most_unbalanced_of_leaf(
    free: npt.NDArray[np.int32],
    share: npt.NDArray[np.float64],
    need: npt.NDArray[np.int32],
    leaf: int,
    chosen: int,
    largest: float,
) -> tuple[int, float]:
    """The slot that Balance Fit chooses of a leaf, and its imbalance, if this is larger than `largest`."""
    begin = leaf * SLOTS_OF_LEAF
    for first in range(begin, min(begin + SLOTS_OF_LEAF, len(share)), 2):
        difference = share[first] - share[first + 1]
        if abs(difference) > largest:
            fits_0, fits_1 = fits_slot(free, need, first), fits_slot(free, need, first + 1)
            if fits_0 or fits_1:
                largest = abs(difference)
                roomier = first if difference >= 0 else first + 1
                chosen = roomier if (fits_0 and fits_1) else (first if fits_0 else first + 1)
    return chosen, largest


@inlined
def _catch_up(
    index: ServerIndex,
    row: int,
    kind: int,
    code: int,
    work: WorkloadArrays,
    state: LaneState,
    lane: int,
    need: npt.NDArray[np.int32],
    fragmentation: FragmentationArrays,
) -> bool:
    """Bring a kind's tournament up to date; False where it has too much to catch up with."""
    free, share, changes = state.free[lane], state.share[lane], index.changes[0]
    first, is_late = index.seen[row], changes - index.seen[row] > len(index.changed)
    is_other = index.kind_of[row] != kind
    index.kind_of[row], index.seen[row] = kind, changes
    if is_other or is_late:
        index.is_ready[row] = False
        return False
    servers = index.slot.shape[1]
    all_anew = not index.is_ready[row]
    index.is_ready[row] = True
    for at in range(0 if all_anew else first, servers if all_anew else changes):
        server = at if all_anew else int(index.changed[at & (len(index.changed) - 1)])
        slot, score_0, score_1, score_2 = _score(code, work, free, share, need, server, fragmentation)
        score = index.score[row, server]
        if not all_anew:
            old = index.slot[row, server]
            if slot == old and (
                slot < 0 or (score[0] == score_0 and score[1] == score_1 and score[2] == score_2)
            ):
                continue
        index.slot[row, server] = slot
        score[0], score[1], score[2] = score_0, score_1, score_2
        _play(index.winner[row], index.score[row], server, slot >= 0, all_anew)
    if all_anew:
        winner = index.winner[row]
        for node in range((len(winner) >> 1) - 1, 0, -1):
            winner[node] = _match(winner, index.score[row], node)
    return True


@inlined
def _match(winner: npt.NDArray[np.int32], score: npt.NDArray[np.float64], node: int) -> int:
    """Who wins at a node, of the winners below; of equals the server of lower number."""
    left, right = winner[2 * node], winner[2 * node + 1]
    if right < 0:
        return left
    if left < 0:
        return right
    if score[right, 0] != score[left, 0]:
        return right if score[right, 0] < score[left, 0] else left
    if score[right, 1] != score[left, 1]:
        return right if score[right, 1] < score[left, 1] else left
    return right if score[right, 2] < score[left, 2] else left


@inlined
def _play(
    winner: npt.NDArray[np.int32],
    score: npt.NDArray[np.float64],
    server: int,
    takes_part: bool,
    enters_only: bool,
) -> None:
    """Play again, after the score of `server` has changed, all matches that it takes or took part in."""
    node = (len(winner) >> 1) + server
    winner[node] = server if takes_part else -1
    if enters_only:
        return
    node >>= 1
    while node > 0:
        best = _match(winner, score, node)
        if best == winner[node] and best != server:
            return
        winner[node] = best
        node >>= 1


@inlined
def _score(
    code: int,
    work: WorkloadArrays,
    free: npt.NDArray[np.int32],
    share: npt.NDArray[np.float64],
    need: npt.NDArray[np.int32],
    server: int,
    fragmentation: FragmentationArrays,
) -> _Score:
    """The best slot of `server` for a VM of `need`."""
    first = 2 * server
    fits_0, fits_1 = fits_slot(free, need, first), fits_slot(free, need, first + 1)
    if not (fits_0 or fits_1):
        return -1, 0.0, 0.0, 0.0
    if code in (SBF, FGD):
        of_server, roomier = share[first] + share[first + 1], first + (share[first] < share[first + 1])
        if code == SBF:
            slot = roomier if (fits_0 and fits_1) else (first if fits_0 else first + 1)
            return slot, of_server, -share[slot], 0.0
        full = fragmentation.fullness * of_server
        cost_0 = cost_1 = np.inf
        if fits_0:
            cost_0 = capacity_lost(free, need, first, fragmentation) + full
        if fits_1:
            cost_1 = capacity_lost(free, need, first + 1, fragmentation) + full
        slot = roomier if cost_0 == cost_1 else (first if cost_0 < cost_1 else first + 1)
        return slot, min(cost_0, cost_1), of_server, -share[slot]
    if code == BEST_FIT_VMAGENT:
        capacity = work.capacity[0]
        score_0 = -_left(free, need, capacity, first)
        score_1 = np.inf if need[DOUBLE] else -_left(free, need, capacity, first + 1)
    else:
        sign = 1 if code == BEST_FIT else -1
        score_0 = sign * (share[first] + share[first + 1] if need[DOUBLE] else share[first])
        score_1 = np.inf if need[DOUBLE] else sign * share[first + 1]
    if fits_0 and (score_0 <= score_1 or not fits_1):
        return first, score_0, 0.0, 0.0
    return first + 1, score_1, 0.0, 0.0


@inlined
def _left(
    free: npt.NDArray[np.int32], need: npt.NDArray[np.int32], capacity: npt.NDArray[np.int32], slot: int
) -> float:
    return min(
        (free[CPU, slot] - need[CPU]) / capacity[CPU],
        (free[MEMORY, slot] - need[MEMORY]) / capacity[MEMORY],
    )
