"""First come, first served: how a lane comes to its next decision.

`rules` has what all objectives share; here a `ServerIndex`, if there is one, is asked where a VM goes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

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
)
from spane_rllib.problems.vm_scheduling.simulator.server_index import ServerIndex
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays


@inlined
def _slot_with_room(
    index: Any,
    free: npt.NDArray[np.int32],
    share: npt.NDArray[np.float64],
    need: npt.NDArray[np.int32],
    capacity: npt.NDArray[np.int32],
    vm: int,
) -> int:
    """A slot with room for `vm`, -1 without: the choice of a `Ranking`, if there is one, else the lowest."""
    if index is None:
        return first_fit(free, need)
    else:  # by itself, so that nothing is compiled where there is no index
        return _indexed_slot(index.most, index.ranking, index, free, share, need, capacity, vm)


@inlined
def _indexed_slot(
    most: Any,
    ranking: Any,
    index: ServerIndex,
    free: npt.NDArray[np.int32],
    share: npt.NDArray[np.float64],
    need: npt.NDArray[np.int32],
    capacity: npt.NDArray[np.int32],
    vm: int,
) -> int:
    # Numba leaves out what is for an argument that is None, and nothing else.
    if most is not None:
        return lowest_slot(index, free, need, capacity)
    if ranking is not None:
        catch_up(ranking, index.stale, capacity[0], free, share)
        column = ranking.column[ranking.kind[vm]]
        if column >= 0:
            return ranked_slot(ranking, column)
    return first_fit(free, need)


@inlined
def settle(work: WorkloadArrays, state: LaneState, lane: int) -> None:
    """Bring the lane to its next decision (rules 2 and 3): the end, or a head VM that fits somewhere now."""
    counters, clocks = state.counters[lane], state.clocks[lane]
    head = counters[HEAD]
    if head >= counters[STOP]:
        counters[STATUS] = FINISHED
        return
    need, arrival = work.need[head], work.times[head, ARRIVAL]
    free, share = state.free[lane], state.share[lane]
    release_until(work, state, lane, arrival)
    while True:
        counters[FIRST_SLOT] = _slot_with_room(state.index, free, share, need, work.capacity, head)
        if counters[FIRST_SLOT] >= 0:
            break
        end = next_end(work, state, lane)
        if end == np.inf:
            counters[STATUS] = STUCK
            return
        release_until(work, state, lane, end)
    clocks[NOW] = max(clocks[NOW], arrival)
