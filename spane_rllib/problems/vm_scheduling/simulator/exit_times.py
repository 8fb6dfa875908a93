"""When servers will be empty, as far as lifetimes are known: what lifetime-aware heuristics go by.

After the temporal cost of NILAS (Ling et al., LAVA: Lifetime-Aware VM Allocation, MLSys 2025, arXiv
2412.09840): a VM goes where it puts off least the moment at which the server will be empty.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.simulator.rules import HEAD, NOW, RUNNING_VMS, LaneState
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays

BUCKET_S = 60.0
"""Servers that a VM keeps busy longer by less than this, seconds, are equally good."""
BUCKETS = 32
"""Delays are told apart by powers of two of `BUCKET_S`, up to 2^31 of them."""


@inlined
def server_exits(work: WorkloadArrays, state: LaneState, lane: int, exits: npt.NDArray[np.float64]) -> None:
    """Write to `exits` (N,) when each server is expected to be empty, seconds; now for an empty one.

    A VM that has outlived its estimate is expected to end now, as in `plan`.
    """
    exits[:] = state.clocks[lane, NOW]
    for index in range(state.counters[lane, RUNNING_VMS]):
        position = state.running[lane, index]
        slot = state.slot_of[lane, position]
        server = (slot if slot >= 0 else -1 - slot) >> 1
        exits[server] = max(exits[server], state.expected_end[lane, position])


@inlined
def prefer_aligned(
    running: Any,
    work: WorkloadArrays,
    state: LaneState,
    lane: int,
    weight: float,
    discount: npt.NDArray[np.float64],
) -> None:
    """Write to `discount` (N,) minus `weight` for each bucket by which the VM at hand delays a server's exit.

    `running` is `LaneState.running`; nothing is written where it lists no VMs.
    """
    if running is not None:  # noqa: SIM102  # by itself, so that nothing is compiled where there is none
        if running.shape[1] > 0:
            server_exits(work, state, lane, discount)
            end = state.clocks[lane, NOW] + work.estimate[state.counters[lane, HEAD]]
            for server in range(len(discount)):
                bucket = 0.0
                if end > discount[server]:  # not of two that never end
                    bucket = np.floor(np.log2(1.0 + (end - discount[server]) / BUCKET_S))
                discount[server] = -weight * min(bucket, BUCKETS - 1.0)
