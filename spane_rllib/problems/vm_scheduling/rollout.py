"""Greedy episodes under a network for evaluation; recorded ones, of a network or a heuristic, for training.

Each is one compiled call over simulator and policy. A decision does not depend on the other episodes, so
neither do results depend on how many are played together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiled_arrays import borrowed, copy_into
from spane_rllib.core.compiling import compiled, inlined
from spane_rllib.problems.vm_scheduling.network_actions import (
    best_action,
    evaluate,
    random_action,
    sample_action,
)
from spane_rllib.problems.vm_scheduling.network_among_many import (
    RememberedServers,
    best_action_among_many,
    remembering_index,
    remembers_servers,
)
from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
from spane_rllib.problems.vm_scheduling.networks.kernels import scratch_size
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Heuristic, Workload
from spane_rllib.problems.vm_scheduling.simulator.episodes import Ends, is_indexed
from spane_rllib.problems.vm_scheduling.simulator.fragmentation import FragmentationArrays
from spane_rllib.problems.vm_scheduling.simulator.heuristics import choose
from spane_rllib.problems.vm_scheduling.simulator.lanes import Observations, observe
from spane_rllib.problems.vm_scheduling.simulator.objectives import begin, place
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    HEAD,
    PLACED,
    RUNNING,
    START,
    STATUS,
    TOTAL_WAIT,
    WAIT,
    LaneState,
    allocate,
)
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays

Rows = npt.NDArray[np.int64]
Float32Array = npt.NDArray[np.float32]

FEW_SERVERS = 64
"""Up to so many, greedy play looks at every server: twice as slow from 20 on, but compiled ahead."""


def play_greedily(
    network: CompiledQNetwork,
    workload: Workload,
    cluster: Cluster,
    starts: Rows,
    vm_counts: Rows,
    episodes_per_call: int = 256,
) -> Ends:
    """One episode of `vm_counts[e]` VMs from row `starts[e]` for every e, always taking the best action.

    The results class of the objective reads what is returned. An interruption is noticed every
    `episodes_per_call` episodes.
    """
    workload.check_cluster(cluster)
    network.check_cluster(cluster)
    starts, vm_counts = workload.check_episodes(starts, vm_counts)
    longest, layout = int(vm_counts.max(initial=1)), network.packed.layout
    index = remembered = None
    if remembers_servers(layout) and is_indexed(FEW_SERVERS, workload, cluster):
        index = remembering_index(cluster.pairs)
        remembered = RememberedServers.empty(layout, cluster.pairs)
    state = allocate(1, cluster.slots, longest, queue=workload.arrays.queue, index=index)
    finished = allocate(len(starts), 0, 0)
    for first in range(0, len(starts), episodes_per_call):
        chunk = slice(first, first + episodes_per_call)
        _play_greedily(
            workload.arrays,
            state,
            Observations.empty(1, cluster),
            network.packed.weights,
            layout,
            remembered,
            starts[chunk],
            vm_counts[chunk],
            finished.counters[chunk],
            finished.clocks[chunk],
        )
    return Ends(finished.counters, finished.clocks)


@dataclass(frozen=True)
class RecordedEpisode:
    """One finished training episode of T decisions; the arrays are views, copy what you keep."""

    servers: Float32Array  # (T, N, 2, 2), or (T, N, 2, 4); see `Observations`
    request: Float32Array  # (T, 3)
    action_mask: npt.NDArray[np.int8]  # (T, 2N)
    action: Rows  # (T,)
    vm: Rows  # (T,) row of the VM that was placed
    wait: npt.NDArray[np.float64]  # (T,) seconds
    servers_after: Float32Array  # (T, N, 2, 2) what the next decision sees
    total_wait: float  # seconds
    log_probability: Float32Array  # (T,) of the actions where they were sampled from a policy, else 0
    start: int  # row of the first VM
    status: int  # of the lane at the end: FINISHED, STUCK or CAPPED

    @property
    def observation(self) -> dict[str, npt.NDArray[Any]]:
        """What the decisions saw, by name."""
        return {"servers": self.servers, "request": self.request, "action_mask": self.action_mask}


class _Record(NamedTuple):
    """Decisions of all lanes; the state after the last decision has a row of its own."""

    servers: Float32Array  # (lanes, decisions + 1, N, 2, 2)
    request: Float32Array  # (lanes, decisions + 1, 3)
    action_mask: npt.NDArray[np.int8]  # (lanes, decisions + 1, 2N)
    action: Rows  # (lanes, decisions + 1)
    vm: Rows  # (lanes, decisions + 1)
    wait: npt.NDArray[np.float64]  # (lanes, decisions + 1)
    log_probability: Float32Array  # (lanes, decisions + 1)


class _RecordedRollout:
    """Lanes with room to record every decision of the episodes played in them.

    Args:
        workload, cluster: what is simulated.
        lanes: episodes side by side.
    """

    def __init__(self, workload: Workload, cluster: Cluster, lanes: int) -> None:
        workload.check_cluster(cluster)
        self._workload, self._cluster, self._lanes = workload, cluster, lanes
        self._observations = Observations.empty(lanes, cluster)
        self._make_room(1024)

    def _make_room(self, decisions: int) -> None:
        lanes, slots = self._lanes, self._cluster.slots
        self._room = decisions
        self._state = allocate(lanes, slots, decisions, queue=self._workload.arrays.queue)
        self._record = _Record(
            np.zeros((lanes, decisions + 1, *self._observations.servers.shape[1:]), np.float32),
            np.zeros((lanes, decisions + 1, 3), np.float32),
            np.zeros((lanes, decisions + 1, slots), np.int8),
            np.zeros((lanes, decisions + 1), np.int64),
            np.zeros((lanes, decisions + 1), np.int64),
            np.zeros((lanes, decisions + 1), np.float64),
            np.zeros((lanes, decisions + 1), np.float32),
        )

    def _prepare(self, starts: Rows, vm_counts: Rows) -> tuple[Rows, Rows]:
        if len(starts) > self._lanes:
            raise ValueError(f"{len(starts)} episodes do not fit into {self._lanes} lanes")
        starts, vm_counts = self._workload.check_episodes(starts, vm_counts)
        longest = int(vm_counts.max(initial=1))
        if longest > self._room:
            self._make_room(max(longest, 2 * self._room))
        return starts, vm_counts

    def _recorded(self, episodes: int) -> Iterator[RecordedEpisode]:
        record = self._record
        for lane in range(episodes):
            counters = self._state.counters[lane]
            length = int(counters[PLACED])
            yield RecordedEpisode(
                servers=record.servers[lane, :length],
                request=record.request[lane, :length],
                action_mask=record.action_mask[lane, :length],
                action=record.action[lane, :length],
                vm=record.vm[lane, :length],
                wait=record.wait[lane, :length],
                servers_after=record.servers[lane, 1 : length + 1],
                total_wait=float(self._state.clocks[lane, TOTAL_WAIT]),
                log_probability=record.log_probability[lane, :length],
                start=int(counters[START]),
                status=int(counters[STATUS]),
            )


class ExploringRollout(_RecordedRollout):
    """Plays training episodes side by side, one decision each in turn, and records them.

    Args:
        workload, cluster: what is simulated.
        lanes: episodes side by side.
    """

    def play(
        self,
        network: CompiledQNetwork,
        epsilon: float,
        starts: Rows,
        vm_counts: Rows,
        random: np.random.Generator,
    ) -> Iterator[RecordedEpisode]:
        """Play one episode per start, at most one per lane; each action is random with chance `epsilon`."""
        return self._play(network, False, epsilon, starts, vm_counts, random)

    def sample(
        self, network: CompiledQNetwork, starts: Rows, vm_counts: Rows, random: np.random.Generator
    ) -> Iterator[RecordedEpisode]:
        """The same with actions drawn from the softmax of the network's values over the feasible slots."""
        return self._play(network, True, 0.0, starts, vm_counts, random)

    def _play(
        self,
        network: CompiledQNetwork,
        sampled: bool,
        epsilon: float,
        starts: Rows,
        vm_counts: Rows,
        random: np.random.Generator,
    ) -> Iterator[RecordedEpisode]:
        network.check_cluster(self._cluster)
        starts, vm_counts = self._prepare(starts, vm_counts)
        _play_exploring(
            self._workload.arrays,
            self._state,
            self._observations,
            network.packed.weights,
            network.packed.layout,
            starts,
            vm_counts,
            sampled,
            epsilon,
            random,
            self._record,
        )
        return self._recorded(len(starts))


class HeuristicRollout(_RecordedRollout):
    """Plays and records episodes under a heuristic, the very ones of `run_heuristic` with seed 0.

    Args:
        workload, cluster: what is simulated.
        lanes: most episodes of one call.
        heuristic: who decides.
    """

    def __init__(self, workload: Workload, cluster: Cluster, lanes: int, heuristic: Heuristic) -> None:
        super().__init__(workload, cluster, lanes)
        self._code, self._fragmentation = heuristic.compile(workload, cluster.pairs)

    def play(self, starts: Rows, vm_counts: Rows) -> Iterator[RecordedEpisode]:
        """Play one episode per start, at most one per lane."""
        starts, vm_counts = self._prepare(starts, vm_counts)
        _play_heuristic(
            self._workload.arrays,
            self._state,
            self._observations,
            self._code,
            self._fragmentation,
            starts,
            vm_counts,
            self._record,
        )
        return self._recorded(len(starts))


@compiled
def _play_greedily(
    work: WorkloadArrays,
    state: LaneState,
    observations: Observations,
    weights: Float32Array,
    layout: Rows,
    remembered: RememberedServers | None,
    starts: Rows,
    vm_counts: Rows,
    counters: Rows,
    clocks: npt.NDArray[np.float64],
) -> None:
    """Play one episode after the other in the one lane of `state`; keep its final counters and clocks."""
    work, state, observations = borrowed(work), borrowed(state), borrowed(observations)
    weights, layout, remembered = borrowed(weights), borrowed(layout), borrowed(remembered)
    scratch = np.empty(scratch_size(layout, observations.servers.shape[1]), np.float32)
    q = np.empty(observations.action_mask.shape[1], np.float32)
    for episode in range(len(starts)):
        begin(work, state, 0, starts[episode], vm_counts[episode])
        while state.counters[0, STATUS] == RUNNING:
            action = _best_action(weights, layout, work, state, observations, remembered, scratch, q)
            place(work, state, 0, action)
        copy_into(counters[episode], state.counters[0])
        copy_into(clocks[episode], state.clocks[0])


@inlined
def _best_action(
    weights: Float32Array,
    layout: Rows,
    work: WorkloadArrays,
    state: LaneState,
    observations: Observations,
    remembered: Any,
    scratch: Float32Array,
    q: Float32Array,
) -> int:
    """The best action in the only lane, by a look at all servers unless they are `remembered`."""
    if remembered is None:
        observe(work, state, observations, 0)
        return best_action(weights, layout, observations, 0, scratch, q)
    else:  # by itself, so that nothing is compiled where they are not
        return best_action_among_many(weights, layout, work, state, observations, remembered)


@compiled
def _play_exploring(
    work: WorkloadArrays,
    state: LaneState,
    observations: Observations,
    weights: Float32Array,
    layout: Rows,
    starts: Rows,
    vm_counts: Rows,
    sampled: bool,
    epsilon: float,
    random: np.random.Generator,
    record: _Record,
) -> None:
    """Play one episode per lane in lockstep and write every decision to `record`."""
    work, state, observations = borrowed(work), borrowed(state), borrowed(observations)
    weights, layout, record = borrowed(weights), borrowed(layout), borrowed(record)
    scratch = np.empty(scratch_size(layout, observations.servers.shape[1]), np.float32)
    q = np.empty(observations.action_mask.shape[1], np.float32)
    for lane in range(len(starts)):
        _begin(work, state, observations, lane, starts[lane], vm_counts[lane], record)
    running = len(starts)
    while running:
        running = 0
        for lane in range(len(starts)):
            if state.counters[lane, STATUS] != RUNNING:
                continue
            if sampled:
                evaluate(weights, layout, observations, lane, scratch, q)
                action, log_probability = sample_action(q, observations.action_mask[lane], random)
                decision = state.counters[lane, PLACED]
                record.log_probability[lane, decision] = log_probability
            elif random.random() < epsilon:
                action = random_action(observations.action_mask[lane], random)
            else:
                action = best_action(weights, layout, observations, lane, scratch, q)
            _decide(work, state, observations, lane, action, record)
            running += state.counters[lane, STATUS] == RUNNING


@compiled
def _play_heuristic(
    work: WorkloadArrays,
    state: LaneState,
    observations: Observations,
    code: int,
    fragmentation: FragmentationArrays,
    starts: Rows,
    vm_counts: Rows,
    record: _Record,
) -> None:
    """Play one episode per lane and write every decision to `record`."""
    work, state, observations = borrowed(work), borrowed(state), borrowed(observations)
    fragmentation, record = borrowed(fragmentation), borrowed(record)
    random = np.empty(1, np.uint64)
    for lane in range(len(starts)):
        random[0] = np.uint64(starts[lane])
        _begin(work, state, observations, lane, starts[lane], vm_counts[lane], record)
        while state.counters[lane, STATUS] == RUNNING:
            action = choose(code, work, state, lane, random, fragmentation)
            _decide(work, state, observations, lane, action, record)


@inlined
def _begin(
    work: WorkloadArrays,
    state: LaneState,
    observations: Observations,
    lane: int,
    start: int,
    vm_count: int,
    record: _Record,
) -> None:
    """Begin an episode in a lane and record what its first decision sees."""
    begin(work, state, lane, start, vm_count)
    observe(work, state, observations, lane)
    copy_into(record.servers[lane, 0], observations.servers[lane])


@inlined
def _decide(
    work: WorkloadArrays,
    state: LaneState,
    observations: Observations,
    lane: int,
    action: int,
    record: _Record,
) -> None:
    """Take `action` in a running lane and record the decision."""
    decision = state.counters[lane, PLACED]
    record.vm[lane, decision] = state.counters[lane, HEAD]
    copy_into(record.request[lane, decision], observations.request[lane])
    copy_into(record.action_mask[lane, decision], observations.action_mask[lane])
    record.action[lane, decision] = action
    place(work, state, lane, action)
    observe(work, state, observations, lane)
    record.wait[lane, decision] = state.clocks[lane, WAIT]
    copy_into(record.servers[lane, decision + 1], observations.servers[lane])
