"""Many episodes side by side, one decision of each per step: the stepping interface for learned policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiled_arrays import borrowed
from spane_rllib.core.compiling import compiled, inlined
from spane_rllib.problems.vm_scheduling.simulator.cluster import NODE_FEATURES, NODES_PER_SERVER, Cluster
from spane_rllib.problems.vm_scheduling.simulator.episodes import EpisodeResults
from spane_rllib.problems.vm_scheduling.simulator.objectives import begin, place
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    CPU,
    DOUBLE,
    HEAD,
    IDLE,
    MEMORY,
    NOW,
    RUNNING,
    RUNNING_VMS,
    START,
    STATUS,
    WAIT,
    LaneState,
    allocate,
    fits_slot,
    room_of,
)
from spane_rllib.problems.vm_scheduling.simulator.workload import Workload, WorkloadArrays


class Observations(NamedTuple):
    """What a policy sees, for L lanes; a lane without a running episode shows an empty request and mask."""

    # (L, N, 2, 2) [server, node, (cpu, memory)] free, as a share of the largest node. Where servers differ,
    # (L, N, 2, 4): then cpu and memory of the whole node.
    servers: npt.NDArray[np.float32]
    request: npt.NDArray[np.float32]  # (L, 3) cpu and memory as shares of the largest node, 1 if double
    action_mask: npt.NDArray[np.int8]  # (L, 2N) 1 where the VM at hand may be placed
    # Where lifetimes are known or predicted, else None; log(1 + seconds):
    lifetime: Any = None  # (L, 1) float32, of the VM at hand
    busy: Any = None  # (L, N, 2) float32, until the last VM of the node is expected to end

    @classmethod
    def empty(cls, lanes: int, cluster: Cluster, lifetimes: bool = False) -> Observations:
        """Those of idle lanes, with what is known of lifetimes if asked."""
        of_lifetimes: tuple[Any, ...] = ()
        if lifetimes:
            of_lifetimes = (
                np.zeros((lanes, 1), np.float32),
                np.zeros((lanes, cluster.pairs, NODES_PER_SERVER), np.float32),
            )
        servers = np.zeros((lanes, cluster.pairs, NODES_PER_SERVER, cluster.node_features), np.float32)
        if cluster.shows_sizes:
            servers[..., NODE_FEATURES:] = cluster.node_shares()
        return cls(
            servers,
            np.zeros((lanes, 3), np.float32),
            np.zeros((lanes, cluster.slots), np.int8),
            *of_lifetimes,
        )

    def named(self) -> dict[str, npt.NDArray[Any]]:
        """By name, what there is of them."""
        return {name: array for name, array in self._asdict().items() if array is not None}


class InfeasibleAction(ValueError):
    """An action that does not name a slot with room for the VM at hand."""


class Lanes:
    """`lanes` episodes of `workload` on `cluster`, stepped together.

    The arrays in `observations` are this object's own and are rewritten by `reset` and `step`: copy what you
    keep. All lanes are idle until `reset`.

    Args:
        workload: the compiled trace, shared and never written.
        cluster: must be of the server type the workload was compiled for; the number of servers is free
            unless they are in groups.
        lanes: number of episodes side by side.
    """

    def __init__(self, workload: Workload, cluster: Cluster, lanes: int = 1) -> None:
        workload.check_cluster(cluster)
        self.workload = workload
        self.cluster = cluster
        self._state = self._allocate(lanes, 1024)
        self.observations = Observations.empty(lanes, cluster, workload.lifetimes.is_known)

    def __len__(self) -> int:
        return len(self.observations.request)

    def reset(self, lanes: npt.ArrayLike, starts: npt.ArrayLike, vm_counts: npt.ArrayLike) -> None:
        """Begin an episode of `vm_counts[k]` VMs at row `starts[k]` in lane `lanes[k]`, for every k.

        Raises:
            UserError: an episode cannot begin at one of `starts`; no lane has changed then.
            ValueError: the shapes do not go together, there is no such lane, or a count is less than 1.
        """
        starts, vm_counts = self.workload.check_episodes(starts, vm_counts)
        lanes = np.atleast_1d(np.asarray(lanes, np.int64))
        if lanes.shape != starts.shape or lanes.min(initial=0) < 0 or lanes.max(initial=0) >= len(self):
            raise ValueError(
                f"lanes must be {len(starts)} of 0 to {len(self) - 1}, one per start, got {lanes}"
            )
        self._make_room(int(vm_counts.max(initial=1)))
        _reset(self.workload.arrays, self._state, self.observations, lanes, starts, vm_counts)

    def step(self, actions: npt.NDArray[np.int64]) -> int:
        """Place the VM at hand in every running lane on slot `actions[lane]` and go to its next decision.

        Lanes without a running episode are left alone, whatever their action. Returns the number of lanes
        whose episode ended with this step.

        Raises:
            InfeasibleAction: an action is out of range or its slot has no room; no lane has moved then.
        """
        if np.shape(actions) != (len(self),):
            raise ValueError(f"actions must have shape ({len(self)},), got {np.shape(actions)}")
        ended = _step(actions, *self.workload.arrays, *self._state, *self.observations)
        if ended < 0:
            lane = -1 - ended
            raise InfeasibleAction(f"lane {lane}: {self.explain(lane, int(actions[lane]))}")
        return ended

    def stop(self, lanes: Sequence[int] | npt.NDArray[np.int64]) -> None:
        """Break off the episodes of `lanes`, which become idle."""
        self._state.counters[lanes, STATUS] = IDLE
        self.observations.request[lanes] = 0.0
        self.observations.action_mask[lanes] = 0
        if self.observations.lifetime is not None:
            self.observations.lifetime[lanes] = 0.0

    def explain(self, lane: int, action: int) -> str:
        """Why `action` is infeasible in a running lane."""
        slots = self.cluster.slots
        if not 0 <= action < slots:
            return f"action {action} is not a slot; allowed are 0 to {slots - 1}"
        row = self._state.counters[lane, HEAD]
        cpu, memory = self.workload.trace.cpu[row], self.workload.trace.memory[row]
        feasible = np.flatnonzero(self.observations.action_mask[lane])
        server, node = self.cluster.places[action]
        return (
            f"slot {action} (server {server}, node {node}) has no room for VM {row} "
            f"({cpu:g} cpu x {memory:g} GiB); feasible are {feasible.tolist()}"
        )

    def _allocate(self, lanes: int, longest: int) -> LaneState:
        arrays = self.workload.arrays
        return allocate(lanes, self.cluster.slots, longest, waits=arrays.growth is None, queue=arrays.queue)

    def _make_room(self, longest: int) -> None:
        room = self._state.slot_of.shape[1]
        if longest <= room:
            return
        larger = self._allocate(len(self), max(longest, 2 * room))
        for name, old in self._state._asdict().items():
            if old is not None:
                getattr(larger, name)[tuple(slice(size) for size in old.shape)] = old
        self._state = larger

    @property
    def running(self) -> npt.NDArray[np.bool_]:
        """(L,) whether the lane waits for an action."""
        return self._state.counters[:, STATUS] == RUNNING

    @property
    def status(self) -> npt.NDArray[np.int64]:
        """(L,) IDLE, RUNNING, FINISHED or STUCK of `rules`; a view."""
        return self._state.counters[:, STATUS]

    @property
    def wait(self) -> npt.NDArray[np.float64]:
        """(L,) wait of the VM placed last, seconds; a view."""
        return self._state.clocks[:, WAIT]

    @property
    def state(self) -> LaneState:
        """The raw state, for inspection; a view."""
        return self._state

    def results(self, lanes: npt.NDArray[np.int64] | slice = slice(None)) -> EpisodeResults:
        """The totals of `lanes` (all by default) so far, as if their episodes ended now (copies)."""
        return EpisodeResults.of_state(self._state.counters[lanes], self._state.clocks[lanes])


_STATE = len(WorkloadArrays._fields)
_OBSERVATIONS = _STATE + len(LaneState._fields)


@inlined
def _observe_lifetimes(
    lifetime: Any, work: WorkloadArrays, state: LaneState, observations: Observations, lane: int
) -> None:
    if lifetime is not None:
        busy, now = observations.busy[lane], state.clocks[lane, NOW]
        lifetime[lane, 0] = 0.0
        if state.counters[lane, STATUS] == RUNNING:
            lifetime[lane, 0] = np.log1p(work.estimate[state.counters[lane, HEAD]])
        busy[:] = 0.0
        for index in range(state.counters[lane, RUNNING_VMS]):
            position = state.running[lane, index]
            slot = state.slot_of[lane, position]
            slot = slot if slot >= 0 else -1 - slot
            remaining = np.float32(np.log1p(max(0.0, state.expected_end[lane, position] - now)))
            for node in range(2):
                if node == slot & 1 or work.need[state.counters[lane, START] + position, DOUBLE]:
                    busy[slot >> 1, node] = max(busy[slot >> 1, node], remaining)


@inlined
def observe_slot(
    free: npt.NDArray[np.int32],
    servers: npt.NDArray[np.float32],
    slot: int,
    capacity_cpu: np.float32,
    capacity_memory: np.float32,
) -> None:
    """Write what is seen of a slot; `free` and `servers` are those of its lane, capacities of the largest."""
    servers[slot >> 1, slot & 1, CPU] = np.float32(free[CPU, slot]) / capacity_cpu
    servers[slot >> 1, slot & 1, MEMORY] = np.float32(free[MEMORY, slot]) / capacity_memory


@inlined
def observe_request(
    need: npt.NDArray[np.int32],
    request: npt.NDArray[np.float32],
    capacity_cpu: np.float32,
    capacity_memory: np.float32,
) -> None:
    """Write what is seen of a VM of `need`."""
    nodes = 1 + need[DOUBLE]
    request[CPU] = np.float32(need[CPU] * nodes) / capacity_cpu
    request[MEMORY] = np.float32(need[MEMORY] * nodes) / capacity_memory
    request[DOUBLE] = need[DOUBLE]


@inlined
def observe(work: WorkloadArrays, state: LaneState, observations: Observations, lane: int) -> None:
    """Write what the lane's policy sees now."""
    _observe_lifetimes(observations.lifetime, work, state, observations, lane)
    free, mask = state.free[lane], observations.action_mask[lane]
    servers, request = observations.servers[lane], observations.request[lane]
    capacity_cpu, capacity_memory = np.float32(work.capacity[0, CPU]), np.float32(work.capacity[0, MEMORY])
    for slot in range(free.shape[1]):
        observe_slot(free, servers, slot, capacity_cpu, capacity_memory)
    if state.counters[lane, STATUS] != RUNNING:
        request[:] = 0.0
        mask[:] = 0
        return
    need = work.need[state.counters[lane, HEAD]]
    observe_request(need, request, capacity_cpu, capacity_memory)
    room = room_of(state.room, state.free, state.counters[lane], lane)
    for slot in range(free.shape[1]):
        mask[slot] = fits_slot(room, need, slot)


@compiled
def _reset(
    work: WorkloadArrays,
    state: LaneState,
    observations: Observations,
    lanes: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    vm_counts: npt.NDArray[np.int64],
) -> None:
    work, state, observations = borrowed(work), borrowed(state), borrowed(observations)
    for index in range(len(lanes)):
        begin(work, state, lanes[index], starts[index], vm_counts[index])
        observe(work, state, observations, lanes[index])


@compiled
def _step(actions: npt.NDArray[np.int64], *arrays: npt.NDArray[Any]) -> int:
    """Step all running lanes and count those that end; -1 - lane, and no move, if its action does not fit.

    `arrays` are those of the workload, the state and the observations: named tuples would double the time of
    a call with one lane, nearly all of which is spent on taking the arguments apart.
    """
    work = borrowed(WorkloadArrays(*arrays[:_STATE]))
    state = borrowed(LaneState(*arrays[_STATE:_OBSERVATIONS]))
    observations = borrowed(Observations(*arrays[_OBSERVATIONS:]))
    slots = state.free.shape[2]
    for lane in range(len(actions)):
        if state.counters[lane, STATUS] == RUNNING:
            action = actions[lane]
            if action < 0 or action >= slots or observations.action_mask[lane, action] == 0:
                return -1 - lane
    ended = 0
    for lane in range(len(actions)):
        if state.counters[lane, STATUS] == RUNNING:
            place(work, state, lane, actions[lane])
            observe(work, state, observations, lane)
            ended += state.counters[lane, STATUS] != RUNNING
    return ended
