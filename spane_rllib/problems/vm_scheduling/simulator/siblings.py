"""Where the siblings of a VM were placed, which a `PlacementScore` asks for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.simulator.rules import ARRIVAL, HEAD, NOT_PLACED, START, LaneState
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays

BURST_S = 1.0
"""VMs that arrive within this many seconds count as one burst."""
LONGEST_BURST = 64
"""How many VMs of a burst are looked back at."""


@inlined
def find_siblings(
    work: WorkloadArrays,
    state: LaneState,
    lane: int,
    kinds: npt.NDArray[np.int32],
    weight: float,
    discount: npt.NDArray[np.float64],
) -> None:
    """Write `weight` to `discount` (N,) for the servers where a sibling of the head VM was placed, else 0.

    Siblings are the VMs of its kind that arrived in one burst with it and were placed before it, whether or
    not they still run.
    """
    discount[:] = 0.0
    start, head = state.counters[lane, START], state.counters[lane, HEAD]
    arrival = work.times[head, ARRIVAL]
    for vm in range(head - 1, max(start, head - LONGEST_BURST) - 1, -1):
        if arrival - work.times[vm, ARRIVAL] > BURST_S:
            break
        if kinds[vm] == kinds[head]:
            slot = state.slot_of[lane, vm - start]
            if slot != NOT_PLACED:
                discount[(slot if slot >= 0 else -1 - slot) >> 1] = weight
