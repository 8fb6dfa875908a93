"""Placement heuristics, compiled: they differ only in the slot they choose for the head of the queue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import inlined
from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS, LIFETIME_HEURISTICS
from spane_rllib.problems.vm_scheduling.simulator.exit_times import BUCKETS, prefer_aligned
from spane_rllib.problems.vm_scheduling.simulator.fragmentation import (
    KEEP_64,
    NO_FLAVOURS,
    NO_FRAGMENTATION,
    FragmentationArrays,
    FragmentationGradient,
    least_fragmenting,
)
from spane_rllib.problems.vm_scheduling.simulator.heuristic_codes import (
    BALANCE_FIT,
    BEST_FIT,
    BEST_FIT_VMAGENT,
    FGD,
    KEEP_64_CODE,
    MOVE_TO_FRONT,
    NAMES,
    RANDOM,
    SBF,
    WORST_FIT,
)
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    CPU,
    DOUBLE,
    FIRST_SLOT,
    HEAD,
    LAST_SLOT,
    MEMORY,
    LaneState,
    fits_slot,
    room_of,
)
from spane_rllib.problems.vm_scheduling.simulator.siblings import find_siblings
from spane_rllib.problems.vm_scheduling.simulator.workload import Workload, WorkloadArrays


@dataclass(frozen=True)
class Heuristic:
    """A heuristic by name; `fragmentation` holds the parameters of `fgd` and is ignored by the others.

    With a `PlacementScore` for them, `fgd` is that score.
    """

    name: str
    fragmentation: FragmentationGradient | None = None

    def __post_init__(self) -> None:
        if self.name not in HEURISTICS and self.name not in LIFETIME_HEURISTICS:
            raise UserError(f"{self.name}: not a heuristic; allowed are {', '.join(HEURISTICS)}")

    def compile(self, workload: Workload, servers: int) -> tuple[int, FragmentationArrays]:
        """The code and parameters that `choose` takes for a cluster of so many servers."""
        if self.name in LIFETIME_HEURISTICS:
            if not workload.lifetimes.is_known:
                raise UserError(
                    f"policy {self.name}: goes by lifetimes, of which nothing is known; "
                    "say lifetimes: known or predicted:NOISE (--lifetimes)"
                )
            # A bucket counts less than one VM of KEEP-64's flavour.
            flavours = KEEP_64 if self.name == "keep-64-exit" else NO_FLAVOURS
            return FGD, flavours.compile(workload, servers)._replace(exits=1.0 / BUCKETS)
        code = NAMES.index(self.name)
        if code == KEEP_64_CODE:
            return FGD, KEEP_64.compile(workload, servers)
        if code == FGD:
            gradient = self.fragmentation or FragmentationGradient.of_trace(workload.trace)
            return FGD, gradient.compile(workload, servers)
        return code, NO_FRAGMENTATION


@inlined
def _extreme_fit(
    room: npt.NDArray[np.int32], share: npt.NDArray[np.float64], need: npt.NDArray[np.int32], sign: int
) -> int:
    """Best Fit (`sign` = 1) or Worst Fit (-1)."""
    chosen, least = -1, np.inf
    step = 2 if need[DOUBLE] else 1
    for slot in range(0, room.shape[1], step):
        remaining = sign * (share[slot] + share[slot + 1] if need[DOUBLE] else share[slot])
        if remaining < least and fits_slot(room, need, slot):
            chosen, least = slot, remaining
    return chosen


@inlined
def most_unbalanced_between(
    room: npt.NDArray[np.int32],
    share: npt.NDArray[np.float64],
    need: npt.NDArray[np.int32],
    begin: int,
    end: int,
    chosen: int,
    largest: float,
) -> tuple[int, float]:
    """The slot that Balance Fit chooses of those from `begin` to before `end`, and its server's imbalance.

    `chosen` and `largest` are those of the slots before, and returned where no imbalance is larger.
    """
    for first in range(begin, end, 2):
        difference = share[first] - share[first + 1]
        # A strict comparison leaves first fit's choice when every server is in balance.
        if abs(difference) > largest:
            fits_0, fits_1 = fits_slot(room, need, first), fits_slot(room, need, first + 1)
            if fits_0 or fits_1:
                largest = abs(difference)
                roomier = first if difference >= 0 else first + 1
                chosen = roomier if (fits_0 and fits_1) else (first if fits_0 else first + 1)
    return chosen, largest


@inlined
def _random_fit(
    room: npt.NDArray[np.int32], need: npt.NDArray[np.int32], random: npt.NDArray[np.uint64]
) -> int:
    count = 0
    for slot in range(room.shape[1]):
        count += fits_slot(room, need, slot)
    if count == 0:
        return -1
    pick = np.int64(next_random(random) % np.uint64(count))
    for slot in range(room.shape[1]):
        if fits_slot(room, need, slot):
            if pick == 0:
                return slot
            pick -= 1
    return -1


@inlined
def next_random(random: npt.NDArray[np.uint64]) -> np.uint64:
    """The next number of the SplitMix64 generator whose state is `random` (1,)."""
    random[0] += np.uint64(0x9E3779B97F4A7C15)
    mixed = random[0]
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@inlined
def _server_best_fit(
    room: npt.NDArray[np.int32], share: npt.NDArray[np.float64], need: npt.NDArray[np.int32]
) -> int:
    chosen, least_server, most_node = -1, np.inf, 0.0
    for first in range(0, room.shape[1], 2):
        server = share[first] + share[first + 1]
        if server <= least_server:
            slot = first if share[first] >= share[first + 1] else first + 1
            if not fits_slot(room, need, slot):
                slot ^= 1
                if not fits_slot(room, need, slot):
                    continue
            if server < least_server or share[slot] > most_node:
                chosen, least_server, most_node = slot, server, share[slot]
    return chosen


@inlined
def left_of_scarcer(
    free: npt.NDArray[np.int32], need: npt.NDArray[np.int32], capacity: npt.NDArray[np.int32], slot: int
) -> float:
    """The share of `capacity` that a VM would leave at a slot, of cpu or memory, whichever is less."""
    return min(
        (free[CPU, slot] - need[CPU]) / capacity[CPU],
        (free[MEMORY, slot] - need[MEMORY]) / capacity[MEMORY],
    )


@inlined
def _best_fit_vmagent(
    free: npt.NDArray[np.int32],
    room: npt.NDArray[np.int32],
    need: npt.NDArray[np.int32],
    capacity: npt.NDArray[np.int32],
) -> int:
    chosen, most = -1, -1.0
    step = 2 if need[DOUBLE] else 1
    for slot in range(0, free.shape[1], step):
        # Of a double VM, the published code rates node 0 (twice) and never node 1.
        left = left_of_scarcer(free, need, capacity, slot)
        if left > most and fits_slot(room, need, slot):
            chosen, most = slot, left
    return chosen


@inlined
def choose(
    code: int,
    work: WorkloadArrays,
    state: LaneState,
    lane: int,
    random: npt.NDArray[np.uint64],
    fragmentation: FragmentationArrays,
) -> int:
    """The slot heuristic `code` chooses for the VM at hand in a running lane."""
    free, share, counters = state.free[lane], state.share[lane], state.counters[lane]
    room = room_of(state.room, state.free, state.counters[lane], lane)
    need = work.need[counters[HEAD]]
    if code == BEST_FIT:
        return _extreme_fit(room, share, need, 1)
    if code == WORST_FIT:
        return _extreme_fit(room, share, need, -1)
    if code == BALANCE_FIT and not need[DOUBLE]:
        return most_unbalanced_between(room, share, need, 0, room.shape[1], -1, -1.0)[0]
    if code == RANDOM:
        return _random_fit(room, need, random)
    if code == BEST_FIT_VMAGENT:
        return _best_fit_vmagent(free, room, need, work.capacity[0])
    if code == MOVE_TO_FRONT and counters[LAST_SLOT] >= 0 and fits_slot(room, need, counters[LAST_SLOT]):
        return counters[LAST_SLOT]
    if code == SBF:
        return _server_best_fit(room, share, need)
    if code == FGD:
        if fragmentation.siblings != 0.0:
            kinds, discount = fragmentation.kind, fragmentation.discount
            find_siblings(work, state, lane, kinds, fragmentation.siblings, discount)
        elif fragmentation.exits != 0.0:
            prefer_aligned(state.running, work, state, lane, fragmentation.exits, fragmentation.discount)
        kind = fragmentation.kind[counters[HEAD]]
        return least_fragmenting(free, room, share, need, kind, fragmentation)
    return counters[FIRST_SLOT]
