"""The arrays of one simulation. Everything that compiled code changes is in `State`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster
from spane_rllib.problems.gpu_jobs.simulator.jobs import Floats, Ints, Jobs

# Entries of State.count: the next job to arrive, running jobs (size of the heap), waiting jobs, opened GPUs,
# busy thousandths of GPUs, free rows of `spread`, jobs started, jobs completed, choices made.
NEXT, RUNNING, WAITING, OPENED, BUSY, ROWS, STARTED, COMPLETED, CHOICES = range(9)
COUNTS = 9
# Entries of State.clock: now; priority times seconds that jobs have waited, and what slower GPUs add; sum of
# the priorities of waiting jobs; reward of the last tick.
NOW, COST, WEIGHT, REWARD = range(4)
CLOCKS = 4
NOWHERE, SPREAD = -1, -2  # of State.pool
ABSENT = np.inf


class Queue(NamedTuple):
    """The order of the queue, fixed in advance: jobs that ask for the same are a class.

    A class has a tree over its jobs in order, which holds the least estimate of those that wait.
    """

    rank: Ints  # (N,) place of a job among all
    kind: Ints  # (N,) class
    leaf: Ints  # (N,) of a job in `State.tree`
    job: Ints  # (L,) of a leaf
    milli: Ints  # (C,) what jobs of the class ask for, ascending
    base: Ints  # (C,) root of the tree less 1
    size: Ints  # (C,) leaves, a power of 2
    share: Floats  # (C,) of the workload
    by_rank: Ints  # (N,) job of a rank


class JobArrays(NamedTuple):
    """What compiled code reads of jobs."""

    arrival: Floats
    runtime: Floats
    estimate: Floats
    milli: Ints
    priority: Floats


class State(NamedTuple):
    """P pools, N jobs, G GPUs."""

    clock: Floats  # (CLOCKS,)
    count: Ints  # type: ignore[assignment]  # (COUNTS,); hides tuple.count
    whole: Ints  # (P,) GPUs that are entirely free
    opened_pool: Ints  # (G,) pool of each GPU that is shared; -1: closed again
    opened_free: Ints  # (G,) its free thousandths
    end_time: Floats  # (N,) heap of running jobs
    end_job: Ints  # (N,)
    order: Ints  # (N,) when a job was started, counted
    start: Floats  # (N,) seconds; NaN before
    finish: Floats  # (N,) when it ends, known to nobody before; NaN if it has not been started
    expected: Floats  # (N,) when it would end by its estimate
    pool: Ints  # (N,) where it runs, NOWHERE or SPREAD
    opened: Ints  # (N,) row of `opened_pool` of a job that shares a GPU
    row: Ints  # (N,) of `spread`
    spread: Ints  # (G, P) GPUs of jobs on several pools
    rows: Ints  # (G,) free rows of it
    taken: npt.NDArray[np.int16]  # (N, T) GPUs by type, in the order of the arrays; shared ones count 0
    tree: Floats  # (2L,)
    head: Ints  # (C,) rank of the first job of a class that waits, N for none
    waiting: Ints  # (N + 1,) Fenwick tree of waiting jobs over ranks; (0,) where nobody asks
    scratch: Ints  # (P,)


def estimates(jobs: Jobs, runtimes: str, noise: float, seed: int) -> Floats:
    """(N,) run times in seconds as schedulers know them.

    Args:
        jobs: what is scheduled.
        runtimes: `known`; `estimated`, times the exponential of a normal number; `unknown`, an hour for all.
        noise: standard deviation of that number.
        seed: of it.
    """
    if runtimes == "known":
        return jobs.runtime.copy()
    if runtimes == "unknown":
        return np.full(len(jobs), 3600.0)
    return jobs.runtime * np.exp(np.random.default_rng([seed, 31]).normal(0.0, noise, len(jobs)))


def job_arrays(jobs: Jobs, estimate: Floats | None = None) -> JobArrays:
    """What compiled code reads of jobs; without `estimate` run times are known."""
    return JobArrays(
        jobs.arrival, jobs.runtime, jobs.runtime if estimate is None else estimate, jobs.milli, jobs.priority
    )


def make_queue(jobs: Jobs, *keys: npt.ArrayLike) -> Queue:
    """The queue whose jobs are ordered by these keys, the first of which counts most; then by arrival."""
    count = len(jobs)
    by_rank = np.lexsort([np.arange(count), *[np.asarray(key) for key in reversed(keys)]]).astype(np.int64)
    rank = np.empty(count, np.int64)
    rank[by_rank] = np.arange(count)
    milli, kind = np.unique(jobs.milli, return_inverse=True)
    sizes = np.bincount(kind, minlength=len(milli))
    size = 1 << np.ceil(np.log2(np.maximum(sizes, 1))).astype(np.int64)
    base = np.concatenate([[0], np.cumsum(2 * size)[:-1]]).astype(np.int64)
    leaf = np.empty(count, np.int64)
    job = np.full(int(2 * size.sum()), -1, np.int64)
    for index in range(len(milli)):
        members = by_rank[kind[by_rank] == index]
        leaf[members] = base[index] + size[index] + np.arange(len(members))
        job[leaf[members]] = members
    return Queue(rank, kind.astype(np.int64), leaf, job, milli, base, size, sizes / max(count, 1), by_rank)


def begin(jobs: Jobs, cluster: Cluster, queue: Queue, by_place: bool = True) -> State:
    """An empty cluster before the first job arrives.

    `by_place`: whether jobs are looked up by their place in the queue (`waiting_at`). Keeping the places
    takes a fifth of the time, since neighbours in the queue lie far apart in memory.
    """
    count, arrays, gpus = len(jobs), cluster.arrays(), cluster.gpus
    pools = len(arrays.whole)
    state = State(
        clock=np.zeros(CLOCKS),
        count=np.zeros(COUNTS, np.int64),
        whole=arrays.whole.copy(),
        opened_pool=np.full(gpus, -1, np.int64),
        opened_free=np.zeros(gpus, np.int64),
        end_time=np.zeros(count),
        end_job=np.zeros(count, np.int64),
        order=np.zeros(count, np.int64),
        start=np.full(count, np.nan),
        finish=np.full(count, np.nan),
        expected=np.full(count, np.nan),
        pool=np.full(count, NOWHERE, np.int64),
        opened=np.full(count, -1, np.int64),
        row=np.zeros(count, np.int64),
        spread=np.zeros((gpus, pools), np.int64),
        rows=np.arange(gpus, dtype=np.int64),
        taken=np.zeros((count, arrays.kinds), np.int16),
        tree=np.full(len(queue.job), ABSENT),
        head=np.full(len(queue.milli), count, np.int64),
        waiting=np.zeros(count + 1 if by_place else 0, np.int64),
        scratch=np.zeros(pools, np.int64),
    )
    state.count[ROWS] = gpus
    return state
