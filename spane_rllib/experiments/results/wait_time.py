"""Wait-time evaluations of many policies, in this process or as Ray tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.vm_scheduling.policies import Policy
from spane_rllib.problems.vm_scheduling.simulator import Cluster, compile_workload
from spane_rllib.problems.vm_scheduling.traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.waits.evaluation import evaluate_policy

if TYPE_CHECKING:
    import pandas as pd

Pair = tuple[Policy, int]


def evaluate_pairs(
    pairs: Sequence[Pair],
    trace: VmTrace,
    cluster: Cluster,
    starts: npt.NDArray[np.int64],
    *,
    seed: int = 0,
    workers: int = 0,
) -> Iterator[tuple[Pair, pd.DataFrame]]:
    """Evaluate each policy on each number of servers; yields each pair with its episodes as it is finished.

    Args:
        pairs: policies and numbers of servers.
        trace: the trace.
        cluster: the type of server; its number is replaced.
        starts: (E,) rows at which episodes begin.
        seed: for the policies that draw random numbers.
        workers: Ray tasks per pair, between which the starts are divided; 0 runs in this process, without
            Ray. The episodes do not depend on it.
    """
    if workers == 0:
        for policy, servers in pairs:
            yield (policy, servers), _evaluate(policy, trace, replace(cluster, servers=servers), starts, seed)
        return
    import pandas as pd
    import ray

    from spane_rllib.cluster.session import ray_session

    with nullcontext() if ray.is_initialized() else ray_session(num_cpus=workers):
        task = ray.remote(num_cpus=1, max_retries=3)(_evaluate)
        shared = ray.put(trace)
        chunks = np.array_split(starts, min(workers, len(starts)))
        pending: dict[Any, tuple[int, int]] = {}
        parts: list[list[pd.DataFrame | None]] = []
        for index, (policy, servers) in enumerate(pairs):
            parts.append([None] * len(chunks))
            for position, chunk in enumerate(chunks):
                reference = task.options(name=f"evaluate {policy.name} on {servers} servers").remote(
                    policy, shared, replace(cluster, servers=servers), chunk, seed
                )
                pending[reference] = index, position
        while pending:
            (ready,), _ = ray.wait(list(pending))
            index, position = pending.pop(ready)
            parts[index][position] = ray.get(ready)
            finished = [part for part in parts[index] if part is not None]
            if len(finished) == len(chunks):
                yield pairs[index], pd.concat(finished, ignore_index=True)


def _evaluate(
    policy: Policy, trace: VmTrace, cluster: Cluster, starts: npt.NDArray[np.int64], seed: int
) -> pd.DataFrame:
    return evaluate_policy(policy, compile_workload(trace, cluster), cluster, starts, seed)
