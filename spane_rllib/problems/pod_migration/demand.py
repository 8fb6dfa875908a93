"""Demand: the requests of a trace, grouped in windows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.trace import VmTrace

MOST_WINDOWS = 10_000_000


@dataclass(frozen=True, eq=False)
class Demand:
    """n requests in W windows.

    Args:
        amount: (n, 2) CPU and memory, in the units of the nodes.
        moment: (n,) number of the distinct time of arrival.
        first: (W + 1,) first request of each window.
        name: of the trace.
        sha256: of its content.
    """

    amount: npt.NDArray[np.float64]
    moment: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    name: str
    sha256: str

    @property
    def windows(self) -> int:
        """Number of windows."""
        return len(self.first) - 1

    def requests(self, window: int) -> npt.NDArray[np.float64]:
        """(k, 2) the requests of a window in order of arrival."""
        return self.amount[self.first[window] : self.first[window + 1]]


@lru_cache(maxsize=8)
def demand_of(trace: VmTrace, window_s: float, scale: float) -> Demand:
    """The creations of a trace in windows of `window_s` seconds from second 0; lifetimes do not count.

    Args:
        trace: whose VMs are the requests.
        window_s: length of a window.
        scale: factor on cores and GiB.

    Raises:
        UserError: there would be too many windows.
    """
    number = trace.arrival // window_s
    if number[-1] >= MOST_WINDOWS:
        raise UserError(
            f"trace {trace.name}: more than {MOST_WINDOWS:,} windows of {window_s:g} s; choose longer ones"
        )
    windows = int(number[-1]) + 1
    return Demand(
        np.stack([trace.cpu, trace.memory], axis=1) * scale,
        np.cumsum(np.diff(trace.arrival, prepend=trace.arrival[:1]) > 0),
        np.searchsorted(number, np.arange(windows + 1)).astype(np.int64),
        trace.name,
        trace.sha256,
    )
