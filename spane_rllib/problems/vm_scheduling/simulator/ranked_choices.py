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
# To which node of a server a VM goes: none, that of the slot at hand, the other one, or the first, whichever
# that is.
_NONE, _OWN, _OTHER, _FIRST = range(4)
_WAY_BITS = 6  # of a place, the last ones, by which almost equal scores differ

Standing = tuple[float, float, float]
"""How good a server is: score, free share of the server, less that of the node; the least wins."""


@inlined
def ranked_slot(ranking: Ranking, column: int) -> int:
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
    if equals > 0 and ranking.disputed[_hash_of_place(column, place) & (len(ranking.disputed) - 1)]:
        node = _best_of_equals(ranking, column, node)
    server = node - leaves
    return 2 * server + int((ranking.second[server] >> column) & 1)


@inlined
def _hash_of_place(column: int, place: int) -> int:
    mixed = np.uint64(column) * _FACTORS[0] + np.uint64(place) * _FACTORS[1]
    return int(mixed >> np.uint64(32))


@inlined
def _best_of_equals(ranking: Ranking, column: int, chosen: int) -> int:
    """The best leaf of those from `chosen` on that have the same place."""
    least, node, place = ranking.least, chosen, ranking.least[chosen, column]
    leaves = len(least) >> 1
    best, best_row = (np.inf, np.inf, np.inf), -1
    while node > 0:
        if least[node, column] == place:
            if node < leaves:
                node *= CHILDREN
                continue
            row = ranking.row[node - leaves]
            if row != best_row:  # else as much is free there
                standing = _standing(ranking, column, row)
                if _order(standing, best) < 0:
                    chosen, best, best_row = node, standing, row
        node = after_subtree(node, CHILD_BITS)
    return chosen


@inlined
def _standing(ranking: Ranking, column: int, row: int) -> Standing:
    """That of servers of `row` for the kind of VM in `column`."""
    score = ranking.known_score[row, column]
    if ranking.code not in (SBF, FGD):
        return score, 0.0, 0.0
    share = ranking.known_share[row]
    return score, share[0] + share[1], -share[(ranking.known_second[row, 0] >> column) & 1]


@inlined
def _order(one: Standing, other: Standing) -> int:
    """Whether a standing is better (-1), as good (0) or worse (1)."""
    order = int(one[2] > other[2]) - int(one[2] < other[2])
    if one[1] != other[1]:
        order = 1 if one[1] > other[1] else -1
    if one[0] != other[0]:
        order = 1 if one[0] > other[0] else -1
    return order


@inlined
def catch_up(
    ranking: Ranking,
    stale: StaleServers,
    capacity: npt.NDArray[np.int32],
    free: npt.NDArray[np.int32],
    share: npt.NDArray[np.float64],
) -> None:
    """Rank the servers that have changed anew; `capacity` (2,) is that of the largest node."""
    if ranking.known_rows[0] + stale.number[0] > len(ranking.known_free):
        ranking.known_at[:] = -1
        ranking.known_rows[0] = 0
        ranking.held[:] = np.inf
        ranking.held_places[0] = 0
        ranking.disputed[:] = False
        note_all_stale(stale)
    least = ranking.least
    for at in range(stale.number[0]):
        server = int(stale.servers[at])
        stale.is_stale[server] = False
        exchanged = int(_is_exchanged(ranking.code, free, 2 * server))
        row = _known_row(ranking, capacity, free, share, 2 * server + exchanged)
        leaf = (len(least) >> 1) + server
        for column in range(least.shape[1]):
            least[leaf, column] = ranking.known_least[row, column]
        ranking.second[server] = ranking.known_second[row, exchanged]
        ranking.row[server] = row
        climb(least, leaf)
    stale.number[0] = 0


@inlined
def _is_exchanged(code: int, free: npt.NDArray[np.int32], first: int) -> bool:
    """Whether what is known of a server is that of one with its nodes exchanged, which is as good."""
    if code == BEST_FIT_VMAGENT:  # treats them differently
        return False
    cpu, other_cpu = free[CPU, first], free[CPU, first + 1]
    memory, other_memory = free[MEMORY, first], free[MEMORY, first + 1]
    return bool((cpu < other_cpu) | ((cpu == other_cpu) & (memory < other_memory)))


@inlined
def _known_row(
    ranking: Ranking,
    capacity: npt.NDArray[np.int32],
    free: npt.NDArray[np.int32],
    share: npt.NDArray[np.float64],
    slot: int,
) -> int:
    """The row of what is known of servers with as much free as that of `slot`, its node first."""
    cpu, other_cpu = free[CPU, slot], free[CPU, slot ^ 1]
    memory, other_memory = free[MEMORY, slot], free[MEMORY, slot ^ 1]
    mixed = np.uint64(cpu) * _FACTORS[0] + np.uint64(other_cpu) * _FACTORS[1]
    mixed += np.uint64(memory) * _FACTORS[2] + np.uint64(other_memory) * _FACTORS[3]
    last = len(ranking.known_at) - 1
    at = int(mixed >> np.uint64(32)) & last
    while ranking.known_at[at] >= 0:
        row = int(ranking.known_at[at])
        known = ranking.known_free[row]
        if (known[0] == cpu) & (known[1] == other_cpu) & (known[2] == memory) & (known[3] == other_memory):
            return row
        at = (at + 1) & last
    row = int(ranking.known_rows[0])
    ranking.known_rows[0] += 1
    ranking.known_at[at] = row
    known = ranking.known_free[row]
    known[0], known[1], known[2], known[3] = cpu, other_cpu, memory, other_memory
    known_least, known_second = ranking.known_least[row], ranking.known_second[row]
    known_second[0] = known_second[1] = 0
    if not ranking.is_exact:
        ranking.known_share[row, 0], ranking.known_share[row, 1] = share[slot], share[slot ^ 1]
    for column in range(len(known_least)):
        known_least[column] = NOWHERE
    for column in range(len(ranking.need)):
        need = ranking.need[column]
        node, score = _score(ranking.code, capacity, free, share, need, slot, ranking.fragmentation)
        if node == _NONE:
            continue
        known_second[0] |= np.int64(node == _OTHER) << column
        known_second[1] |= np.int64(node == _OWN) << column
        if ranking.is_exact:
            known_least[column] = _exact_place(ranking, free, slot, node, score)
        else:
            ranking.known_score[row, column] = score
            known_least[column] = _place_of_standing(ranking, column, _standing(ranking, column, row))
    return row


@inlined
def _place_of_standing(ranking: Ranking, column: int, standing: Standing) -> int:
    """The place of servers of that standing: others have it only if they are as good, or if it is disputed.

    Standings of one score in float32, but for its last bits, are a binary search tree: these bits are the way
    from its root. A place is disputed where the way gets too long, or where `Ranking.held` is full.
    """
    # The bits of positive numbers have their order, those of negative ones the reverse; 0.0 is not -0.0.
    bits = int(np.float32(standing[0] + 0.0).view(np.int32))
    bits ^= (bits >> 31) & 0x7FFFFFFF
    step = 1 << (_WAY_BITS - 1)
    place = (bits & -2 * step) + step
    held, last = ranking.held, len(ranking.held) - 1
    while True:
        mixed, key = _hash_of_place(column, place), np.float64(place * ranking.least.shape[1] + column)
        at = mixed & last
        while held[at, 0] != key and held[at, 0] != np.inf:
            at = (at + 1) & last
        holder = held[at]
        if holder[0] != key:
            if ranking.held_places[0] > 3 * (last >> 2):
                break
            ranking.held_places[0] += 1
            holder[0], holder[1], holder[2], holder[3] = key, standing[0], standing[1], standing[2]
            return place
        order = _order(standing, (holder[1], holder[2], holder[3]))
        if order == 0:
            return place
        step >>= 1
        if step == 0:
            break
        place += order * step
    ranking.disputed[mixed & (len(ranking.disputed) - 1)] = True
    return place


@inlined
def _exact_place(ranking: Ranking, free: npt.NDArray[np.int32], slot: int, node: int, score: float) -> int:
    """The place of a server in the order of preference, where the VM goes to `node`."""
    shares = ranking.shares
    own = min(shares[CPU, free[CPU, slot]], shares[MEMORY, free[MEMORY, slot]])
    other = min(shares[CPU, free[CPU, slot ^ 1]], shares[MEMORY, free[MEMORY, slot ^ 1]])
    rank = int(ranking.pairs[own, other])
    if ranking.code == FGD:
        rank += int(score) * ranking.sums
    kinds = len(ranking.pairs)
    return rank * kinds + kinds - 1 - int(other if node == _OTHER else own)


@inlined
def _score(
    code: int,
    capacity: npt.NDArray[np.int32],
    free: npt.NDArray[np.int32],
    share: npt.NDArray[np.float64],
    need: npt.NDArray[np.int32],
    slot: int,
    fragmentation: FragmentationArrays,
) -> tuple[int, float]:
    """The better node of the server of `slot` for a VM of `need`, and the score; the least wins."""
    fits, fits_other = fits_slot(free, need, slot), fits_slot(free, need, slot ^ 1)
    if not (fits or fits_other):
        return _NONE, 0.0
    only = _OWN if fits else _OTHER
    if code in (SBF, FGD):
        roomier = _lesser(-share[slot], -share[slot ^ 1])
        of_server = share[slot] + share[slot ^ 1]
        if code == SBF:
            return roomier if fits and fits_other else only, of_server
        full = fragmentation.fullness * of_server
        cost = other_cost = np.inf
        for other in range(2 - need[DOUBLE]):  # a loop, since compiling two copies takes seconds
            if fits_slot(free, need, slot ^ other):
                lost = capacity_lost(free, need, slot ^ other, fragmentation) + full
                cost, other_cost = (cost, lost) if other else (lost, other_cost)
        if need[DOUBLE]:
            return roomier, cost
        return roomier if cost == other_cost else _lesser(cost, other_cost), min(cost, other_cost)
    if code == BEST_FIT_VMAGENT:
        score = -left_of_scarcer(free, need, capacity, slot)
        other_score = -left_of_scarcer(free, need, capacity, slot ^ 1)
    else:
        sign = 1 if code == BEST_FIT else -1
        score, other_score = sign * share[slot], sign * share[slot ^ 1]
        if need[DOUBLE]:
            score += other_score
    if need[DOUBLE]:
        return _FIRST, score
    if fits and fits_other:
        return _lesser(score, other_score), min(score, other_score)
    return only, score if fits else other_score


@inlined
def _lesser(own: float, other: float) -> int:
    if own == other:
        return _FIRST
    return _OWN if own < other else _OTHER
