"""Small clusters and demand that tests play."""

from __future__ import annotations

from typing import Any

import numpy as np

from spane_rllib.core.shared import provide
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.pod_migration.clusters.cluster import PodCluster
from spane_rllib.problems.pod_migration.instance import PodInstance
from spane_rllib.problems.pod_migration.settings import PodSettings


def trace_of(times: Any, cpu: Any, memory: Any) -> VmTrace:
    """Requests at `times`."""
    columns = (np.asarray(cpu, np.float64), np.asarray(memory, np.float64), np.asarray(times, np.float64))
    return VmTrace(*columns, np.ones(len(columns[0])), "by hand")


def random_trace(seed: int, windows: int = 40, mean: float = 6.0) -> VmTrace:
    """Some requests in every one of `windows` windows, several at the same second."""
    random = np.random.default_rng(seed)
    times = np.sort(random.integers(0, 300 * windows, int(windows * mean))).astype(np.float64)
    times[-1] = 300 * windows - 1
    sizes = random.integers(1, 40, (len(times), 2))
    return trace_of(times, sizes[:, 0], sizes[:, 1])


def cluster_of(placement: Any, nodes: int = 3, capacity: float = 100.0, request: float = 5.0) -> PodCluster:
    """Equal pods at `placement` on equal nodes."""
    pods = len(placement)
    return PodCluster(
        "small",
        np.full((nodes, 2), capacity),
        np.full((pods, 2), request),
        np.asarray(placement, np.int64),
        [f"node-{node}" for node in range(nodes)],
        [f"pod-{pod}" for pod in range(pods)],
    )


def instance_of(trace: VmTrace, cluster: PodCluster, **settings: Any) -> PodInstance:
    """What is played, from data at hand."""
    provide("the trace", trace)
    provide("the cluster", cluster)
    instance = PodInstance(
        PodSettings(trace="the trace", cluster="the cluster", **{"horizon": 4, "moves": 2, **settings})
    )
    assert instance.trace is trace
    assert instance.cluster is cluster
    return instance


def naive_counts(
    requests: Any, moments: Any, pointer: int, placement: Any, base: Any, capacity: Any, parallel: bool
) -> dict[str, float]:
    """Violations of a window, request by request, from the rules as they are written."""
    pods, slots = len(placement), []
    if parallel:
        asked = base.copy()
        for at, (request, moment) in enumerate(zip(requests, moments, strict=True)):
            asked[(pointer + at) % pods] += request
            if at + 1 == len(moments) or moments[at + 1] != moment:
                slots.append(asked.copy())
    else:
        queues: list[list[Any]] = [[] for _ in range(pods)]
        for at, request in enumerate(requests):
            queues[(pointer + at) % pods].append(request)
        for slot in range(max(map(len, queues))):
            asked = base.copy()
            for pod, queue in enumerate(queues):
                if slot < len(queue):
                    asked[pod] += queue[slot]
            slots.append(asked)
    slots = slots or [base]
    violations = under = unsatisfied = 0
    for asked in slots:
        for node in range(len(capacity)):
            here = asked[placement == node]
            load = here.sum(axis=0) / capacity[node]
            violations += bool((load > 0.8 + 1e-9).any())
            under += bool((load < 0.2 - 1e-9).any())
            if load[0] > 1 + 1e-9:  # shared in proportion: nobody has enough
                unsatisfied += int((here[:, 0] > 0).sum())
            elif load[1] > 1 + 1e-9:
                left = capacity[node][1]
                for size, equal in zip(*np.unique(here[:, 1], return_counts=True), strict=True):
                    unsatisfied += int(equal) * bool(size * equal > left + 1e-9)  # equals share what is left
                    left -= min(size * equal, left)
    return {
        "slots": len(slots) * len(capacity),
        "violations": violations,
        "under": under,
        "unsatisfied": unsatisfied,
    }
