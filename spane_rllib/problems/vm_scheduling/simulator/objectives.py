"""What an episode is about: waiting as little as possible, or placing as many VMs as possible.

Whether `WorkloadArrays.growth` is None is part of the types a kernel is compiled for, and only one branch is
kept: one source of each kernel serves both objectives, and neither pays for the other.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.simulator.allocation_rules import (
    begin_allocations,
    settle_allocations,
)
from spane_rllib.problems.vm_scheduling.simulator.rules import LaneState, occupy, reset_lane, settle
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays

Growth = npt.NDArray[np.float64] | None


@inlined
def _begin(
    growth: Growth, work: WorkloadArrays, state: LaneState, lane: int, start: int, vm_count: int
) -> None:
    if growth is None:
        reset_lane(work, state, lane, start, vm_count)
    else:
        begin_allocations(work, state, lane, start, vm_count)


@inlined
def _settle(growth: Growth, work: WorkloadArrays, state: LaneState, lane: int) -> None:
    if growth is None:
        settle(work, state, lane)
    else:
        settle_allocations(work, state, lane)


@inlined
def begin(work: WorkloadArrays, state: LaneState, lane: int, start: int, vm_count: int) -> None:
    """Begin an episode of (at most) `vm_count` VMs at row `start` on empty servers."""
    _begin(work.growth, work, state, lane, start, vm_count)


@inlined
def place(work: WorkloadArrays, state: LaneState, lane: int, slot: int) -> None:
    """One whole decision: place the head VM on `slot` (which must be feasible) and go to the next one."""
    occupy(work, state, lane, slot)
    _settle(work.growth, work, state, lane)
