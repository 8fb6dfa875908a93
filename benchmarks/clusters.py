"""The trace that is measured on, for clusters of any size under the same load."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from spane_rllib.datasets.vm_traces.loading import load_trace
from spane_rllib.datasets.vm_traces.splits import sample_starts, splits_of
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.simulator import Cluster, Workload, compile_workload, probe_vm_counts

BASE_SERVERS = 5
Rows = npt.NDArray[np.int64]


def trace_for(servers: int) -> VmTrace:
    """The trace with arrivals `servers / 5` times as dense, repeated until long episodes find their end.

    Otherwise a large cluster would stay nearly empty, and First Fit would find room on its first servers.
    """
    trace = load_trace()
    if servers == BASE_SERVERS:
        return trace
    span = trace.arrival[-1] - trace.arrival[0]
    copies = math.ceil(0.5 + 250 * servers / len(trace))
    arrival = np.concatenate([trace.arrival + copy * span for copy in range(copies)])
    return VmTrace(
        np.tile(trace.cpu, copies),
        np.tile(trace.memory, copies),
        arrival * (BASE_SERVERS / servers),
        np.tile(trace.lifetime, copies),
        f"{trace.name}, {servers / BASE_SERVERS:g} times as dense",
    )


def five_server_episodes(episodes: int) -> tuple[Workload, Cluster, Rows, Rows]:
    """Workload, cluster, starts and VM counts of episodes of the test split on five servers."""
    trace, cluster = load_trace(), Cluster(BASE_SERVERS)
    workload = compile_workload(trace, cluster)
    starts = sample_starts(splits_of(trace), "test", episodes, seed=0)
    return workload, cluster, starts, probe_vm_counts(workload, cluster, starts)


def large_episodes(servers: int, episodes: int) -> tuple[Workload, Cluster, Rows, Rows]:
    """The same for a large cluster; the starts are spread over half of the original trace."""
    trace, cluster = trace_for(servers), Cluster(servers)
    workload = compile_workload(trace, cluster)
    starts = np.linspace(0, len(load_trace()) // 2, episodes).astype(np.int64)
    return workload, cluster, starts, probe_vm_counts(workload, cluster, starts)
