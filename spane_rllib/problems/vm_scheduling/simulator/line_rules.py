"""First come, first served: how a lane begins, and comes to its next decision.

`rules` has what all objectives share; here a `ServerIndex`, if there is one, is asked where a VM goes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.simulator.ranked_choices import catch_up, ranked_slot
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    ARRIVAL,
    FINISHED,
    FIRST_SLOT,
    HEAD,
    NOW,
    STATUS,
    STOP,
    STUCK,
    LaneState,
    first_fit,
    lowest_slot,
    next_end,
    release_until,
    reset_lane,
)
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays


@inlined
def _slot_with_room(index: Any, work: WorkloadArrays, state: LaneState, lane: int, vm: int) -> int:
    """A slot with room for `vm`, -1 without: the choice of a `Ranking`, if there is one, else the lowest."""
    if index is None:
        return first_fit(state.free[lane], work.need[vm])
    else:  # by itself, so that nothing is compiled where there is no index
        return _indexed_slot(index.most, index.ranking, work, state, lane, vm)


@inlined
def _indexed_slot(most: Any, ranking: Any, work: WorkloadArrays, state: LaneState, lane: int, vm: int) -> int:
    free, share, need = state.free[lane], state.share[lane], work.need[vm]
    # Numba leaves out what is for an argument that is None, and nothing else.
    if most is not None:
        return lowest_slot(state.index, free, need, work.capacity)
    if ranking is not None:
        catch_up(ranking, work.capacity[0], free, share)
        column = ranking.column[ranking.kind[vm]]
        if column >= 0:
            return ranked_slot(ranking, share, column)
    return first_fit(free, need)


@inlined
def begin_line(work: WorkloadArrays, state: LaneState, lane: int, start: int, vm_count: int) -> None:
    """Begin an episode of `vm_count` VMs at row `start` on empty servers."""
    reset_lane(work, state, lane, start, vm_count)
    _rank_at_first(state.index, work, state, lane, start)


@inlined
def _rank_at_first(index: Any, work: WorkloadArrays, state: LaneState, lane: int, start: int) -> None:
    if index is not None:
        state.counters[lane, FIRST_SLOT] = _slot_with_room(index, work, state, lane, start)


@inlined
def settle(work: WorkloadArrays, state: LaneState, lane: int) -> None:
    """Bring the lane to its next decision (rules 2 and 3): the end, or a head VM that fits somewhere now."""
    counters, clocks = state.counters[lane], state.clocks[lane]
    head = counters[HEAD]
    if head >= counters[STOP]:
        counters[STATUS] = FINISHED
        return
    arrival = work.times[head, ARRIVAL]
    release_until(work, state, lane, arrival)
    while True:
        counters[FIRST_SLOT] = _slot_with_room(state.index, work, state, lane, head)
        if counters[FIRST_SLOT] >= 0:
            break
        end = next_end(work, state, lane)
        if end == np.inf:
            counters[STATUS] = STUCK
            return
        release_until(work, state, lane, end)
    clocks[NOW] = max(clocks[NOW], arrival)
