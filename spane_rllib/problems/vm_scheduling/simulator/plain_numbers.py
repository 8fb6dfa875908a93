"""A lane filled from plain cores and GiB, for decisions outside simulations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import compiled, inlined
from spane_rllib.problems.vm_scheduling.simulator.cluster import NODES_PER_SERVER
from spane_rllib.problems.vm_scheduling.simulator.rules import CPU, DOUBLE, MEMORY, fits_slot

# What `show` says instead of a slot: the VM fits nowhere, a number is not allowed, the unit is too coarse.
NOWHERE, NOT_ALLOWED, FINER = -1, -2, -3

ROUNDING = 1e-6
"""Part of a unit that is an error of rounding."""
_TOO_LARGE = 2**30  # units


@inlined
def _is_whole(number: float) -> bool:
    return bool(abs(number - np.rint(number)) < ROUNDING)


@compiled
def show(
    free: npt.NDArray[np.float64],  # (N, 2, 2) cores and GiB
    cpu: float,
    memory: float,
    double: bool,
    resolution: int,
    exact: bool,
    capacity: npt.NDArray[np.int32],  # (2,) of a node, units
    need: npt.NDArray[np.int32],  # (3,) written, as are all that follow: a row of WorkloadArrays.need,
    units: npt.NDArray[np.int32],  # (1, 2, 2N) LaneState.free,
    share: npt.NDArray[np.float64],  # (1, 2N) LaneState.share,
    servers: npt.NDArray[np.float32],  # (1, N, 2, 2) and Observations
    request: npt.NDArray[np.float32],  # (1, 3)
    mask: npt.NDArray[np.int8],  # (1, 2N)
) -> int:
    """Bring plain numbers into a lane; the first slot with room.

    Free resources are rounded down to units and needs up, so that nothing is placed where it does not fit.
    With `exact` the answer is `FINER` where rounding would change anything.
    """
    scale = NODES_PER_SERVER * resolution
    nodes = NODES_PER_SERVER if double else 1
    size = (cpu, memory)
    for resource in range(2):
        if exact and not _is_whole(size[resource] * resolution):
            return FINER
        wanted = min(size[resource] * scale / nodes, np.float64(_TOO_LARGE))
        need[resource] = np.int32(np.ceil(wanted - ROUNDING))
        request[0, resource] = np.float32(need[resource] * nodes) / np.float32(capacity[resource])
    need[DOUBLE] = double
    request[0, DOUBLE] = double
    finer = False
    for slot in range(2 * len(free)):
        for resource in range(2):
            number = free[slot >> 1, slot & 1, resource] * scale
            # False for NaN, too.
            if not (number >= -ROUNDING and number <= capacity[resource] + ROUNDING * scale):
                return NOT_ALLOWED
            finer |= exact and not _is_whole(number)
            count = np.int32(np.floor(number + ROUNDING))
            units[0, resource, slot] = count
            servers[0, slot >> 1, slot & 1, resource] = np.float32(count) / np.float32(capacity[resource])
        share[0, slot] = min(units[0, CPU, slot] / capacity[CPU], units[0, MEMORY, slot] / capacity[MEMORY])
    if finer:
        return FINER
    first = NOWHERE
    for slot in range(2 * len(free)):
        mask[0, slot] = fits_slot(units[0], need, slot)
        if mask[0, slot] and first < 0:
            first = slot
    return first
