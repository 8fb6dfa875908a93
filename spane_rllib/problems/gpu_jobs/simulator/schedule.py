"""What a simulation came to: when every job started and ended, and measures of that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.gpu_jobs.simulator.jobs import Floats, Ints, Jobs

SHORT_S = 10.0
"""Run times below count as this long in the bounded slowdown (Feitelson and Rudolph, JSSPP 1998)."""


class Runs(NamedTuple):
    """R times that a job held GPUs without a break, in the order in which they began."""

    job: Ints  # (R,)
    start: Floats  # (R,) seconds
    finish: Floats  # (R,) seconds; NaN: not by the end of the simulation
    pool: Ints  # (R,) where, or NOWHERE (without GPUs) or SPREAD of `state`
    shared: Ints  # (R,) which of the shared GPUs, counted as in the simulation; only for shares of one


@dataclass(frozen=True)
class Schedule:
    """N jobs as a policy has scheduled them.

    Args:
        jobs: what was scheduled.
        start, finish: (N,) seconds; NaN where it did not happen by `end`.
        taken: (N, T) GPUs by type, the types in `Cluster.ordered`.
        end: when the simulation ended, seconds; infinity: it ran to the last job.
        gpus: of the cluster.
        censored: whether jobs that have not ended count, with the time since their arrival.
        held: (N,) seconds that a job has held its GPUs, where interruptions tell it from finish - start.
        cuts: (N,) interruptions.
        total_reward: sum of the rewards, where they were added up.
        order: (N,) in which jobs were started.
        pool, shared: (N,) where a job ran, as in `Runs`.
        log: of interrupting policies: (R, 5) columns of `Runs`, with infinity for an end that did not come.
        choices: how often a job was started.
    """

    jobs: Jobs
    start: Floats
    finish: Floats
    taken: npt.NDArray[np.int16]
    end: float
    gpus: int
    censored: bool
    order: Ints
    pool: Ints
    shared: Ints
    held: Floats | None = None
    cuts: Ints | None = None
    log: Floats | None = None
    total_reward: float | None = None
    choices: int = field(default=0, compare=False)

    @property
    def completed(self) -> npt.NDArray[np.bool_]:
        """(N,) whether a job has ended."""
        return np.isfinite(self.finish)

    @property
    def running(self) -> npt.NDArray[np.bool_]:
        """(N,) whether a job was running at the end."""
        return np.isfinite(self.start) & ~self.completed

    @property
    def arrived(self) -> npt.NDArray[np.bool_]:
        """(N,) whether a job had arrived by the end."""
        return self.jobs.arrival <= self.end

    @property
    def queued(self) -> npt.NDArray[np.bool_]:
        """(N,) whether a job waited at the end."""
        return self.arrived & np.isnan(self.start)

    @property
    def counted(self) -> npt.NDArray[np.bool_]:
        """(N,) whether a job counts in means."""
        return self.arrived if self.censored else self.completed

    @property
    def jct(self) -> Floats:
        """(N,) job completion times, seconds; of jobs that have not ended the time since arrival."""
        return np.where(self.completed, self.finish, self.end) - self.jobs.arrival

    @property
    def last(self) -> float:
        """When the last job ended, or else the end; NaN if nothing ended."""
        if self.censored and not self.completed.all() and np.isfinite(self.end):
            return float(self.end)
        return float(np.nanmax(self.finish)) if self.completed.any() else np.nan

    @property
    def runs(self) -> Runs:
        """Which job held GPUs when, and where."""
        if self.log is not None:
            job, start, end, pool, shared = self.log.T
            whole = job.astype(np.int64), pool.astype(np.int64), shared.astype(np.int64)
            return Runs(whole[0], start, np.where(np.isfinite(end), end, np.nan), *whole[1:])
        begun = np.flatnonzero(np.isfinite(self.start))
        job = begun[np.argsort(self.order[begun], kind="stable")]
        return Runs(job, self.start[job], self.finish[job], self.pool[job], self.shared[job])

    @property
    def gpu_seconds(self) -> Floats:
        """(N,) GPU-seconds held; under the published rules by jobs that have ended."""
        until = np.where(self.completed, self.finish, self.end if self.censored else self.start)
        held = until - self.start if self.held is None else self.held
        return np.where(np.isfinite(self.start), held, 0.0) * self.jobs.gpus


def passed(times: Floats, weights: Floats, until: Floats) -> Floats:
    """Sum over `times` of the weighted seconds that have passed since them, at each of `until`."""
    order = np.argsort(times)
    place = np.searchsorted(times[order], until, "right")
    weight = np.concatenate([[0.0], np.cumsum(weights[order])])[place]
    # Relative to the first, so that little is lost in the difference.
    zero = until[0]
    begun = np.concatenate([[0.0], np.cumsum((weights * (times - zero))[order])])[place]
    return weight * (until - zero) - begun


def jain(values: Floats) -> float:
    """Jain's index of fairness: 1 where all are equal, 1/n where one has everything."""
    return float(values.sum() ** 2 / (len(values) * (values**2).sum())) if len(values) else np.nan


def bounded_slowdown(schedule: Schedule) -> Floats:
    """(N,) completion time over run time, at least 1, short jobs counting as `SHORT_S` long."""
    return np.maximum(schedule.jct / np.maximum(schedule.jobs.runtime, SHORT_S), 1.0)


def measures(schedule: Schedule, chosen: npt.NDArray[np.bool_] | None = None) -> dict[str, float]:
    """Measures of the jobs that count, or of those of them that are `chosen`; see docs/gpu_jobs.md."""
    jobs, counted = schedule.jobs, schedule.counted
    if chosen is not None:
        counted = counted & chosen
    # In the order in which the reference adds them up.
    index = np.flatnonzero(counted)
    index = index[np.lexsort([schedule.order[index], schedule.finish[index]])]
    jct, weight = schedule.jct[index], jobs.priority[index]
    slowdown, bounded = jct / jobs.runtime[index], bounded_slowdown(schedule)[index]
    begin = float(jobs.arrival[0]) if schedule.censored and len(jobs) else 0.0
    span = schedule.last - begin
    users = jobs.user[index]
    means = np.array([bounded[users == user].mean() for user in np.unique(users)])
    known = len(index) > 0
    quantiles = np.quantile(jct, [0.5, 0.95, 0.99]) if known else [np.nan] * 3
    return {
        "avg_jct_s": float(jct.mean()) if known else np.nan,
        "p50_jct_s": float(quantiles[0]),
        "p95_jct_s": float(quantiles[1]),
        "p99_jct_s": float(quantiles[2]),
        "makespan_s": span,
        "utilization": float(schedule.gpu_seconds.sum() / (schedule.gpus * span)) if span else np.nan,
        "avg_slowdown": float(slowdown.mean()) if known else np.nan,
        "max_slowdown": float(slowdown.max()) if known else np.nan,
        "bounded_slowdown": float(bounded.mean()) if known else np.nan,
        "weighted_jct_s": float((weight * jct).sum() / weight.sum()) if known else np.nan,
        "jain_fairness": jain(means),
        "completion_rate": float(schedule.completed.mean()) if len(jobs) else np.nan,
    }
