"""One simulation that is decided step by step: what the environment and trained policies play."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.gpu_jobs.policies import ORDERS, Rules, schedule_of
from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster
from spane_rllib.problems.gpu_jobs.simulator.jobs import Jobs
from spane_rllib.problems.gpu_jobs.simulator.observation import (
    OVERALL_FEATURES,
    SLOT_FEATURES,
    TYPE_FEATURES,
    next_choice,
    observe,
    observe_published,
)
from spane_rllib.problems.gpu_jobs.simulator.published import TOP, tick
from spane_rllib.problems.gpu_jobs.simulator.schedule import Schedule
from spane_rllib.problems.gpu_jobs.simulator.state import (
    COST,
    NEXT,
    NOW,
    REWARD,
    RUNNING,
    WAITING,
    begin,
    estimates,
    job_arrays,
    make_queue,
)

Observation = dict[str, npt.NDArray[Any]]
_NAMES = ("slots", "types", "overall", "action_mask")


class Session:
    """A workload on its way. `observation` has the arrays of the environment, new ones after every step.

    Args:
        jobs: the workload.
        cluster: the GPUs.
        rules: under what it is played.
        slots: waiting jobs that are seen; the action `slots` is to start none of them.
        order: of the queue, in `ORDERS`.
    """

    def __init__(
        self, jobs: Jobs, cluster: Cluster, rules: Rules, slots: int = TOP, order: str = "urgent"
    ) -> None:
        self.jobs, self.cluster, self.rules, self.slots = jobs, cluster, rules, slots
        estimate = estimates(jobs, rules.runtimes, rules.noise, rules.seed)
        self._arrays, self._pools = job_arrays(jobs, estimate), cluster.arrays()
        keys = ORDERS["priority" if rules.published else order](jobs, estimate, rules.seed)
        self._queue = make_queue(jobs, *keys)
        self.state = begin(jobs, cluster, self._queue)
        self._shown = np.empty(slots, np.int64)
        self._total = np.array([each.count for each in cluster.ordered])
        self._cost = 0.0
        self.over = False
        self.observation: Observation = {}
        if rules.published:
            self._look()
        else:
            self._next_choice(-1, stay=False)

    @property
    def now(self) -> float:
        """Seconds."""
        return float(self.state.clock[NOW])

    def step(self, action: int) -> float:
        """Start the job in slot `action`, or none; returns the reward.

        Corrected: minus the hours that jobs have waited since, times their priorities. Published: that of the
        reference.
        """
        state = self.state
        if self.rules.published:
            tick(state, self._arrays, self._pools, self._queue, action, self.cluster.gpus, self.slots)
            self._look()
            left = len(self.jobs) - state.count[NEXT] + state.count[WAITING] + state.count[RUNNING]
            self.over = not left or self.now >= self.rules.horizon
            return float(state.clock[REWARD])
        starts = action < self.slots
        self._next_choice(int(self._shown[action]) if starts else -1, stay=starts)
        reward = -(float(state.clock[COST]) - self._cost) / 3600
        self._cost = float(state.clock[COST])
        return reward

    def _next_choice(self, job: int, stay: bool) -> None:
        """Start a job, and go on until a job that is seen fits."""
        arrays = self._new_arrays()
        horizon = float(self.rules.horizon)
        simulation = self.state, self._arrays, self._pools, self._queue
        self.over = not next_choice(*simulation, job, stay, horizon, self._total, *arrays, self._shown)
        self.observation = dict(zip(_NAMES, arrays, strict=True))

    def _look(self) -> None:
        """Observe a tick of the published rules."""
        arrays = self._new_arrays()
        simulation = self.state, self._arrays, self._pools, self._queue
        observe(*simulation, self._total, *arrays, self._shown)
        arrays[-1][self.slots] = 1
        self.observation = dict(zip(_NAMES, arrays, strict=True))
        seen = np.empty(4 * self.slots + 2, np.float32)
        state, gpus = self.state, self.cluster.gpus
        observe_published(state, self._arrays, self._queue, self.jobs.flops, gpus, self.slots, seen)
        self.observation["published"] = seen

    def _new_arrays(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        return (
            np.empty((self.slots, len(SLOT_FEATURES)), np.float32),
            np.empty((len(self._total), len(TYPE_FEATURES)), np.float32),
            np.empty(len(OVERALL_FEATURES), np.float32),
            np.empty(self.slots + 1, np.int8),
        )

    def schedule(self) -> Schedule:
        """What it has come to."""
        return schedule_of(self.state, self.jobs, self.cluster, self.rules)

    @property
    def weighted_jct(self) -> float:
        """Mean completion time weighted by priority, seconds, of jobs that have started or arrived."""
        jobs, state = self.jobs, self.state
        begun = np.isfinite(state.start)
        end = np.where(begun, state.finish, self.now)
        seen = begun | (jobs.arrival <= self.now)
        weight = jobs.priority * seen
        return float((weight * (end - jobs.arrival)).sum() / weight.sum()) if weight.any() else 0.0
