"""Wait-time evaluation: the episode table and the summary table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spane_rllib.core.bootstrap import Resamples
from spane_rllib.core.console import format_table
from spane_rllib.problems.vm_scheduling.policies import Policy
from spane_rllib.problems.vm_scheduling.reference_cluster import VM_SIZES
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    EpisodeResults,
    Workload,
    lower_bounds,
    probe_vm_counts,
)
from spane_rllib.problems.vm_scheduling.waits.statistics import all_statistics

if TYPE_CHECKING:
    import pandas as pd

SUMMARY_COLUMNS = (
    "policy",
    "servers",
    "episodes",
    "trimmed_mean_05_s",
    "trimmed_mean_10_s",
    "trimmed_mean_20_s",
    "mean_s",
    "median_s",
    "mean_log1p",
    "catastrophe_rate",
    "zero_wait_rate",
    "lower_bound_trimmed_mean_10_s",
    "gap_trimmed_mean_10",
    "gap_mean",
    "longest_wait_p99_s",
    "overtaken_rate",
    "passes_per_overtaken",
    *(f"mean_wait_{size}_s" for size in VM_SIZES),
)


def evaluate_policy(
    policy: Policy,
    workload: Workload,
    cluster: Cluster,
    starts: npt.NDArray[np.int64],
    seed: int = 0,
    bounds: npt.NDArray[np.float64] | None = None,
) -> pd.DataFrame:
    """Run `policy` from every start; one row per episode with the columns `WaitProblem.episode_columns`.

    `bounds` are the lower bounds of the same starts where they are known already.
    """
    import pandas as pd

    vm_counts = probe_vm_counts(workload, cluster, starts)
    results = EpisodeResults.of_state(*policy.play(workload, cluster, starts, vm_counts, seed))
    vms_by_size = workload.vms_by_size(starts, results.placed)
    if bounds is None:
        bounds = lower_bounds(workload, cluster, starts, vm_counts)
    return pd.DataFrame(
        {
            "policy": policy.name,
            "servers": cluster.servers,
            "start": starts,
            "vm_count": vm_counts,
            "total_wait_s": results.total_wait,
            "mean_wait_s": results.total_wait / results.placed,
            "max_wait_s": results.max_wait,
            "return": results.episode_return,
            "lower_bound_s": bounds,
            "overtaken": results.overtaken,
            "passes": results.passes,
            "most_passes": results.most_passes,
            **{f"wait_{size}_s": waits for size, waits in zip(VM_SIZES, results.size_wait.T, strict=True)},
            **{f"vms_{size}": vms for size, vms in zip(VM_SIZES, vms_by_size.T, strict=True)},
        }
    )


def summarize(episodes: pd.DataFrame) -> pd.DataFrame:
    """One row per policy and number of servers with the columns `SUMMARY_COLUMNS`, in order of appearance."""
    import pandas as pd

    rows = []
    for (policy, servers), group in episodes.groupby(["policy", "servers"], sort=False):
        values = all_statistics(group, Resamples.none(len(group)))
        row = {"policy": policy, "servers": servers, "episodes": len(group)}
        rows.append(row | {name: float(value[0]) for name, value in values.items()})
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))


def summary_table(summary: pd.DataFrame) -> str:
    """The summary as text, best trimmed mean first within each number of servers."""
    header = (
        "policy",
        "servers",
        "episodes",
        "trim 5%",
        "trim 10%",
        "trim 20%",
        "mean s",
        "median s",
        "log1p",
        "catastrophes",
        "zero wait",
        "bound 10%",
        "10% / bound",
        "mean / bound",
    )
    ordered = summary.sort_values(["servers", "trimmed_mean_10_s"], kind="stable")
    main = ("policy", "servers", "trim 10%", "mean s", "catastrophes", "10% / bound")
    names = list(SUMMARY_COLUMNS[: len(header)])
    waits = format_table(header, [tuple(row) for row in ordered[names].itertuples(index=False)], main)
    return f"{waits}\n\nwho waits, seconds per VM by size, and who is passed:\n{fairness_table(ordered)}"


def fairness_table(ordered: pd.DataFrame) -> str:
    """What a summary says of who waits, as text, in its order."""
    header = ("policy", "servers", *VM_SIZES, "longest, p99", "overtaken", "passed by")
    sizes = (f"mean_wait_{size}_s" for size in VM_SIZES)
    names = ["policy", "servers", *sizes, "longest_wait_p99_s", "overtaken_rate", "passes_per_overtaken"]
    main = ("policy", "servers", "giant", "longest, p99", "overtaken")
    return format_table(header, [tuple(row) for row in ordered[names].itertuples(index=False)], main)
