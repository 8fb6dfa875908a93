"""What figures need beside means: completion times by priority as histograms, and GPUs in use over time.

Both are a text in every row of the table of blocks, so that reports need no data but tables. Histograms of
blocks add up to that of the run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster
from spane_rllib.problems.gpu_jobs.simulator.jobs import WHOLE, Floats, Ints
from spane_rllib.problems.gpu_jobs.simulator.lanes import gpus_of_runs
from spane_rllib.problems.gpu_jobs.simulator.schedule import Schedule, passed

if TYPE_CHECKING:
    import pandas as pd

_PER_DECADE, _BINS = 25, 250
EDGES = np.concatenate([[0.0], 10 ** (np.arange(_BINS) / _PER_DECADE)])
"""(251,) edges of the bins of completion times, seconds: a bin is a tenth wider than the one before."""


def details_of(
    schedule: Schedule, cluster: Cluster, block: Ints, counted: npt.NDArray[np.bool_], blocks: int
) -> list[str]:
    """One text for each block.

    Args:
        schedule: of N jobs.
        cluster: what it ran on.
        block: (N,) of each job.
        counted: (N,) whether a job counts in means.
        blocks: how many there are. The time of the run is cut into as many slices, one for each text.
    """
    jobs = schedule.jobs
    bins = np.clip(np.searchsorted(EDGES, schedule.jct, "right") - 1, 0, _BINS - 1)
    values, rank = np.unique(jobs.priority, return_inverse=True)
    place = (block * len(values) + rank) * _BINS + bins
    histogram = np.bincount(place[counted], minlength=blocks * len(values) * _BINS)
    histogram = histogram.reshape(blocks, len(values), _BINS)
    group = (block * len(values) + rank)[counted]
    total = np.bincount(group, schedule.jct[counted], minlength=blocks * len(values))
    total = total.reshape(blocks, len(values))
    use = _in_use(schedule, cluster, blocks)
    texts = []
    for at in range(blocks):
        priorities = {}
        for index, value in enumerate(values.tolist()):
            full = np.flatnonzero(histogram[at, index])
            if len(full):
                counts = [[int(one), int(histogram[at, index, one])] for one in full]
                priorities[f"{value:g}"] = [round(float(total[at, index]), 3), counts]
        shares = {name: round(float(share[at]), 5) for name, share in use.items()}
        texts.append(json.dumps({"jct": priorities, "use": shares}, separators=(",", ":"), allow_nan=False))
    return texts


def _in_use(schedule: Schedule, cluster: Cluster, slices: int) -> dict[str, Floats]:
    """Mean share of GPUs in use in each slice of the run by type, of all ("") and of all FLOPS ("flops")."""
    runs, jobs, types = schedule.runs, schedule.jobs, cluster.ordered
    begin = float(jobs.arrival[0]) if len(jobs) else 0.0
    end = schedule.last if np.isfinite(schedule.last) and schedule.last > begin else begin + 1.0
    edges = np.linspace(begin, end, slices + 1)
    held = _by_type(schedule, cluster)
    finish = np.where(np.isnan(runs.finish), end, runs.finish)
    counts = np.array([each.count for each in types], float)
    flops = np.array([each.flops for each in types])
    busy = np.empty((len(types), slices))
    for kind in range(len(types)):
        weights = held[:, kind]
        busy[kind] = np.diff(passed(runs.start, weights, edges) - passed(finish, weights, edges))
    # Rounding leaves a little below 0 and above 1.
    busy = np.clip(busy / np.diff(edges), 0, counts[:, None])
    shares = {each.name: busy[kind] / counts[kind] for kind, each in enumerate(types)}
    return {
        **shares,
        "": busy.sum(axis=0) / counts.sum(),
        "flops": flops @ busy / (flops @ counts),
    }


def _by_type(schedule: Schedule, cluster: Cluster) -> Floats:
    """(R, T) GPUs of each run by type."""
    runs, milli, pools = schedule.runs, schedule.jobs.milli, cluster.arrays()
    held = np.zeros((len(runs.job), pools.kinds))
    if schedule.log is not None:
        kind_of = np.repeat(pools.kind, pools.whole)
        for run, gpus in enumerate(gpus_of_runs(schedule, cluster)):
            share = min(milli[runs.job[run]] / WHOLE, 1.0)
            held[run] = share * np.bincount(kind_of[gpus], minlength=pools.kinds)
        return held
    held[:] = schedule.taken[runs.job]
    part = np.flatnonzero((milli[runs.job] > 0) & (milli[runs.job] < WHOLE))
    held[part, pools.kind[runs.pool[part]]] = milli[runs.job[part]] / WHOLE
    return held


@dataclass(frozen=True)
class Distribution:
    """Completion times of some jobs.

    Args:
        total: their sum, seconds.
        histogram: (bins,) how many are in each bin of `EDGES`.
    """

    total: float
    histogram: Ints

    @property
    def count(self) -> int:
        """How many jobs there are."""
        return int(self.histogram.sum())

    @property
    def mean(self) -> float:
        """Seconds; NaN of nothing."""
        return self.total / self.count if self.count else float("nan")

    @property
    def cumulative(self) -> Floats:
        """(bins + 1,) share of the jobs below each of `EDGES`."""
        return np.concatenate([[0.0], np.cumsum(self.histogram)]) / max(self.count, 1)

    def quantile(self, share: float) -> float:
        """Seconds, to within a bin."""
        return float(np.interp(share, self.cumulative, EDGES)) if self.count else float("nan")

    @property
    def largest(self) -> float:
        """Seconds that none exceeds, to within a bin."""
        return float(EDGES[np.flatnonzero(self.histogram)[-1] + 1]) if self.count else 0.0

    def __add__(self, other: Distribution) -> Distribution:
        return Distribution(self.total + other.total, self.histogram + other.histogram)


NOTHING = Distribution(0.0, np.zeros(_BINS, np.int64))


@dataclass(frozen=True)
class Details:
    """The text of a row, read."""

    jct: Mapping[float, Distribution]
    """By priority."""
    use: Mapping[str, float]
    """See `_in_use`."""


def read_details(rows: pd.DataFrame) -> list[Details]:
    """The column `details`; a `UserError` where it is damaged."""
    try:
        return [_read(text) for text in rows["details"]]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise UserError(
            f"the column details of the table of episodes is damaged ({error}); evaluate again"
        ) from error


def _read(text: str) -> Details:
    content = json.loads(text)
    jct = {}
    for priority, (total, counts) in content["jct"].items():
        histogram = np.zeros(_BINS, np.int64)
        for at, number in counts:
            histogram[int(at)] = int(number)
        jct[float(priority)] = Distribution(float(total), histogram)
    return Details(jct, {str(name): float(share) for name, share in content["use"].items()})


def together(distributions: Iterable[Distribution]) -> Distribution:
    """All of them as one."""
    return sum(distributions, NOTHING)
