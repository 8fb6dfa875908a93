"""The policy `rollout`: what a heuristic does, unless an alternative waits significantly less on futures.

Rollout as in Bertsekas (Rollout, Policy Iteration, and Distributed Reinforcement Learning, 2020): each
alternative to the decision at hand is played on by the base heuristic, on the same sampled futures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.lifetimes import Lifetimes, parse_lifetimes
from spane_rllib.problems.vm_scheduling.lookahead.alternatives import decide, play_alternatives
from spane_rllib.problems.vm_scheduling.lookahead.futures import allocate_future, begin_future, history_of
from spane_rllib.problems.vm_scheduling.lookahead.options import RolloutOptions
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    FragmentationGradient,
    Heuristic,
    Lanes,
    Workload,
)
from spane_rllib.problems.vm_scheduling.simulator.episodes import Ends
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    RUNNING_VMS,
    START,
    STOP,
    WAITING,
    LaneState,
    allocate,
)
from spane_rllib.problems.vm_scheduling.simulator.workload import WorkloadArrays

Rows = npt.NDArray[np.int64]

KNOWN = parse_lifetimes("known")
_FIRST_LOOK = 4
"""Scenarios after which alternatives that are not better so far are dropped."""
_FOR_EVER = 1e18
"""Seconds that stand for a wait without end."""


@dataclass(frozen=True)
class RolloutPolicy:
    """See the module; one of `policies.Policy`.

    Args:
        name: what tables call it.
        options: how it plans.
        training_rows: the first rows of the trace, from which it knows what VMs are like; None for all.
    """

    name: str
    options: RolloutOptions
    training_rows: int | None = None

    @property
    def identity(self) -> str:
        """All options."""
        return f"rollout {self.options.text} {self.training_rows}"

    def accepts(self, servers: int) -> bool:
        """Any number."""
        return True

    def play(self, workload: Workload, cluster: Cluster, starts: Rows, vm_counts: Rows, seed: int) -> Ends:
        """Run one episode of (at most) `vm_counts[e]` VMs from row `starts[e]` for every e."""
        counters, clocks = [], []
        planner = _Planner(self, workload, cluster)
        for start, vm_count in zip(starts.tolist(), vm_counts.tolist(), strict=True):
            lanes = Lanes(planner.workload, cluster)
            lanes.reset(0, start, vm_count)
            random = np.random.default_rng([seed, start])
            while lanes.running[0]:
                lanes.step(np.array([planner.decide(lanes, random)]))
            counters.append(lanes.state.counters[0].copy())
            clocks.append(lanes.state.clocks[0].copy())
        return Ends(np.stack(counters), np.stack(clocks))

    def decider(self, lanes: Lanes, start: int, seed: int) -> Callable[[Lanes], int]:
        """What chooses the slot in lane 0, as `play` does, in the episode that begins there at `start`."""
        planner = _Planner(self, lanes.workload, lanes.cluster)
        random = np.random.default_rng([seed, start])
        # The same episode, in which what runs is listed.
        counters, own = lanes.state.counters[0], Lanes(planner.workload, lanes.cluster)
        own.reset(0, start, int(counters[STOP] - counters[START]))

        def decide(_: Lanes) -> int:
            slot = planner.decide(own, random)
            own.step(np.array([slot]))
            return slot

        return decide


class _Planner:
    """A policy on a workload: it decides in lanes of `workload`, which lists what runs."""

    def __init__(self, policy: RolloutPolicy, workload: Workload, cluster: Cluster) -> None:
        if workload.arrays.growth is not None:
            raise UserError(f"policy {policy.name}: plans for waits, not for allocations")
        self.options = policy.options
        # What the base sees is checked on what is known, which is less than what is listed.
        heuristic = self._heuristic(workload, policy.training_rows)
        heuristic.compile(workload if not self.options.is_true else workload.under(workload.queue, KNOWN), 1)
        told: Lifetimes = KNOWN if self.options.is_true else workload.lifetimes
        self.workload = workload.under(workload.queue, told if told.is_known else KNOWN)
        self._sigma = told.sigma if told.is_known else -1.0
        self._code, self._fragmentation = heuristic.compile(self.workload, cluster.pairs)
        self._kind = self.workload.kind
        rows = min(policy.training_rows or len(workload), len(workload))
        self._history = history_of(workload.arrays, rows)
        self._vms = min(self.options.vms, rows - 1)
        self._slots = cluster.slots
        self._scratch = np.zeros(1, np.uint64)
        self._make_room(1024)

    def _heuristic(self, workload: Workload, training_rows: int | None) -> Heuristic:
        gradient = FragmentationGradient.of_trace(workload.trace, last=training_rows)
        return Heuristic(self.options.base, gradient if self.options.base == "fgd" else None)

    def _make_room(self, rows: int) -> None:
        queue = self.workload.arrays.queue
        self._future = allocate_future(rows)
        self._base, self._played = (allocate(1, self._slots, rows, queue=queue) for _ in range(2))

    def decide(self, lanes: Lanes, random: np.random.Generator) -> int:
        """The slot for the VM at hand in lane 0 of `lanes`, which are of `workload`."""
        arrays, state, options = self.workload.arrays, lanes.state, self.options
        slots = decide(arrays, state, self._code, self._fragmentation, self._scratch, options.alternatives)
        if len(slots) == 1:
            return int(slots[0])
        counters = state.counters[0]
        coming = counters[STOP] - counters[START] if options.is_true else self._vms
        rows = int(counters[RUNNING_VMS] + counters[WAITING] + 1 + coming)
        if rows > len(self._future.kind):
            self._make_room(2 * rows)
        if not self._may_wait(state, slots[:1], random):
            return int(slots[0])
        scenarios = 1 if options.is_true else options.scenarios
        waits = np.empty((scenarios, len(slots)))
        for scenario in range(scenarios):
            self._play(state, slots, random, waits[scenario])
            if scenario + 1 == min(_FIRST_LOOK, scenarios):
                gain = _gains(waits[: scenario + 1, : len(slots)]).mean(axis=0)
                kept = np.concatenate([[0], 1 + np.flatnonzero(gain > 0)])
                slots, waits = slots[kept], np.ascontiguousarray(waits[:, kept])
                if len(slots) == 1:
                    return int(slots[0])
        return int(slots[_best(_gains(waits), options.significance)])

    def _may_wait(self, state: LaneState, base: Rows, random: np.random.Generator) -> bool:
        """Whether anybody waits if the base decides: most decisions end here, since servers fill slowly."""
        wait = np.empty(1)
        for _ in range(1 if self.options.is_true else _FIRST_LOOK):
            self._play(state, base, random, wait)
            if wait[0] > 0:
                return True
        return False

    def _play(
        self, state: LaneState, slots: Rows, random: np.random.Generator, waits: npt.NDArray[np.float64]
    ) -> None:
        """One future under every alternative."""
        options, future = self.options, self._future
        rows, running = begin_future(
            self.workload.arrays,
            self._kind,
            state,
            self._sigma,
            self._history,
            self._vms,
            options.announced,
            options.is_true,
            random,
            future,
            self._base,
        )
        arrays = self.workload.arrays
        work = WorkloadArrays(
            future.need[:rows],
            future.times[:rows],
            future.end_time[: rows - running],
            future.end_vm[: rows - running],
            arrays.capacity,
            queue=arrays.queue,
            estimate=future.estimate[:rows],
        )
        fragmentation = self._fragmentation._replace(kind=future.kind)
        play_alternatives(work, self._base, self._played, self._code, fragmentation, slots, waits)


def _gains(waits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(S, C - 1) by how much less each alternative waits than the base, the first; 0 of two infinite."""
    with np.errstate(invalid="ignore"):
        gains: npt.NDArray[np.float64] = np.nan_to_num(
            waits[:, :1] - waits[:, 1:], nan=0.0, posinf=_FOR_EVER, neginf=-_FOR_EVER
        )
    return gains


def _best(gains: npt.NDArray[np.float64], significance: float) -> int:
    """Column of the waits: 0, or the alternative of largest mean gain among those that gain significantly."""
    mean = gains.mean(axis=0)
    scenarios = len(gains)
    error = gains.std(axis=0, ddof=1) / np.sqrt(scenarios) if scenarios > 1 else np.zeros(len(mean))
    mean[(mean <= 0) | (mean < significance * error)] = 0.0
    return int(mean.argmax()) + 1 if mean.any() else 0
