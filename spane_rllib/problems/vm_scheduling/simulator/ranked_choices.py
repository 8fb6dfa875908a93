"""Choices on large clusters by a `Ranking`: slot for slot those of the plain scans of `heuristics`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.simulator.fragmentation import FragmentationArrays, capacity_lost
from spane_rllib.problems.vm_scheduling.simulator.heuristic_codes import BEST_FIT, BEST_FIT_VMAGENT, FGD, SBF
from spane_rllib.problems.vm_scheduling.simulator.heuristics import left_of_scarcer
from spane_rllib.problems.vm_scheduling.simulator.least_rows import CHILD_BITS, CHILDREN, climb
from spane_rllib.problems.vm_scheduling.simulator.rankings import NOWHERE, Ranking
from spane_rllib.problems.vm_scheduling.simulator.rules import CPU, DOUBLE, MEMORY, fits_slot
from spane_rllib.problems.vm_scheduling.simulator.server_index import (
    StaleServers,
    after_subtree,
    note_all_stale,
)

# Odd, without a pattern: the upper half of a sum of products with them is spread evenly.
_FACTORS = tuple(
    map(np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93))
)


@inlined
def ranked_slot(ranking: Ranking, share: npt.NDArray[np.float64], column: int) -> int:
    """The slot for a VM of the kind in `column`, -1 if it fits nowhere."""
    least = ranking.least
    place = least[1, column]
    if place == NOWHERE:
        return -1
    leaves = len(least) >> 1
    node, equals = 1, 0
    while node < leaves:
        node *= CHILDREN
        # Counted without branches, since nobody could predict them.
        not_0 = int(least[node, column] != place)
        not_1 = int(least[node + 1, column] != place)
        not_2 = int(least[node + 2, column] != place)
        not_3 = int(least[node + 3, column] != place)
        equals += CHILDREN - 1 - not_0 - not_1 - not_2 - not_3
        node += not_0 + (not_0 & not_1) + (not_0 & not_1 & not_2)
    if equals > 0 and not ranking.is_exact:
        node = _best_of_equals(ranking, share, column, node)
    server = node - leaves
    return 2 * server + int((ranking.second[server] >> column) & 1)


@inlined
def _best_of_equals(ranking: Ranking, share: npt.NDArray[np.float64], column: int, chosen: int) -> int:
    """The best leaf of those from `chosen` on that have the same place."""
    least, node, place = ranking.least, chosen, ranking.least[chosen, column]
    leaves = len(least) >> 1
    best, best_server, best_node, best_row = np.inf, np.inf, np.inf, -1
    while node > 0:
        if least[node, column] == place:
            if node < leaves:
                node *= CHILDREN
                continue
            server = node - leaves
            row = ranking.row[server]
            if row != best_row:  # else as much is free there
                score, of_server, of_node = ranking.known_score[row, column], 0.0, 0.0
                if ranking.code in (SBF, FGD):
                    of_server = share[2 * server] + share[2 * server + 1]
                    of_node = -share[2 * server + ((ranking.second[server] >> column) & 1)]
                if score < best or (
                    score == best
                    and (of_server < best_server or (of_server == best_server and of_node < best_node))
                ):
                    chosen, best, best_server, best_node, best_row = node, score, of_server, of_node, row
        node = after_subtree(node, CHILD_BITS)
    return chosen


@inlined
def catch_up(
    ranking: Ranking,
    stale: StaleServers,
    capacity: npt.NDArray[np.int32],
    free: npt.NDArray[np.int32],
    share: npt.NDArray[np.float64],
) -> None:
    """Rank the servers that have changed anew; `capacity` (2,) is that of the largest node."""
    if ranking.known_rows[0] + stale.number[0] > 3 * (len(ranking.known_free) >> 2):
        ranking.known_free[:] = -1
        ranking.known_rows[0] = 0
        note_all_stale(stale)
    least = ranking.least
    for at in range(stale.number[0]):
        server = int(stale.servers[at])
        stale.is_stale[server] = False
        row = _known_row(ranking, capacity, free, share, 2 * server)
        leaf = (len(least) >> 1) + server
        for column in range(least.shape[1]):
            least[leaf, column] = ranking.known_least[row, column]
        ranking.second[server] = ranking.known_second[row]
        ranking.row[server] = row
        climb(least, leaf)
    stale.number[0] = 0


@inlined
def _known_row(
    ranking: Ranking,
    capacity: npt.NDArray[np.int32],
    free: npt.NDArray[np.int32],
    share: npt.NDArray[np.float64],
    first: int,
) -> int:
    """The row of what is known of servers with as much free as that of slot `first`."""
    cpu_0, cpu_1 = free[CPU, first], free[CPU, first + 1]
    memory_0, memory_1 = free[MEMORY, first], free[MEMORY, first + 1]
    mixed = np.uint64(cpu_0) * _FACTORS[0] + np.uint64(cpu_1) * _FACTORS[1]
    mixed += np.uint64(memory_0) * _FACTORS[2] + np.uint64(memory_1) * _FACTORS[3]
    row = np.int64(mixed >> np.uint64(32)) & (len(ranking.known_free) - 1)
    while True:
        known = ranking.known_free[row]
        if (known[0] == cpu_0) & (known[1] == cpu_1) & (known[2] == memory_0) & (known[3] == memory_1):
            return int(row)
        if known[0] < 0:
            break
        row = (row + 1) & (len(ranking.known_free) - 1)
    known[0], known[1], known[2], known[3] = cpu_0, cpu_1, memory_0, memory_1
    ranking.known_rows[0] += 1
    ranking.known_second[row] = 0
    for column in range(len(ranking.need)):
        need = ranking.need[column]
        node, score = _score(ranking.code, capacity, free, share, need, first, ranking.fragmentation)
        ranking.known_least[row, column] = NOWHERE
        if node >= 0:
            ranking.known_least[row, column] = _place(ranking, free, first, node, score)
            ranking.known_second[row] |= np.int64(node) << column
            if not ranking.is_exact:
                ranking.known_score[row, column] = score
    return int(row)


@inlined
def _place(ranking: Ranking, free: npt.NDArray[np.int32], first: int, node: int, score: float) -> int:
    """The place of a server in the order of preference, where the VM goes to `node`."""
    if not ranking.is_exact:
        # The bits of positive numbers have their order, those of negative ones the reverse; 0.0 is not -0.0.
        bits = np.float32(score + 0.0).view(np.int32)
        return int(bits ^ ((bits >> 31) & 0x7FFFFFFF))
    shares = ranking.shares
    share_0 = min(shares[CPU, free[CPU, first]], shares[MEMORY, free[MEMORY, first]])
    share_1 = min(shares[CPU, free[CPU, first + 1]], shares[MEMORY, free[MEMORY, first + 1]])
    rank = int(ranking.pairs[share_0, share_1])
    if ranking.code == FGD:
        rank += int(score) * ranking.sums
    kinds = len(ranking.pairs)
    return rank * kinds + kinds - 1 - int(share_1 if node else share_0)


@inlined
def _score(
    code: int,
    capacity: npt.NDArray[np.int32],
    free: npt.NDArray[np.int32],
    share: npt.NDArray[np.float64],
    need: npt.NDArray[np.int32],
    first: int,
    fragmentation: FragmentationArrays,
) -> tuple[int, float]:
    """The better node of a server for a VM of `need`, -1 without room, and the score; the least wins."""
    fits_0, fits_1 = fits_slot(free, need, first), fits_slot(free, need, first + 1)
    if not (fits_0 or fits_1):
        return -1, 0.0
    share_0, share_1 = share[first], share[first + 1]
    if code in (SBF, FGD):
        roomier = int(share_0 < share_1)
        of_server = share_0 + share_1
        if code == SBF:
            return roomier if fits_0 and fits_1 else int(fits_1), of_server
        full = fragmentation.fullness * of_server
        cost_0 = cost_1 = np.inf
        if fits_0:
            cost_0 = capacity_lost(free, need, first, fragmentation) + full
        if need[DOUBLE]:
            return roomier, cost_0
        if fits_1:
            cost_1 = capacity_lost(free, need, first + 1, fragmentation) + full
        return roomier if cost_0 == cost_1 else int(cost_1 < cost_0), min(cost_0, cost_1)
    if code == BEST_FIT_VMAGENT:
        score_0 = -left_of_scarcer(free, need, capacity, first)
        score_1 = np.inf if need[DOUBLE] else -left_of_scarcer(free, need, capacity, first + 1)
    else:
        sign = 1 if code == BEST_FIT else -1
        score_0 = sign * (share_0 + share_1 if need[DOUBLE] else share_0)
        score_1 = np.inf if need[DOUBLE] else sign * share_1
    if fits_0 and (score_0 <= score_1 or not fits_1):
        return 0, score_0
    return 1, score_1
