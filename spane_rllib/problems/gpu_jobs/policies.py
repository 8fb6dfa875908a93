"""The policies that need no training: how each goes through the queue, in one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from spane_rllib.core.errors import UserError
from spane_rllib.problems.gpu_jobs.names import POLICIES
from spane_rllib.problems.gpu_jobs.simulator.backfilling import play_conservative, play_easy
from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster
from spane_rllib.problems.gpu_jobs.simulator.events import play
from spane_rllib.problems.gpu_jobs.simulator.jobs import WHOLE, Floats, Jobs
from spane_rllib.problems.gpu_jobs.simulator.preemptive import play_preemptive
from spane_rllib.problems.gpu_jobs.simulator.published import TOP, play_ticks
from spane_rllib.problems.gpu_jobs.simulator.schedule import Schedule
from spane_rllib.problems.gpu_jobs.simulator.scores import play_scored
from spane_rllib.problems.gpu_jobs.simulator.state import (
    CHOICES,
    Queue,
    State,
    begin,
    estimates,
    job_arrays,
    make_queue,
)

_ALL = 1 << 60
_DEPTH = 32
"""Jobs of conservative backfilling that have reservations."""
_SCORES = ("wfp3", "unicep")
_PREEMPTIVE = ("srtf", "las")
LAS_THRESHOLD = 3600.0
"""GPU-seconds of the first queue of least attained service."""


@dataclass(frozen=True)
class Rules:
    """Under what a workload is played.

    Args:
        published: the rules of the reference, else the corrected ones.
        horizon: seconds at which the simulation is cut off.
        runtimes: what schedulers know of them: `known`, `estimated` or `unknown`.
        noise: standard deviation of the logarithm of estimates.
        restart: seconds that an interrupted job loses.
        seed: of estimates and of the policy `random`.
        rewarded: whether the published rewards are added up.
    """

    published: bool = False
    horizon: float = np.inf
    runtimes: str = "known"
    noise: float = 0.5
    restart: float = 30.0
    seed: int = 0
    rewarded: bool = False


class Policy(Protocol):
    """What schedules a whole workload."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    @property
    def identity(self) -> str:
        """What decides its actions."""
        ...

    def refusal(self, rules: Rules) -> str:
        """Why it cannot play under these rules, or nothing."""
        ...

    def schedule(self, jobs: Jobs, cluster: Cluster, rules: Rules) -> Schedule:
        """Play a workload."""
        ...


Keys = Callable[[Jobs, Floats, int], Sequence[Any]]
"""What the queue is ordered by: (N,) keys of the jobs, their estimates, and a seed."""

ORDERS: dict[str, Keys] = {
    "arrival": lambda jobs, estimate, seed: (jobs.arrival,),
    "priority": lambda jobs, estimate, seed: (-jobs.priority, jobs.arrival),
    "shortest": lambda jobs, estimate, seed: (estimate, -jobs.priority, jobs.arrival),
    "smallest": lambda jobs, estimate, seed: (jobs.milli, jobs.arrival),
    "f1": lambda jobs, estimate, seed: (
        np.log10(np.maximum(estimate, 1.0)) * jobs.gpus
        + 870 * np.log10(np.maximum(jobs.arrival - jobs.arrival[0], 1.0)),
    ),
    "work": lambda jobs, estimate, seed: (
        estimate * np.maximum(jobs.gpus, 1 / WHOLE) / np.maximum(jobs.priority, 1e-9),
        jobs.arrival,
    ),
    "urgent": lambda jobs, estimate, seed: (estimate / np.maximum(jobs.priority, 1e-9), jobs.arrival),
    "random": lambda jobs, estimate, seed: (np.random.default_rng([seed, 53]).permutation(len(jobs)),),
}


@dataclass(frozen=True)
class Heuristic:
    """A policy by name.

    Args:
        key: in `POLICIES`.
        order: in `ORDERS`.
        how: it goes through the order: `first_fit`, `strict`, `easy` or `conservative`; or what it goes by
            instead: `wfp3`, `unicep`, or, interrupting others, `srtf` or `las`.
        gradient: whether it places by the fragmentation gradient.
        cap: places of the queue that it reaches under the published rules.
        single: whether it believes, under the published rules, that a job must fit into one type.
        constant: place of the queue that it always takes under the published rules.
        shown: what tables call it; "" for the key.
    """

    key: str
    order: str = "arrival"
    how: str = "first_fit"
    gradient: bool = False
    cap: int = _ALL
    single: bool = False
    constant: int = -1
    shown: str = ""

    @property
    def name(self) -> str:
        return self.shown or self.key

    @property
    def identity(self) -> str:
        return self.key

    def refusal(self, rules: Rules) -> str:
        if rules.published and (self.how != "first_fit" or self.gradient):
            return "plays under the corrected rules only; leave out --rules published"
        if not rules.published and self.constant >= 0:
            return "plays under the published rules only; add --rules published"
        return ""

    def schedule(self, jobs: Jobs, cluster: Cluster, rules: Rules) -> Schedule:
        estimate = estimates(jobs, rules.runtimes, rules.noise, rules.seed)
        arrays, pools = job_arrays(jobs, estimate), cluster.arrays()
        # In the reference the queue itself is in order of priority.
        order = "priority" if rules.published and self.order == "arrival" else self.order
        queue = make_queue(jobs, *ORDERS[order](jobs, estimate, rules.seed))
        state = begin(jobs, cluster, queue, by_place=rules.published or self.how == "conservative")
        if rules.published:
            return self._published(jobs, cluster, queue, state, rules)
        held = cuts = log = None
        simulation = state, arrays, pools, queue
        horizon = float(rules.horizon)
        if self.how in _PREEMPTIVE:
            mode = _PREEMPTIVE.index(self.how)
            held, cuts, log = play_preemptive(*simulation, mode, LAS_THRESHOLD, float(rules.restart), horizon)
        elif self.how in _SCORES:
            play_scored(*simulation, _SCORES.index(self.how), horizon)
        elif self.how == "easy":
            play_easy(*simulation, horizon)
        elif self.how == "conservative":
            if (jobs.milli % WHOLE).any():
                raise UserError("policy conservative: needs whole GPUs, and some jobs ask for a share of one")
            play_conservative(*simulation, _DEPTH, horizon)
        else:
            play(*simulation, self.how == "strict", self.gradient, horizon)
        return schedule_of(state, jobs, cluster, rules, held=held, cuts=cuts, log=log)

    def _published(self, jobs: Jobs, cluster: Cluster, order: Queue, state: State, rules: Rules) -> Schedule:
        queue = make_queue(jobs, *ORDERS["priority"](jobs, jobs.runtime, 0))
        total = play_ticks(
            state,
            job_arrays(jobs),
            cluster.arrays(),
            queue,
            order,
            self.constant,
            self.cap,
            self.single,
            float(rules.horizon),
            rules.rewarded,
        )
        return schedule_of(state, jobs, cluster, rules, total_reward=total if rules.rewarded else None)


def schedule_of(state: State, jobs: Jobs, cluster: Cluster, rules: Rules, **more: Any) -> Schedule:
    """What a finished simulation came to."""
    # The reference's last tick lets pass what is before the horizon, ours what is at it, too.
    horizon = rules.horizon
    late = state.finish >= horizon if rules.published else state.finish > horizon
    waiting = state.pool == -1
    finish = np.where(late | (np.isfinite(state.finish) & _waits(state, waiting, jobs)), np.nan, state.finish)
    return Schedule(
        jobs=jobs,
        start=state.start,
        finish=finish,
        taken=state.taken,
        end=horizon,
        gpus=cluster.gpus,
        censored=not rules.published,
        order=state.order,
        pool=state.pool,
        shared=state.opened,
        choices=int(state.count[CHOICES]),
        **more,
    )


def _waits(state: State, nowhere: Any, jobs: Jobs) -> Any:
    """(N,) jobs with GPUs that were interrupted and wait: where they would have ended means nothing."""
    return nowhere & (jobs.milli > 0)


HEURISTICS = {
    policy.name: policy
    for policy in (
        Heuristic("fcfs", "priority", cap=TOP, single=True),
        Heuristic("first_fit", "arrival", cap=TOP, single=True),
        Heuristic("sjf", "shortest", cap=TOP, single=True),
        Heuristic("fcfs_uncapped", "priority", single=True),
        Heuristic("sjf_uncapped", "shortest", single=True),
        Heuristic("fcfs_split", "priority", cap=TOP),
        Heuristic("sjf_split", "shortest"),
        Heuristic("sixth", "priority", cap=TOP, constant=5),
        Heuristic("fifo", "arrival", "strict"),
        Heuristic("priority", "priority", "strict"),
        Heuristic("smallest", "smallest"),
        Heuristic("weighted_shortest", "urgent"),
        Heuristic("weighted_smallest", "work"),
        Heuristic("f1", "f1"),
        Heuristic("wfp3", "arrival", "wfp3"),
        Heuristic("unicep", "arrival", "unicep"),
        Heuristic("easy", "arrival", "easy"),
        Heuristic("conservative", "arrival", "conservative"),
        Heuristic("fragmentation", "arrival", gradient=True),
        Heuristic("srtf", "shortest", how="srtf"),
        Heuristic("las", "arrival", how="las"),
        Heuristic("random", "random"),
    )
}
assert list(HEURISTICS) == list(POLICIES)
