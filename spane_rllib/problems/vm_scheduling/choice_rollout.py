"""Whole episodes in which it is a choice whom to place, by a network, or a heuristic for the first that fits.

Each is compiled over simulator and policy, and none depends on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.core.compiled_arrays import borrowed
from spane_rllib.core.compiling import compiled, inlined
from spane_rllib.problems.vm_scheduling.network_actions import random_action, sample_action
from spane_rllib.problems.vm_scheduling.networks.choice_kernel import CompiledChoice, rate_choices
from spane_rllib.problems.vm_scheduling.networks.kernels import best_feasible
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Heuristic, Workload
from spane_rllib.problems.vm_scheduling.simulator.choice_lane import WAITING_FEATURES, ChoiceLane
from spane_rllib.problems.vm_scheduling.simulator.choice_rules import act, observe_choice
from spane_rllib.problems.vm_scheduling.simulator.episodes import Ends
from spane_rllib.problems.vm_scheduling.simulator.fragmentation import FragmentationArrays
from spane_rllib.problems.vm_scheduling.simulator.heuristics import choose
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    FINISHED,
    FIRST,
    FIRST_SLOT,
    HEAD,
    RUNNING,
    START,
    STATUS,
    TOTAL_WAIT,
    WAIT,
    LaneState,
)
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

BEST, EXPLORING, SAMPLING = range(3)
"""How a network acts: what it rates best, that or anything, or by the softmax of what it rates."""
_ROWS = 2048  # decisions of one call


class Record(NamedTuple):
    """Decisions in order; what is seen has a row more, of what comes after the last."""

    servers: Floats  # (R + 1, N, 2, 2), or (R + 1, N, 2, 4)
    waiting: Floats  # (R + 1, K, 4)
    action_mask: npt.NDArray[np.int8]  # (R + 1, 2NK + 1)
    action: Rows  # (R,)
    item: Rows  # (R,) which VM of the episode was placed, -1 for waiting
    wait: npt.NDArray[np.float64]  # (R,) of that VM, seconds
    log_probability: Floats  # (R,) where actions are sampled


@dataclass(frozen=True)
class ChoiceEpisode:
    """A finished episode."""

    record: Record
    total_wait: float  # seconds; inf where some were never placed
    finished: bool


class ChoiceRollout:
    """Plays episodes one after the other.

    Args:
        workload, cluster, choices: see `ChoiceLane`.
    """

    def __init__(self, workload: Workload, cluster: Cluster, choices: int) -> None:
        self.lane = ChoiceLane(workload, cluster, choices)
        self._cluster = cluster
        self._room = self._allocate(_ROWS)

    def _allocate(self, rows: int) -> Record:
        lane = self.lane
        return Record(
            np.repeat(lane.servers[None], rows + 1, axis=0),
            np.zeros((rows + 1, lane.choices, WAITING_FEATURES), np.float32),
            np.zeros((rows + 1, lane.choices * lane.slots + 1), np.int8),
            np.zeros(rows, np.int64),
            np.zeros(rows, np.int64),
            np.zeros(rows),
            np.zeros(rows, np.float32),
        )

    def play(
        self,
        network: CompiledChoice,
        start: int,
        vm_count: int,
        how: int = BEST,
        epsilon: float = 0.0,
        random: np.random.Generator | None = None,
    ) -> ChoiceEpisode:
        """An episode of `vm_count` VMs from row `start`; `epsilon`: share of random actions if EXPLORING."""
        generator = np.random.default_rng(0) if random is None else random
        return self._played(
            start,
            vm_count,
            lambda: _play(
                self.lane.workload.arrays,
                self.lane.state,
                network.weights,
                network.layout,
                how,
                epsilon,
                generator,
                True,
                self._room,
            ),
        )

    def ends(self, network: CompiledChoice, starts: Rows, vm_counts: Rows) -> Ends:
        """How the episodes of `play` end, each with what is rated best."""
        lane, counters, clocks = self.lane, [], []
        for start, vm_count in zip(starts.tolist(), vm_counts.tolist(), strict=True):
            lane.reset(start, vm_count)
            _play(
                lane.workload.arrays,
                lane.state,
                network.weights,
                network.layout,
                BEST,
                0.0,
                np.random.default_rng(0),
                False,
                self._room,
            )
            counters.append(lane.state.counters[0].copy())
            clocks.append(lane.state.clocks[0].copy())
        return Ends(np.stack(counters), np.stack(clocks))

    def imitated(self, heuristic: Heuristic, start: int, vm_count: int) -> ChoiceEpisode:
        """What a heuristic sees and does: it places the first VM that fits, as under `skip:K`."""
        lane = self.lane
        code, fragmentation = heuristic.compile(lane.workload, self._cluster.pairs)
        random = np.array([start], np.uint64)  # as `episodes._run_episodes` with seed 0
        return self._played(
            start,
            vm_count,
            lambda: _imitate(lane.workload.arrays, lane.state, code, fragmentation, random, self._room),
        )

    def _played(self, start: int, vm_count: int, play_on: Callable[[], int]) -> ChoiceEpisode:
        lane, pieces = self.lane, []
        lane.reset(start, vm_count)
        while lane.running:
            rows = play_on()
            behind = 0 if lane.running else 1  # the last piece has the row behind, too
            pieces.append([column[: rows + behind * (len(column) > _ROWS)].copy() for column in self._room])
        record = Record(*(np.concatenate(columns) for columns in zip(*pieces, strict=True)))
        finished = bool(lane.state.counters[0, STATUS] == FINISHED)
        total_wait = float(lane.state.clocks[0, TOTAL_WAIT]) if finished else np.inf
        return ChoiceEpisode(record, total_wait, finished)


@inlined
def _observe(
    work: WorkloadArrays,
    state: LaneState,
    record: Record,
    row: int,
    whom: npt.NDArray[np.int8],
    may_wait: bool,
) -> None:
    mask, places = record.action_mask[row], len(whom) - 1
    slots = mask[:-1].reshape((places, state.free.shape[2]))
    observe_choice(work, state, record.servers[row], record.waiting[row], whom, slots)
    mask[-1] = whom[places] if may_wait else 0


@inlined
def _note(state: LaneState, record: Record, row: int, action: int, placed: bool) -> None:
    """What an action, taken already, led to."""
    counters = state.counters[0]
    record.action[row] = action
    record.item[row] = counters[HEAD] - 1 - counters[START] if placed else -1
    record.wait[row] = state.clocks[0, WAIT] if placed else 0.0


@compiled
def _play(
    work: WorkloadArrays,
    state: LaneState,
    weights: Floats,
    layout: Rows,
    how: int,
    epsilon: float,
    random: np.random.Generator,
    recording: bool,
    record: Record,
) -> int:
    """Go on until the episode ends, or the record is full; returns the decisions made.

    Unless `recording`, only the first row is written to.
    """
    work, state, record = borrowed(work), borrowed(state), borrowed(record)
    weights, layout = borrowed(weights), borrowed(layout)
    places, slots = record.waiting.shape[1], state.free.shape[2]
    may_wait = layout[0, 3] != 0
    whom, q = np.empty(places + 1, np.int8), np.empty(places * slots + 1, np.float32)
    row = 0
    while state.counters[0, STATUS] == RUNNING and row < len(record.action):
        _observe(work, state, record, row, whom, may_wait)
        mask = record.action_mask[row]
        if how == EXPLORING and random.random() < epsilon:
            action = random_action(mask, random)
        else:
            rate_choices(weights, layout, record.servers[row], record.waiting[row], mask, q)
            if how == SAMPLING:
                action, log_probability = sample_action(q, mask, random)
                record.log_probability[row] = log_probability
            else:
                action = best_feasible(q, mask)
        act(work, state, places, action // slots, action % slots)
        _note(state, record, row, action, action < places * slots)
        row += recording
    _observe(work, state, record, row, whom, may_wait)
    return row


@compiled
def _imitate(
    work: WorkloadArrays,
    state: LaneState,
    code: int,
    fragmentation: FragmentationArrays,
    random: npt.NDArray[np.uint64],
    record: Record,
) -> int:
    """`_play` of a heuristic, which places the first VM that fits."""
    work, state, record = borrowed(work), borrowed(state), borrowed(record)
    fragmentation, random = borrowed(fragmentation), borrowed(random)
    places, slots = record.waiting.shape[1], state.free.shape[2]
    whom = np.empty(places + 1, np.int8)
    counters = state.counters[0]
    row = 0
    while counters[STATUS] == RUNNING and row < len(record.action):
        _observe(work, state, record, row, whom, True)
        place, position = 0, counters[FIRST]
        while whom[place] == 0:
            place += 1
            position = np.int64(state.behind[0, position])
        first_slot = 0
        while record.action_mask[row, place * slots + first_slot] == 0:
            first_slot += 1
        counters[HEAD], counters[FIRST_SLOT] = counters[START] + position, first_slot
        slot = choose(code, work, state, 0, random, fragmentation)
        act(work, state, places, place, slot)
        _note(state, record, row, place * slots + slot, True)
        row += 1
    _observe(work, state, record, row, whom, True)
    return row
