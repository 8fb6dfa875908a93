"""The best action by a SPANE network in a large cluster, which remembers what the servers were like.

A decision changes one server, and departures a few: only these are observed and embedded again. The action
is that of `network_actions.best_action`, bit for bit.
"""

# mypy: disable-error-code="call-arg"
# It does not see that numba gives intrinsics their first argument.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiling import inlined
from spane_rllib.problems.vm_scheduling.networks.many_servers import (
    SLOTS,
    EmbeddedServers,
    advantages,
    embed,
    groups_of,
    slots_above,
    slots_with,
)
from spane_rllib.problems.vm_scheduling.networks.packing import SPANE
from spane_rllib.problems.vm_scheduling.simulator.lanes import (
    Observations,
    observe_request,
    observe_slot,
)
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    CPU,
    DOUBLE,
    FIRST_SLOT,
    HEAD,
    MEMORY,
    LaneState,
)
from spane_rllib.problems.vm_scheduling.simulator.server_index import ServerIndex, StaleServers, tree_of
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays

Rows = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]
_EVEN = 0x55555555  # bits of the first nodes of servers


class RememberedServers(NamedTuple):
    """The servers of the only lane, as they were at its last decision."""

    free: npt.NDArray[np.int32]  # (2, slots of whole groups) as LaneState.free, -1 where there is no slot
    embedded: EmbeddedServers

    @classmethod
    def empty(cls, layout: Rows, servers: int) -> RememberedServers:
        """Nothing yet; `layout` is that of the network's `PackedWeights`."""
        free = np.full((2, SLOTS * groups_of(servers)), -1, np.int32)
        return cls(free, EmbeddedServers.empty(layout, servers))


def remembers_servers(layout: Rows) -> bool:
    """Whether the network of `layout` embeds each server by itself."""
    return bool(layout[0, 0] == SPANE)


def remembering_index(servers: int) -> ServerIndex:
    """The index by which so many servers can be remembered."""
    return ServerIndex(tree_of(servers), None, StaleServers.none_of(servers))


@inlined
def best_action_among_many(
    weights: Float32Array,
    layout: Rows,
    work: WorkloadArrays,
    state: LaneState,
    observations: Observations,
    remembered: RememberedServers,
) -> int:
    """The feasible action of the highest Q-value, the first of equals; the only lane has an index."""
    capacity_cpu, capacity_memory = np.float32(work.capacity[0, CPU]), np.float32(work.capacity[0, MEMORY])
    _catch_up(weights, layout, state, observations.servers[0], remembered, capacity_cpu, capacity_memory)
    need, request = work.need[state.counters[0, HEAD]], observations.request[0]
    observe_request(need, request, capacity_cpu, capacity_memory)
    baseline = advantages(weights, layout, request, remembered.embedded, state.free.shape[2])
    return _best_feasible(
        remembered.embedded.advantages, baseline, remembered.free, need, state.counters[0, FIRST_SLOT]
    )


@inlined
def _catch_up(
    weights: Float32Array,
    layout: Rows,
    state: LaneState,
    servers: Float32Array,
    remembered: RememberedServers,
    capacity_cpu: np.float32,
    capacity_memory: np.float32,
) -> None:
    """Observe and embed again the servers that have changed since the last decision."""
    stale, free, known = state.index.stale, state.free[0], remembered.free
    for at in range(stale.number[0]):
        server = int(stale.servers[at])
        stale.is_stale[server] = False
        is_other = False
        for slot in range(2 * server, 2 * server + 2):
            is_other |= (free[CPU, slot] != known[CPU, slot]) | (free[MEMORY, slot] != known[MEMORY, slot])
            known[CPU, slot], known[MEMORY, slot] = free[CPU, slot], free[MEMORY, slot]
            observe_slot(free, servers, slot, capacity_cpu, capacity_memory)
        if is_other:
            embed(weights, layout, servers[server], remembered.embedded, server)
    stale.number[0] = 0


@inlined
def _best_feasible(
    values: Float32Array, baseline: float, free: npt.NDArray[np.int32], need: npt.NDArray[np.int32], slot: int
) -> int:
    """The slot of the highest Q-value that has room for a VM of `need`; `slot` is the first one that has."""
    slots, units = free.shape[1], free.ravel()
    best = values[slot] + baseline
    for first in range(slot & -SLOTS, slots, SLOTS):
        above: int = slots_above(values, first, baseline, best)
        if above == 0:
            continue
        fitting = slots_with(units, CPU * slots + first, MEMORY * slots + first, need[CPU], need[MEMORY])
        if need[DOUBLE]:
            pairs = fitting & (fitting >> 1) & _EVEN
            fitting = pairs | (pairs << 1)
        above &= fitting
        candidate = first
        while above != 0:
            if above & 1 and values[candidate] + baseline > best:
                slot, best = candidate, values[candidate] + baseline
            above >>= 1
            candidate += 1
    return slot
