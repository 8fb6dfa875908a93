"""What an episode is about: waiting as little as possible, in line or not, or placing as many as possible.

Whether `growth` and `queue` of `WorkloadArrays` are None is part of the types a kernel is compiled for, and
only one branch is kept: one source of each kernel serves all objectives, and none pays for another.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.simulator.allocation_rules import (
    begin_allocations,
    settle_allocations,
)
from spane_rllib.problems.vm_scheduling.simulator.line_rules import settle
from spane_rllib.problems.vm_scheduling.simulator.queue_rules import begin_queue, leave_queue, settle_queue
from spane_rllib.problems.vm_scheduling.simulator.rules import LaneState, occupy, reset_lane
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays

Rule = npt.NDArray[np.float64] | None


@inlined
def _begin(
    growth: Rule, queue: Rule, work: WorkloadArrays, state: LaneState, lane: int, start: int, vm_count: int
) -> None:
    if growth is not None:
        begin_allocations(work, state, lane, start, vm_count)
    elif queue is not None:
        begin_queue(work, state, lane, start, vm_count)
    else:
        reset_lane(work, state, lane, start, vm_count)


@inlined
def _place(growth: Rule, queue: Rule, work: WorkloadArrays, state: LaneState, lane: int, slot: int) -> None:
    if growth is not None:
        occupy(work, state, lane, slot)
        settle_allocations(work, state, lane)
    elif queue is not None:
        leave_queue(work, state, lane)
        occupy(work, state, lane, slot)
        settle_queue(work, state, lane)
    else:
        occupy(work, state, lane, slot)
        settle(work, state, lane)


@inlined
def begin(work: WorkloadArrays, state: LaneState, lane: int, start: int, vm_count: int) -> None:
    """Begin an episode of (at most) `vm_count` VMs at row `start` on empty servers."""
    _begin(work.growth, work.queue, work, state, lane, start, vm_count)


@inlined
def place(work: WorkloadArrays, state: LaneState, lane: int, slot: int) -> None:
    """One whole decision: place the VM at hand on `slot` (which must be feasible) and go to the next one."""
    _place(work.growth, work.queue, work, state, lane, slot)
