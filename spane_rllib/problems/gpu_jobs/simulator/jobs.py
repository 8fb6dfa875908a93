"""Jobs: when they arrive, how long they run, how many GPUs they ask for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WHOLE = 1000
"""Requests are counted in thousandths of a GPU."""


@dataclass(frozen=True)
class Jobs:
    """N jobs in order of arrival.

    Args:
        number: (N,) what the source calls them.
        arrival: (N,) seconds, ascending.
        runtime: (N,) seconds on a GPU of speed 1.
        milli: (N,) thousandths of a GPU: any below 1000, whole GPUs above.
        priority: (N,) weight in means; larger is more urgent.
        user: (N,) who sent it.
        flops: (N,) what the job computes, which only the published observation sees.
        name: of the workload, for people.
    """

    number: Ints
    arrival: Floats
    runtime: Floats
    milli: Ints
    priority: Floats
    user: Ints
    flops: Floats
    name: str = ""

    def __len__(self) -> int:
        return len(self.arrival)

    @property
    def gpus(self) -> Floats:
        """(N,) GPUs asked for."""
        return self.milli / WHOLE

    @property
    def sha256(self) -> str:
        """Hash of the content, whatever form it was stored in."""
        columns = (self.arrival, self.runtime, self.milli, self.priority, self.user)
        data = b"".join(np.ascontiguousarray(column).astype("<f8").tobytes() for column in columns)
        return hashlib.sha256(data).hexdigest()

    def rebased(self) -> Jobs:
        """The same jobs with the first arrival at 0."""
        return replace(self, arrival=self.arrival - self.arrival[0]) if len(self) else self

    def at(self, index: Ints) -> Jobs:
        """The jobs at these places, which are ascending."""
        columns = {name: getattr(self, name)[index] for name in COLUMNS}
        return replace(self, **columns)

    def load(self, gpus: int) -> float:
        """GPU-seconds asked for over those that `gpus` have from the first to the last arrival."""
        span = float(self.arrival[-1] - self.arrival[0])
        work = float((self.runtime * self.gpus).sum())
        return work / (gpus * span) if span else np.inf


COLUMNS = ("number", "arrival", "runtime", "milli", "priority", "user", "flops")


def make_jobs(
    arrival: npt.ArrayLike,
    runtime: npt.ArrayLike,
    gpus: npt.ArrayLike,
    priority: npt.ArrayLike | None = None,
    user: npt.ArrayLike | None = None,
    flops: npt.ArrayLike | None = None,
    number: npt.ArrayLike | None = None,
    name: str = "",
) -> Jobs:
    """Jobs from columns in any order; sorted by arrival, equal ones in the order given."""
    times = np.asarray(arrival, np.float64)
    order = np.argsort(times, kind="stable")
    count = len(times)

    def column(values: npt.ArrayLike | None, default: float) -> Floats:
        return np.full(count, default) if values is None else np.asarray(values, np.float64)[order]

    numbers = np.arange(count) if number is None else np.asarray(number)
    runtimes, requests = column(runtime, 0.0), column(gpus, 1.0)
    return Jobs(
        number=numbers.astype(np.int64)[order],
        arrival=times[order],
        runtime=runtimes,
        milli=np.rint(requests * WHOLE).astype(np.int64),
        priority=column(priority, 1.0),
        user=column(user, 0).astype(np.int64),
        # What the reference makes up for jobs of traces.
        flops=runtimes * requests * 1e12 if flops is None else column(flops, 0.0),
        name=name,
    )
